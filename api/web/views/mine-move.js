// Another place for a booking, in a dialog of its own: a day, how long, a time, a seat; what was and what would be stand side by side before one agrees.
//
// Only what is free is offered, and the booking's own cells count as free: it may slide along. The cluster decides: it moves the booking in one step or leaves it
// where it is, and only while nobody has changed it since it was shown (If-Match). Undoing is another move.

import { ask } from "../lib/cluster.js";
import { clear, el } from "../lib/dom.js";
import { placeName, spaceOf } from "../lib/spaces.js";
import { clock, dateOf, hoursName, offsetOf, today } from "../lib/time.js";
import { dialog, problemText, toast } from "../lib/ui.js";
import { say } from "../lib/words.js";
import { durationText, labelled, placeholder, slotsOf } from "./mine-parts.js";

const MAX_SLOTS = 12; // offered in the list of durations; a longer booking keeps what it has

/** Open the dialog; `done` is called when the booking has moved, or turned out to have changed. */
export function openMove(booking, done) {
  const space = spaceOf(booking.space_id);
  const form = { booking, space, done, page: null, turn: 0, slots: slotsOf(booking) || 1, start: booking.starts_at, seat: booking.seat_id };
  form.date = el("input", { type: "date", required: true, value: dateOf(booking.starts_at), min: today(space.timezone), max: "2100-12-31", on: { change: () => form.date.value && loadDay(form) } });
  const lengths = [...new Set([...Array(MAX_SLOTS).keys()].map((each) => each + 1).concat(form.slots))].sort((one, other) => one - other);
  const length = el("select", { on: { change: () => { form.slots = Number(length.value); if (form.page) drawChoices(form); } } },
    lengths.map((each) => el("option", { value: each, selected: each === form.slots, text: durationText(each * space.slot_minutes) })));
  form.choices = el("div", { class: "choices" }, placeholder(2));
  form.notice = el("div", { role: "status" });
  form.summary = el("p", { class: "becomes", "aria-live": "polite" });
  const content = el("div", { class: "move" }, el("p", { class: "quiet", text: placeName(booking) }),
    el("div", { class: "row" }, labelled(say("mine.date"), form.date), labelled(say("mine.length"), length)), form.notice, form.choices, form.summary);
  const opened = dialog({ title: say("mine.moveTitle"), content, actions: [{ text: say("mine.stay") }, { text: say("mine.moveDo"), kind: "main", act: () => move(form) }] });
  form.confirm = opened.querySelector("footer .main");
  form.confirm.disabled = true;
  loadDay(form);
}

async function loadDay(form) {
  const turn = form.turn += 1;
  try {
    const { body } = await ask("GET", `/api/v1/spaces/${encodeURIComponent(form.space.id)}/availability?date=${form.date.value}`);
    if (turn !== form.turn) return; // another day was chosen meanwhile
    form.page = body;
    drawChoices(form);
  } catch (problem) {
    if (turn !== form.turn) return;
    clear(form.choices);
    tell(form, problemText(problem));
  }
}

function tell(form, text, ...more) { clear(form.notice).append(el("p", { class: "problem", text }), ...more); }

/** The seats that can be had from a slot on, for as long as is wanted. */
function seatsAt(form, at) {
  const { booking, page, slots } = form;
  if (at + slots > page.slots.length) return [];
  const [from, to] = [Date.parse(booking.starts_at), Date.parse(booking.ends_at)];
  return page.seats.filter((seat) => seat.slots.slice(at, at + slots).every((state, step) => {
    const begins = Date.parse(page.slots[at + step].starts_at);
    return state === "free" || (state === "mine" && seat.id === booking.seat_id && begins >= from && begins < to);
  }));
}

function drawChoices(form) {
  const { page } = form;
  const times = page.slots.map((slot, at) => ({ slot, seats: seatsAt(form, at) }));
  const free = times.filter((each) => each.seats.length);
  if (!free.some((each) => each.slot.starts_at === form.start)) {
    const sameClock = free.find((each) => clock(each.slot.starts_at) === clock(form.booking.starts_at));
    form.start = (sameClock || free[0])?.slot.starts_at || null;
  }
  const seats = times.find((each) => each.slot.starts_at === form.start)?.seats || [];
  if (!seats.some((each) => each.id === form.seat)) form.seat = (seats.find((each) => each.id === form.booking.seat_id) || seats[0])?.id || null;
  clear(form.choices);
  if (!free.length) form.choices.append(el("p", { class: "quiet", text: say(page.slots.length ? "mine.noneFree" : "mine.closedDay") }));
  else {
    form.choices.append(
      chips("move-time", say("mine.time"), times.filter((each) => each.seats.length || !isPast(each.slot)).map(({ slot, seats: fitting }) => ({ value: slot.starts_at, text: slotName(page, slot), off: !fitting.length })), form.start, (value) => { form.start = value; drawChoices(form); }),
      chips("move-seat", say("mine.seat"), seats.map((each) => ({ value: each.id, text: each.label })), form.seat, (value) => { form.seat = value; drawSummary(form); }),
    );
  }
  drawSummary(form);
}

