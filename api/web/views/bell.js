// The bell: what has happened to one's own bookings, as it happens; each event once, newest first. Kept in this tab for as long as the same person is logged in.
// Whoever does not see the number hears of the newest event.

import "./bell.words.js";

import { byId, clear, el, icon } from "../lib/dom.js";
import { followOwn } from "../lib/live.js";
import { onUser, user } from "../lib/session.js";
import { placeName, spaces } from "../lib/spaces.js";
import { localMoment } from "../lib/time.js";
import { menu } from "../lib/ui.js";
import { knows, say } from "../lib/words.js";

const TYPES = ["deskraft.booking", "deskraft.waitlist"];
const KEPT = 30;
const PLACE = "bell";

let kept = { user: null, items: [], unread: 0 };

/** The button for the header, in the present language. */
export function bell() {
  const button = el("button", { type: "button", id: "bell", class: "quiet only", "aria-controls": "bell-panel" },
    icon("bell"), el("b", { id: "bell-count", "aria-hidden": "true" }));
  const panel = el("section", { id: "bell-panel", class: "card panel" },
    el("h2", { text: say("bell.title") }), el("ul", { id: "bell-list", class: "plain" }), el("p", { id: "bell-empty", class: "quiet", text: say("bell.empty") }));
  queueMicrotask(draw);
  const box = menu(button, panel, { onOpen: () => { kept.unread = 0; remember(); } });
  box.append(el("span", { id: "bell-said", class: "unseen", role: "status" }));
  return box;
}

function draw() {
  if (!byId("bell")) return;
  byId("bell").setAttribute("aria-label", say("bell.label", { count: kept.unread }));
  byId("bell-count").textContent = kept.unread || "";
  byId("bell-empty").hidden = kept.items.length > 0;
  clear(byId("bell-list")).append(...kept.items.map((each) => el("li", {}, el("span", { text: textOf(each) }), each.at && el("small", { class: "quiet", text: localMoment(each.at) }))));
}

/** What has happened, to which place, and the reason that somebody else gave. */
function textOf({ type, data }) {
  const reason = type === "booking.cancelled" && data.reason ? ` ${say("bell.because", { reason: data.reason })}` : "";
  return `${say(`bell.told.${type}`)}: ${placeName(data)}.${reason}`;
}

function remember() {
  if (kept.user) sessionStorage.setItem(PLACE, JSON.stringify(kept)); else sessionStorage.removeItem(PLACE);
  draw();
}

async function take(told) {
  const type = told.type.replace("deskraft.", "");
  if (!kept.user || !knows(`bell.told.${type}`)) return;
  await spaces();
  kept.items = [{ type, data: told.data, at: told.time }, ...kept.items].slice(0, KEPT);
  if (byId("bell-panel")?.hidden !== false) kept.unread += 1;
  remember();
  if (byId("bell-said")) byId("bell-said").textContent = textOf(kept.items[0]);
}

let stop = null;
onUser((now) => {
  stop?.();
  const before = JSON.parse(sessionStorage.getItem(PLACE) || "null");
  kept = now && before?.user === now.id ? before : { user: now?.id ?? null, items: [], unread: 0 };
  stop = user() ? followOwn(TYPES, (told) => { take(told).catch(console.error); }) : null;
  if (kept.items.length) spaces().then(draw, () => {}); // what is kept is named anew once the spaces are known; until then by ids
  remember();
});
