// The history: every booking one has ever made, newest first, by state, days and space; what became of each; a copy as CSV; the address for calendar programs.
//
// The filters stand in the address, so that a reload and "back" keep them. Pages follow their cursor; when something happens, what is shown is read again up to
// where one has got. What became of a booking is asked when somebody opens it.

import "./history.words.js";

import { ask } from "../lib/cluster.js";
import { clear, el, icon } from "../lib/dom.js";
import { followOwn, onReset } from "../lib/live.js";
import { note } from "../lib/route.js";
import { spaceOf, spaces } from "../lib/spaces.js";
import { dateOf, dayName, hoursName, zoneName } from "../lib/time.js";
import { busy, empty, problemText, toast } from "../lib/ui.js";
import { say } from "../lib/words.js";
import { calendarCard } from "./history-calendar.js";
import { saveCsv } from "./history-csv.js";
import { storyOf } from "./history-story.js";
import { chip, labelled, placeholder, trouble } from "./mine-parts.js";

const PAGE = 25;
const MAX_PAGE = 200; // the most that a node gives at once
const RELOAD_MS = 300; // events that come together are one reading
const STATES = { confirmed: ["good", "●"], completed: ["", "✓"], cancelled: ["warn", "×"], released: ["warn", "⊘"] };
const FILTERS = ["status", "from", "to", "space_id"];

async function show(container, parameters) {
  const view = { items: [], next: null, turn: 0, timer: 0, stopped: false, filter: Object.fromEntries(FILTERS.map((each) => [each, parameters[each] || ""])) };
  view.list = el("div", { class: "history-list" }, placeholder(4));
  const csv = el("button", { type: "button", on: { click: () => busy(csv, () => saveCsv(query(view))) } }, icon("download"), say("history.csv"));
  const bar = el("form", { class: "row no-print", "aria-label": say("history.filters"), on: { submit: (event) => event.preventDefault() } });
  container.append(el("header", { class: "view-head" }, el("h1", { text: say("history.title") }), csv), bar, view.list, calendarCard());
  const soon = () => { clearTimeout(view.timer); view.timer = setTimeout(() => read(view, false), RELOAD_MS); };
  const stops = [followOwn(["deskraft.booking"], soon), onReset(soon)];
  const stop = () => { view.stopped = true; clearTimeout(view.timer); stops.forEach((each) => each()); };
  drawFilters(view, bar, await spaces().catch(() => []));
  await read(view, false);
  return stop;
}

// Filters.

function drawFilters(view, bar, all) {
  const { filter } = view;
  const changed = (name, field) => () => { filter[name] = field.value; note("history", Object.fromEntries(Object.entries(filter).filter(([, value]) => value))); read(view, false, true); };
  const choice = (name, options) => {
    const field = el("select", { name }, options.map(([value, text]) => el("option", { value, text, selected: value === filter[name] })));
    field.addEventListener("change", changed(name, field));
    return field;
  };
  const day = (name) => {
    const field = el("input", { type: "date", name, value: filter[name], min: "2000-01-01", max: "2100-12-31" });
    field.addEventListener("change", changed(name, field));
    return field;
  };
  bar.append(
    labelled(say("history.status"), choice("status", [["", say("history.any")], ...Object.keys(STATES).map((each) => [each, say(`history.${each}`)])])),
    labelled(say("history.space"), choice("space_id", [["", say("history.anySpace")], ...all.map((each) => [each.id, each.name])])),
    labelled(say("history.from"), day("from")), labelled(say("history.to"), day("to")));
}

const query = ({ filter }) => new URLSearchParams(Object.entries(filter).filter(([, value]) => value));

// The list.

/** Read the next page, or, without `more`, anew as much as is shown. `fresh`: another filter begins at the top. */
async function read(view, more, fresh = false) {
  const turn = view.turn += 1;
  const asked = query(view);
  asked.set("limit", more || fresh ? PAGE : Math.min(MAX_PAGE, Math.max(PAGE, view.items.length)));
  if (more) asked.set("cursor", view.next);
  try {
    const { body } = await ask("GET", `/history?${asked}`);
    if (view.stopped || turn !== view.turn) return;
    view.items = more ? [...view.items, ...body.items] : body.items;
    view.next = body.next;
    draw(view, more ? body.items[0]?.id : null);
  } catch (problem) {
    if (view.stopped || turn !== view.turn) return;
    if (view.items.length) toast(problemText(problem), { kind: "bad" });
    else clear(view.list).append(trouble(problem, () => read(view, false)));
  }
}

function draw(view, focused) {
  const open = new Set([...view.list.querySelectorAll("details[open]")].map((each) => each.dataset.booking));
  const held = view.list.contains(document.activeElement) ? document.activeElement.closest("[data-booking]")?.dataset.booking : null;
  const rows = view.items.map((booking) => row(booking, open.has(booking.id)));
  clear(view.list).append(el("p", { class: "quiet", role: "status", text: view.items.length || !view.next ? say("history.shown", { count: view.items.length }) : say("history.keepLooking") }));
  if (rows.length) view.list.append(el("ul", { class: "items" }, rows.map((each) => el("li", {}, each))));
  else if (!view.next) view.list.append(empty(say(query(view).size ? "history.noneSuch" : "history.none"), el("a", { class: "button main", href: "#/book", text: say("mine.book") })));
  if (view.next) {
    const more = el("button", { type: "button", class: "more no-print", text: say("history.more"), on: { click: () => busy(more, () => read(view, true)) } });
    view.list.append(more);
  }
  const to = focused || held;
  if (to) rows.find((each) => each.dataset.booking === to)?.querySelector("summary").focus();
}

function row(booking, open) {
  const [kind, glyph] = STATES[booking.status];
  const space = spaceOf(booking.space_id);
  const story = el("div", { class: "story" });
  const box = el("details", { data: { booking: booking.id }, open },
    el("summary", {},
      el("span", { class: "when" }, el("time", { datetime: booking.starts_at, text: `${dayName(dateOf(booking.starts_at))}, ${hoursName(booking.starts_at, booking.ends_at)}` }), el("span", { class: "quiet", text: zoneName(booking.timezone, booking.starts_at) })),
      el("span", { class: "what" }, el("strong", { text: booking.seat_label }), el("span", { text: space?.name || booking.space_id })),
      chip(kind, glyph, say(`history.${booking.status}`))),
    story);
  const tell = () => { if (box.open && !story.childElementCount) storyOf(booking, story); };
  box.addEventListener("toggle", tell);
  if (open) tell();
  return box;
}

export default { path: "history", title: "history.title", needs: "user", show };