const isPast = (slot) => Date.parse(slot.starts_at) <= Date.now();

/** The clock of a slot; on days when the clocks change an hour may stand twice, and the offset tells the two apart. */
function slotName(page, { starts_at: start }) {
  const changes = new Set(page.slots.map((each) => offsetOf(each.starts_at))).size > 1;
  return clock(start) + (changes ? ` ${offsetOf(start)}` : "");
}

function chips(name, legend, choices, chosen, onChoose) {
  const held = document.activeElement?.name === name; // drawn anew under the finger: the focus stays
  const box = el("fieldset", { class: "picks" }, el("legend", { text: legend }), choices.map(({ value, text, off }) => el("label", {},
    el("input", { type: "radio", name, value, checked: value === chosen, disabled: off, on: { change: () => onChoose(value) } }),
    el("span", { text }))));
  if (held) requestAnimationFrame(() => box.querySelector("input:checked")?.focus());
  return box;
}

/** The chosen place, as a booking would tell it. */
function chosen(form) {
  const at = form.page.slots.findIndex((each) => each.starts_at === form.start);
  const seat = form.page.seats.find((each) => each.id === form.seat);
  const last = form.page.slots[at + form.slots - 1];
  return at < 0 || !seat || !last ? null : { ...form.booking, seat_id: seat.id, seat_label: seat.label, starts_at: form.start, ends_at: last.ends_at };
}

function drawSummary(form) {
  const place = chosen(form);
  const same = place && ["seat_id", "starts_at", "ends_at"].every((each) => place[each] === form.booking[each]);
  form.confirm.disabled = !place || same;
  form.summary.textContent = !place ? "" : same ? say("mine.same") : say("mine.becomes", { what: placeName(place) });
}

/** Whether the dialog may close. */
async function move(form) {
  const { booking, done } = form;
  const place = chosen(form);
  try {
    const { body } = await ask("POST", movePath(booking), { body: { seat_id: place.seat_id, starts_at: place.starts_at, slots: form.slots }, etag: `"${booking.revision}"` });
    const slots = slotsOf(booking);
    toast(say("mine.moved", { what: placeName(body) }), { actions: slots ? [{ text: say("mine.takeBack"), act: () => moveBack(booking, slots, body, done) }] : [] });
    done();
    return true;
  } catch (problem) {
    if (["revision-changed", "booking-cancelled", "booking-begun"].includes(problem.code)) { // what stands here is no longer true
      toast(problemText(problem), { kind: "bad" });
      done();
      return true;
    }
    const instead = (problem.body?.alternatives || []).map((each) => offer(form, each));
    tell(form, problemText(problem), instead.length ? el("div", { class: "offers" }, instead) : "");
    await loadDay(form);
    return false;
  }
}

/** A free place of the refusal as a button: it is chosen, and one agrees as before. */
function offer(form, place) {
  const label = form.page.seats.find((each) => each.id === place.seat_id)?.label || place.seat_id;
  const choose = () => {
    [form.start, form.seat, form.date.value] = [place.starts_at, place.seat_id, dateOf(place.starts_at)];
    clear(form.notice);
    loadDay(form);
  };
  return el("button", { type: "button", text: `${label} · ${hoursName(place.starts_at, place.ends_at)}`, on: { click: choose } });
}

async function moveBack({ id, seat_id, starts_at, ends_at, space_id }, slots, moved, done) {
  try {
    const { body } = await ask("POST", movePath({ id }), { body: { seat_id, starts_at, slots }, etag: `"${moved.revision}"` });
    toast(say("mine.movedBack", { what: placeName(body) }));
  } catch (problem) {
    toast(problem.code === "seat-taken" ? say("mine.goneMeanwhile", { what: placeName({ seat_id, starts_at, ends_at, space_id }) }) : problemText(problem), { kind: "bad" });
  }
  done();
}

const movePath = (booking) => `/api/v1/bookings/${encodeURIComponent(booking.id)}/move`;
