// One space on one local day, as the booking screen knows it: a plain model without a document.
//
// Why: the grid, the plan, the bar and the live events all speak of the same cells. They are kept here once; whoever changes one is told which cells changed,
// so that only those are drawn. Instants are compared as milliseconds; what is shown comes from the text of the answer, which is written by the clocks of the space.

import { clock, dateOf, daysAfter, offsetOf } from "../lib/time.js";

const MAX_NEAR = 3; // free places offered of each kind, as many as a node offers
const NIGHT_ENDS = "08:00"; // how much of the next morning is shown where the night is open

export class Day {
  /** `answer` is that of `availability`, `index` the log index that it reflects, `nightName` how a date after this one is called. */
  constructor(space, answer, index, nightName = (date) => date) {
    this.space = space;
    this.date = answer.date;
    this.index = index;
    const times = answer.slots.map((slot) => slot.starts_at.slice(0, 16));
    const offsets = answer.slots.map((slot) => offsetOf(slot.starts_at));
    // Where the clocks change, an hour may stand twice: there the offset tells which is meant, as it does on both sides of a jump.
    const turns = (at) => times.indexOf(times[at]) !== times.lastIndexOf(times[at]) || [at - 1, at + 1].some((beside) => (offsets[beside] ?? offsets[at]) !== offsets[at]);
    this.slots = answer.slots.map((slot, at) => ({
      ...slot, from: Date.parse(slot.starts_at), to: Date.parse(slot.ends_at),
      name: (slot.starts_at.startsWith(this.date) ? "" : `${nightName(dateOf(slot.starts_at))} `) + clock(slot.starts_at) + (turns(at) ? ` ${offsets[at]}` : ""),
    }));
    const known = new Map(space.seats.map((seat) => [seat.id, seat]));
    this.rows = answer.seats.map(({ id, label, slots }) => ({ seat: known.get(id) || { id, label, zone: null, attributes: [], outages: [] }, states: slots }));
    this.rowOf = new Map(this.rows.map(({ seat }, row) => [seat.id, row]));
  }

  state(row, column) { return this.rows[row].states[column]; }

  /** The first slot that has not begun, or the number of slots. */
  get ahead() {
    const states = this.rows[0]?.states || [];
    const at = states.findIndex((state) => state !== "past");
    return at < 0 ? states.length : at;
  }

  /** The columns that a place touches: [first, last], or null. */
  columns({ starts_at: from, ends_at: to }) {
    const [begins, ends] = [Date.parse(from), Date.parse(to)];
    const first = this.slots.findIndex((slot) => slot.to > begins);
    if (first < 0 || this.slots[first].from >= ends) return null;
    let last = first;
    while (last + 1 < this.slots.length && this.slots[last + 1].from < ends) last += 1;
    return [first, last];
  }

  /** The place of some slots of a seat. */
  place(row, first, last) {
    const [from, to] = [this.slots[first], this.slots[last]];
    return { space_id: this.space.id, seat_id: this.rows[row].seat.id, starts_at: from.starts_at, ends_at: to.ends_at, slots: last - first + 1 };
  }

  slotsOf({ starts_at: from, ends_at: to }) { return Math.round((Date.parse(to) - Date.parse(from)) / 60_000 / this.space.slot_minutes); }

  /** The cells of a place when all of it is shown: {row, first, last}, or null. It has an end or a number of slots. */
  cells(place) {
    const row = this.rowOf.get(place.seat_id);
    const first = this.slots.findIndex(({ from }) => from === Date.parse(place.starts_at));
    const last = first + (place.slots || this.slotsOf(place)) - 1;
    return row === undefined || first < 0 || last >= this.slots.length || (place.space_id && place.space_id !== this.space.id) ? null : { row, first, last };
  }

  /** How a seat is at some hours as a whole: the worst of its cells. */
  over(row, first, last) {
    const states = this.rows[row].states.slice(first, last + 1);
    return ["past", "closed", "taken", "mine"].find((state) => states.includes(state)) || "free";
  }

