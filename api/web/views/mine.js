// My bookings: what is to come, by day, with all that one can do about it: say that one is there, move it, give it back, one day of a series or the
// rest of it; and the lines that one stands in.
//
// The list is always what the cluster last said: an action is shown as done when its answer is there, and every event of one's own reads the list anew.
// Nothing is held back for an "undo": a cancelled seat is free for everybody at once, so undoing is a new booking of the same place, and says so when
// somebody was quicker. Rows keep the focus and their order by the ids of their bookings.

import "./mine.words.js";

import { ask } from "../lib/cluster.js";
import { clear, el, icon } from "../lib/dom.js";
import { followOwn, onReset } from "../lib/live.js";
import { hash } from "../lib/route.js";
import { labelOf, placeName, spaceOf } from "../lib/spaces.js";
import { clock, dateOf, hoursName, localText, zoneName } from "../lib/time.js";
import { busy, confirmDialog, dialog, empty, problemText, toast } from "../lib/ui.js";
import { say } from "../lib/words.js";
import { NEAR_MS, checkInFrom, checkInUntil, loadMine, nextMoment } from "./mine-data.js";
import { openMove } from "./mine-move.js";
import { chip, dayTitle, placeholder, slotsOf, trouble, zoneOf } from "./mine-parts.js";

const SHOWN_AT_FIRST = 50; // rows; the rest by a button
const RELOAD_MS = 150; // events that come together are one reading
const MAX_TIMER_MS = 3_600_000; // a page that nobody touches looks again within the hour
const LATE_MS = 500; // after a moment of the clock, so that the cluster has seen it too

function show(container) {
  const view = { data: null, shown: SHOWN_AT_FIRST, seen: new Map(), here: new Set(), asked: 0, timers: {}, stopped: false };
  view.title = el("h1", { tabindex: "-1", text: say("mine.title") });
  view.body = el("div", { class: "mine" }, placeholder(3));
  const print = el("button", { type: "button", class: "quiet", on: { click: () => window.print() } }, icon("print"), say("mine.print"));
  container.append(el("header", { class: "view-head" }, view.title, print), view.body);
  const soon = () => { clearTimeout(view.timers.soon); view.timers.soon = setTimeout(() => reload(view), RELOAD_MS); };
  const stops = [followOwn(["deskraft.booking", "deskraft.waitlist"], soon), onReset(soon)];
  reload(view);
  return () => { view.stopped = true; Object.values(view.timers).forEach(clearTimeout); stops.forEach((stop) => stop()); };
}

async function reload(view) {
  const turn = view.asked += 1;
  try {
    const data = await loadMine();
    if (view.stopped || turn !== view.asked) return; // a later reading is on its way
    view.data = data;
    draw(view);
  } catch (problem) {
    if (view.stopped || turn !== view.asked) return;
    if (!view.data) clear(view.body).append(trouble(problem, () => reload(view)));
    else toast(problemText(problem), { kind: "bad" });
  }
}

function draw(view) {
  const held = heldFocus(view);
  const { bookings, waiting } = view.data;
  clear(view.body);
  if (!bookings.length && !waiting.length) {
    view.body.append(empty(say("mine.empty"), el("a", { class: "button main", href: hash("book"), text: say("mine.book") })));
  }
  for (const [day, list] of Map.groupBy(bookings.slice(0, view.shown), (each) => dateOf(each.starts_at))) {
    const name = `day-${day}`;
    view.body.append(el("section", { "aria-labelledby": name },
      el("h2", { id: name }, dayTitle(list[0])), el("ul", { class: "items" }, list.map((each) => row(view, each)))));
  }
  if (bookings.length > view.shown) {
    view.body.append(el("button", { type: "button", class: "more", text: say("mine.more", { count: bookings.length - view.shown }), on: { click: () => { view.shown += SHOWN_AT_FIRST; draw(view); } } }));
  }
  if (view.data.cut) view.body.append(el("p", { class: "quiet", text: say("mine.cut", { count: bookings.length }) }));
  if (waiting.length) view.body.append(waitingSection(view, waiting));
  view.seen = new Map(bookings.map((each) => [each.id, each.revision]));
  restoreFocus(view, held);
  clearTimeout(view.timers.moment);
  const moment = nextMoment(view.data, Date.now());
  view.timers.moment = setTimeout(() => reload(view), Math.min(MAX_TIMER_MS, moment - Date.now() + LATE_MS));
}

