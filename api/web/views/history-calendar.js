// The address at which calendar programs read one's bookings: make it, copy it, have another, take it away.

import { ask, origin } from "../lib/cluster.js";
import { clear, el } from "../lib/dom.js";
import { localMoment } from "../lib/time.js";
import { busy, confirmDialog, toast } from "../lib/ui.js";
import { say } from "../lib/words.js";
import { card, labelled, placeholder, trouble } from "./mine-parts.js";

const PATH = "/api/v1/me/calendar";

/** The card, which fills itself. */
export function calendarCard() {
  const body = el("div", {}, placeholder(1));
  load(body);
  return card("calendar", say("history.calendar"), el("p", { class: "quiet", text: say("history.calendarHint") }), body);
}

async function load(body) {
  try {
    draw(body, (await ask("GET", PATH)).body);
  } catch (problem) {
    if (problem.status === 404) draw(body, null);
    else clear(body).append(trouble(problem, () => load(body)));
  }
}

function draw(body, calendar) {
  const make = (key, kind) => {
    const button = el("button", { type: "button", class: kind, text: say(key), on: { click: () => busy(button, async () => {
      if (calendar && !await confirmDialog(say("history.calendarAnother"), { confirm: say("history.calendarNew") })) return;
      draw(body, (await ask("POST", PATH, { body: {} })).body);
      body.querySelector("input").focus();
    }) } });
    return button;
  };
  if (!calendar) {
    clear(body).append(make("history.calendarMake", "main"));
    return;
  }
  const address = calendar.path ? origin() + calendar.path : "";
  const field = el("input", { type: "text", readonly: true, value: address, on: { focus: () => field.select() } });
  const copy = el("button", { type: "button", class: "main", text: say("history.copy"), on: { click: () => copyText(address, field) } });
  const revoke = el("button", { type: "button", class: "danger", text: say("history.calendarEnd"), on: { click: () => busy(revoke, async () => {
    if (!await confirmDialog(say("history.calendarEndSure"), { danger: true, confirm: say("history.calendarEnd") })) return;
    await ask("DELETE", PATH);
    draw(body, null);
    toast(say("history.calendarEnded"));
    body.querySelector("button").focus();
  }) } });
  clear(body).append(
    address ? el("div", { class: "address" }, labelled(say("history.address"), field), copy) : el("p", { text: say("history.calendarHidden") }),
    el("p", { class: "quiet", text: say("history.calendarSince", { when: localMoment(calendar.created_at) }) }),
    el("div", { class: "acts" }, make("history.calendarNew", ""), revoke));
}

/** A page that came over plain HTTP from another machine may not write to the clipboard; then the text is marked, and the keys do it. */
async function copyText(text, field) {
  try {
    await navigator.clipboard.writeText(text);
    toast(say("history.copied"));
  } catch {
    field.focus();
    field.select();
    toast(say("history.copyYourself"));
  }
}