  /**
   * A place has become `taken`, `mine` or `free`. Answers the cells that changed, or null when this cannot be told without asking: a slot that is freed in part
   * may be taken by somebody else in its other part (after the slots of the space got another length).
   */
  put(place, state) {
    const row = this.rowOf.get(place.seat_id);
    const columns = row === undefined ? null : this.columns(place);
    if (!columns) return [];
    const [begins, ends] = [Date.parse(place.starts_at), Date.parse(place.ends_at)];
    const changed = [];
    for (let column = columns[0]; column <= columns[1]; column += 1) {
      const slot = this.slots[column];
      if (state === "free" && (slot.from < begins || slot.to > ends)) return null;
      const before = this.state(row, column);
      const now = state === "free" && this.isOut(row, slot) ? "closed" : state;
      if (before === "past" || before === now) continue;
      this.rows[row].states[column] = now;
      changed.push([row, column]);
    }
    return changed;
  }

  /** Take over what a later answer says; the cells that differ, or null when it is not the same table. */
  merge(other) {
    const same = this.rows.length === other.rows.length && this.slots.length === other.slots.length
      && this.rows.every(({ seat }, row) => seat.id === other.rows[row].seat.id && seat.label === other.rows[row].seat.label)
      && this.slots.every((slot, at) => slot.starts_at === other.slots[at].starts_at);
    if (!same) return null;
    this.index = other.index;
    const changed = [];
    this.rows.forEach((mine, row) => mine.states.forEach((state, column) => {
      const now = other.rows[row].states[column];
      if (state === now) return;
      mine.states[column] = now;
      changed.push([row, column]);
    }));
    return changed;
  }

  isOut(row, slot) {
    return this.rows[row].seat.outages.some((out) => Date.parse(out.starts_at) < slot.to && Date.parse(out.ends_at) > slot.from);
  }

  /** The first of `rows` that is free for all these hours, or -1. */
  anySeat(rows, first, last) {
    return rows.find((row) => this.over(row, first, last) === "free") ?? -1;
  }

  /** Free places near to one that is not to be had: other times of the seat, then other seats at the time, as a node would offer them. */
  near(row, first, last) {
    const [length, offered] = [last - first, []];
    for (let away = 1; away < this.slots.length && offered.length < MAX_NEAR; away += 1) {
      for (const at of [first + away, first - away]) {
        if (at >= 0 && at + length < this.slots.length && this.over(row, at, at + length) === "free") offered.push(this.place(row, at, at + length));
      }
    }
    offered.length = Math.min(offered.length, MAX_NEAR);
    const others = this.rows.map((_, at) => (row + 1 + at) % this.rows.length).filter((at) => at !== row && this.over(at, first, last) === "free");
    return [...offered, ...others.slice(0, MAX_NEAR).map((at) => this.place(at, first, last))];
  }
}

/** Whether a space stays open over the midnight after a date. */
export const opensThrough = (space, date) => hoursOn(space, date)?.closes === "24:00" && hoursOn(space, daysAfter(date, 1))?.opens === "00:00";

/** The answers of two days as one, for a night that is one booking: the first day, and the early hours of the next. */
export function withNight(day, next) {
  if (day.slots.at(-1)?.ends_at !== next.slots[0]?.starts_at || day.seats.some(({ id }, row) => next.seats[row]?.id !== id)) return day;
  const early = next.slots.findIndex(({ starts_at: from }) => clock(from) >= NIGHT_ENDS);
  return { ...day, slots: [...day.slots, ...next.slots.slice(0, early)], seats: day.seats.map((seat, row) => ({ ...seat, slots: [...seat.slots, ...next.seats[row].slots.slice(0, early)] })) };
}

/** Whether a choice has this cell. */
export const covers = ({ row, first, last }, atRow, column) => row === atRow && first <= column && column <= last;

/** What an event says of seats: [{seat_id, starts_at, ends_at, state}]. Administrators and owners are told of bookings, everybody else of seats. */
export function placesOf({ type, data }, userId) {
  const now = { ...data, state: data.user_id === userId ? "mine" : "taken" };
  switch (type) {
    case "deskraft.seat.state": return data.places;
    case "deskraft.booking.confirmed": return [now];
    case "deskraft.booking.moved": return [{ ...data.before, state: "free" }, now];
    case "deskraft.booking.cancelled": case "deskraft.booking.released": return [{ ...data, state: "free" }];
    default: return [];
  }
}

const WEEK = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/** The hours of a space on a local date: {opens, closes}, or null when it is closed. */
export function hoursOn(space, date) {
  const special = space.special_days.find(({ first, last }) => first <= date && date <= last);
  if (special) return special.opens ? special : null;
  return space.hours[WEEK[new Date(`${date}T00:00Z`).getUTCDay()]] || null;
}
