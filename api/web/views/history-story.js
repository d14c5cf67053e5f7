// What became of one booking: who did what, when and why; and its receipt.
//
// A receipt names the entry of the log that a change stands in and the digest of everything up to there. Each member computes the digest for itself, so one that had lost
// or changed anything would show another. The page asks all of them and compares.

import { ask, origins, Problem } from "../lib/cluster.js";
import { clear, el } from "../lib/dom.js";
import { user } from "../lib/session.js";
import { labelOf } from "../lib/spaces.js";
import { dayName, hoursName, momentName } from "../lib/time.js";
import { busy } from "../lib/ui.js";
import { say } from "../lib/words.js";
import { chip, placeholder, trouble } from "./mine-parts.js";

/** Fill `box` with the story of a booking. */
export async function storyOf(booking, box) {
  clear(box).append(placeholder(2));
  try {
    const { body } = await ask("GET", `/api/v1/bookings/${encodeURIComponent(booking.id)}/history`);
    clear(box).append(el("ol", { class: "steps" }, body.items.map((step, at) => line(step, body.items[at - 1]))), receipt(booking, body.items));
  } catch (problem) {
    clear(box).append(trouble(problem, () => storyOf(booking, box)));
  }
}

function line(step, before) {
  const placed = ["confirmed", "promoted", "moved"].includes(step.kind);
  const place = ({ seat_id: seat, space_id: space, starts_at: from, ends_at: to }) => `${labelOf(space, seat)}, ${dayName(from)}, ${hoursName(from, to)}`;
  const where = !placed ? "" : step.kind === "moved" && before ? `${place(before)} → ${place(step)}` : place(step);
  return el("li", {}, el("strong", { text: say(`history.did.${step.kind}`) }), el("span", { class: "quiet", text: `${momentName(step.at)} · ${author(step)}` }),
    where && el("span", { text: where }), step.reason && el("span", { text: say("history.because", { reason: step.reason }) }));
}

function author({ by_user_id: by }) {
  if (!by) return say("history.byTime");
  return by === user()?.id ? say("history.byYou") : say("history.byAdmin");
}

/** The newest change of which the log's place is known. */
function receipt(booking, steps) {
  const place = steps.findLast((each) => each.revision)?.revision || booking.revision;
  const index = Number(place.split(".")[0]);
  const found = el("div", { role: "status" });
  const check = el("button", { type: "button", class: "no-print", text: say("history.check"), on: { click: () => busy(check, async () => { clear(found).append(await verdict(index)); }) } });
  return el("div", { class: "receipt" }, el("p", {}, el("strong", { text: say("history.receipt") })),
    el("p", { class: "quiet", text: say("history.receiptHint") }),
    el("p", {}, `${say("history.entry")} `, el("code", { text: place }), " · ", `${say("history.number")} `, el("code", { text: booking.id })), check, found);
}

/** What each member says the digest at an index is. */
async function verdict(index) {
  const all = origins();
  const told = await Promise.all(all.map(async (base) => {
    try {
      return (await ask("GET", `/api/v1/cluster/receipts/${index}`, { members: () => [base], signed: false })).body;
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      return { problem };
    }
  }));
  const digests = told.filter((each) => each.digest);
  if (!digests.length) return el("p", { class: "problem", text: say(told.some((each) => each.problem?.status === 410) ? "history.forgotten" : "history.nobodyTells") });
  const same = new Set(digests.map((each) => each.digest)).size === 1;
  return el("div", {}, el("p", {}, chip(same ? "good" : "bad", same ? "✓" : "!", say(same ? "history.same" : "history.differs", { count: digests.length, all: all.length }))),
    el("ul", { class: "digests" }, digests.map((each) => el("li", {}, el("span", { text: each.node_id }), el("code", { text: each.digest })))));
}