// Rows.

function row(view, booking) {
  const fresh = view.seen.size && view.seen.get(booking.id) !== booking.revision;
  return el("li", { class: fresh ? "item fresh" : "item", data: { booking: booking.id } },
    when(booking),
    el("div", { class: "what" }, el("strong", { text: booking.seat_label }), el("span", { text: spaceOf(booking.space_id)?.name || booking.space_id }), notes(view, booking)),
    status(view, booking),
    actions(view, booking));
}

const when = (place, ...before) => el("div", { class: "when" }, before, el("time", { datetime: place.starts_at, text: hoursName(place.starts_at, place.ends_at) }),
  el("span", { class: "quiet", text: zoneName(zoneOf(place), place.starts_at) }));

function notes(view, booking) {
  const [series, from, until] = [view.data.series.get(booking.id), checkInFrom(booking), checkInUntil(view.data, booking)];
  const found = [];
  if (series) found.push(`↻ ${say("mine.ofSeries", { number: series.number, of: series.record.booking_ids.length })}`);
  if (until && !isHere(view, booking) && Date.now() < until && from - Date.now() < NEAR_MS) {
    const [first, last] = [from, until].map((each) => clock(localText(each, zoneOf(booking))));
    found.push(say("mine.checkInTime", { first, last }));
  }
  return found.map((text) => el("span", { class: "quiet", text }));
}

const isHere = (view, booking) => view.data.checkedIn.has(booking.id) || view.here.has(booking.id);

function status(view, booking) {
  if (isHere(view, booking)) return chip("good", "✓", say("mine.here"));
  return Date.parse(booking.starts_at) <= Date.now() ? chip("mine", "▶", say("mine.now")) : chip("good", "●", say("mine.confirmed"));
}

function actions(view, booking) {
  const [now, from, until] = [Date.now(), checkInFrom(booking), checkInUntil(view.data, booking)];
  const named = (act, kind, work) => {
    const text = say(`mine.${act}`);
    const button = el("button", { type: "button", class: kind, data: { act }, "aria-label": `${text}: ${placeName(booking)}`, text, on: { click: () => work(button) } });
    return button;
  };
  return el("div", { class: "acts" },
    from <= now && now < until && !isHere(view, booking) && named("checkIn", "main", (button) => checkIn(view, booking, button)),
    spaceOf(booking.space_id) && Date.parse(booking.starts_at) > now && named("move", "", () => openMove(booking, () => reload(view))),
    named("cancel", "danger", (button) => giveBack(view, booking, button)));
}

// What one can do.

/** Run what a button does; then the list is read anew, whether the cluster agreed or knew better. */
const act = (view, button, work) => busy(button, () => work().finally(() => reload(view)));

const path = (booking, what) => `/api/v1/bookings/${encodeURIComponent(booking.id)}/${what}`;

function checkIn(view, booking, button) {
  return act(view, button, async () => {
    await ask("POST", path(booking, "checkin"), { body: {} });
    view.here.add(booking.id); // a booking from before check-in was asked for has no line of it in its history
    toast(say("mine.checkInDone"));
  });
}

async function giveBack(view, booking, button) {
  const series = view.data.series.get(booking.id);
  const later = series ? series.record.booking_ids.filter((id) => view.data.starts.get(id) > Date.parse(booking.starts_at)).length : 0;
  const choice = later ? await askWhich(booking, later) : "one";
  if (choice === "rest") await giveBackRest(view, series.record.id, booking, button);
  if (choice === "one") await giveBackOne(view, booking, button);
}

/** "one", "rest", or null: neither. */
function askWhich(booking, later) {
  return new Promise((resolve) => {
    let choice = null;
    const choose = (text, kind, chosen) => ({ text, kind, act: () => { choice = chosen; } });
    const actions = [choose(say("mine.keep"), "", null), choose(say("mine.thisAndLater", { count: later + 1 }), "danger", "rest"), choose(say("mine.onlyThis"), "danger", "one")];
    dialog({ title: say("mine.whichTitle"), content: el("p", { text: placeName(booking) }), actions }).addEventListener("close", () => resolve(choice));
  });
}

function giveBackOne(view, booking, button) {
  return act(view, button, async () => {
    const { body } = await ask("POST", path(booking, "cancel"), { body: {} });
    const slots = slotsOf(body);
    const again = slots && Date.parse(body.starts_at) > Date.now(); // what has begun cannot be booked
    toast(say("mine.cancelled", { what: placeName(body) }), { actions: again ? [{ text: say("mine.takeBack"), act: () => takeAgain(view, body, slots) }] : [] });
  });
}

/** The seat has been free for everybody since, so this is a new booking of the same place. */
async function takeAgain(view, booking, slots) {
  const { space_id, seat_id, starts_at } = booking;
  try {
    await ask("POST", "/api/v1/bookings", { body: { space_id, seat_id, starts_at, slots } });
    toast(say("mine.takenAgain", { what: placeName(booking) }));
  } catch (problem) {
    const gone = ["seat-taken", "out-of-service"].includes(problem.code);
    toast(gone ? say("mine.goneMeanwhile", { what: placeName(booking) }) : problemText(problem), { kind: "bad" });
  }
  await reload(view);
}

function giveBackRest(view, seriesId, booking, button) {
  return act(view, button, async () => {
    const { body } = await ask("POST", `/api/v1/series/${encodeURIComponent(seriesId)}/cancel`, { body: { from_booking_id: booking.id } });
    const kept = body.kept.length;
    toast(say("mine.cancelledMany", { count: body.cancelled.length }) + (kept ? ` ${say("mine.kept", { count: kept })}` : ""), { kind: kept ? "bad" : "ok" });
  });
}

// Lines.

function waitingSection(view, waiting) {
  return el("section", { "aria-labelledby": "waiting" }, el("h2", { id: "waiting", text: say("mine.waiting") }), el("p", { class: "quiet", text: say("mine.waitingHint") }),
    el("ul", { class: "items" }, waiting.map((each) => waitingRow(view, each))));
}

function waitingRow(view, place) {
  const seat = place.seat_id ? labelOf(place.space_id, place.seat_id) : say("mine.anySeat");
  const what = placeName({ ...place, seat_label: seat });
  const leave = el("button", { type: "button", class: "danger", data: { act: "leave" }, "aria-label": `${say("mine.leave")}: ${what}`, text: say("mine.leave") });
  leave.addEventListener("click", async () => {
    if (!await confirmDialog(say("mine.leaveSure", { what }), { danger: true, confirm: say("mine.leave") })) return;
    await act(view, leave, async () => {
      await ask("POST", `/api/v1/waitlist/${encodeURIComponent(place.id)}/leave`, { body: {} });
      toast(say("mine.left"));
    });
  });
  const line = place.position === 1 ? say("mine.nextInLine") : say("mine.before", { count: place.position - 1 });
  return el("li", { class: "item", data: { booking: place.id } },
    when(place, el("span", {}, dayTitle(place))),
    el("div", { class: "what" }, el("strong", { text: seat }), el("span", { text: spaceOf(place.space_id)?.name || place.space_id })),
    place.status === "outdated" ? chip("warn", "!", say("mine.outdated")) : chip("", "…", line),
    el("div", { class: "acts" }, leave));
}

// The focus stays where it was when the list is drawn anew; where its row is gone, on the row that took its place.

function heldFocus(view) {
  const at = document.activeElement;
  const rowOf = view.body.contains(at) ? at.closest("[data-booking]") : null;
  return rowOf && { id: rowOf.dataset.booking, act: at.dataset.act, number: [...view.body.querySelectorAll("[data-booking]")].indexOf(rowOf) };
}

function restoreFocus(view, held) {
  if (!held || document.querySelector("dialog[open]")) return;
  const rows = [...view.body.querySelectorAll("[data-booking]")];
  const found = rows.find((each) => each.dataset.booking === held.id) || rows[Math.min(held.number, rows.length - 1)];
  (found?.querySelector(`[data-act="${held.act}"]`) || found?.querySelector("button") || view.title).focus();
}

export default { path: "mine", title: "mine.title", needs: "user", show };
