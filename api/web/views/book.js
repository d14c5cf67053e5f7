// The booking screen: see, tap, booked.
//
// This file holds what is shown (space, day, hours, choice) and joins the parts: book-when (where and when), book-grid and book-plan (what can be had),
// book-bar (what is chosen and what became of it), book-deeds (what is done with it) over book-acts (requests), book-day (the cells). Invariants:
// - A cell is solid only after commit: it is "booking" while the request is on its way, and changes by answers and events alone.
// - Events at or below the index of the answer that was read are in it already; what comes while it is read waits for it. So cells never go back in time.
// - Who is not logged in sees everything; logging in keeps the choice, because the choice is a prepared request (book-acts).

import "./book.words.js";

import { Problem, ask, onConnection } from "../lib/cluster.js";
import { clear, el } from "../lib/dom.js";
import { follow, onReset } from "../lib/live.js";
import { note } from "../lib/route.js";
import { user } from "../lib/session.js";
import { labelOf, spaces } from "../lib/spaces.js";
import { dateOf, daysAfter, zoneName } from "../lib/time.js";
import { busy, empty, problemText, toast } from "../lib/ui.js";
import { say } from "../lib/words.js";
import * as acts from "./book-acts.js";
import { Bar } from "./book-bar.js";
import { Day, covers, opensThrough, placesOf, withNight } from "./book-day.js";
import { Deeds, NOWHERE } from "./book-deeds.js";
import { Grid } from "./book-grid.js";
import { placeOf, whenOf } from "./book-names.js";
import { Plan } from "./book-plan.js";
import { When, firstOpen, weekdayOf } from "./book-when.js";

const TYPES = ["deskraft.booking", "deskraft.seat", "deskraft.space", "deskraft.waitlist"];
const AGAIN_MS = 250; // changes of a space come in groups
const JITTER_MS = 15_000; // when an hour begins, not all pages ask at the same moment
const LONGEST_BOOKING_DAYS = 7;
const PLAN_BESIDE = 6.5; // seats in a row of a plan that stands beside the grid; a wider one takes its place
const RETRY_MS = 3_000;
const SPACE = "book.space";
const LAYOUT = "book.layout";

class Screen {
  constructor(container, parameters) {
    this.container = container;
    this.parameters = parameters;
    this.bookings = new Map();
    this.waiting = [];
    this.missed = null; // events that came while the day is read
    this.timers = {};
    const deeds = this.deeds = new Deeds(this);
    const told = {
      choose: (row, first, last) => this.choose(row === null ? null : { row, first, last }),
      can: (row, column) => this.can(row, column), longest: () => this.longest(),
      open: (row, column) => this.open(row, column), enter: (row, column) => this.enter(row, column), escape: () => this.dismiss(),
      space: (id) => this.visit(id, null), date: (date) => this.visit(this.space.id, date), hours: (first, last) => this.setHours(first, last),
      filter: () => this.filter(), any: () => this.any(),
      confirm: (weeks) => busy(null, () => deeds.confirm(weeks)), dismiss: () => this.dismiss(), home: () => this.home(), take: (place) => deeds.take(place), wait: (place) => busy(null, () => deeds.join(place)),
      cancel: (booking) => busy(null, () => deeds.cancel(booking)), move: (booking) => deeds.startMove(booking),
    };
    this.when = new When(told);
    this.grid = new Grid(told);
    this.plan = new Plan((row) => this.pressSeat(row));
    this.what = (place, short) => placeOf(this.space, this.date, place, short);
    this.bar = new Bar(told, { what: this.what, when: (place, dayOnly) => whenOf(this.space, place, dayOnly) });
  }

  async start() {
    this.spaces = await this.found();
    if (!this.spaces.length) { this.container.append(el("h1", { text: say("book.title") }), empty(say("book.no-spaces"))); return () => {}; }
    const before = acts.chosen();
    const wanted = this.parameters.space || before?.place.space_id || localStorage.getItem(SPACE);
    this.space = this.spaces.find(({ id }) => id === wanted) || this.spaces[0];
    this.date = /^\d{4}-\d\d-\d\d$/.test(this.parameters.date) ? this.parameters.date : before?.place.starts_at && dateOf(before.place.starts_at) || firstOpen(this.space);
    this.frame();
    const stops = [
      follow(TYPES, (event) => this.told(event)), onReset(() => this.reload()),
      onConnection((connection) => { if (connection === "live" && this.failed) this.reload(); }),
    ];
    await busy(null, () => this.load());
    if (before && this.day) this.deeds.goOn(before);
    return () => { this.gone = true; stops.forEach((stop) => stop()); this.bar.size.disconnect(); this.fits.disconnect(); document.documentElement.style.removeProperty("--book-bar"); Object.values(this.timers).forEach(clearTimeout); };
  }

  /** The spaces, as soon as the cluster tells them. */
  async found() {
    for (;;) {
      try {
        return await spaces();
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        clear(this.container).append(empty(problemText(problem)));
        await new Promise((done) => { setTimeout(done, RETRY_MS); });
        clear(this.container);
      }
    }
  }

  frame() {
    const kept = localStorage.getItem(LAYOUT) === "plan" ? "plan" : "grid";
    this.tabs = el("div", { class: "book-tabs", role: "group", "aria-label": say("book.layout") }, ...[["grid", "book.seats"], ["plan", "book.plan"]].map(([name, word]) => (
      el("button", { type: "button", text: say(word), "aria-pressed": String(name === kept), data: { layout: name }, on: { click: () => this.show(name) } }))));
    this.stage = el("div", { class: "book-stage", data: { layout: kept } },
      el("div", { class: "book-table", tabindex: "-1" }, this.grid.node), el("aside", { class: "book-map", "aria-label": say("book.plan") }, el("h2", { text: say("book.plan") }), this.plan.node));
    const table = this.grid.node.parentNode;
    const header = document.querySelector(".top");
    this.fits = new ResizeObserver(() => {
      table.classList.toggle("wide", this.grid.node.offsetWidth > table.clientWidth - 20); // then it scrolls by itself
      this.container.style.setProperty("--book-top", `${header.offsetHeight}px`); // what stays in sight stays below it
    });
    for (const each of [table, header]) this.fits.observe(each);
    this.nothing = el("div", { hidden: true });
    this.hint = el("p", { class: "quiet book-hint" }, el("span", { class: "fine", text: say("book.hint") }), el("span", { class: "coarse", text: say("book.hint-touch") }));
    const legend = el("ul", { class: "book-legend", "aria-hidden": "true" }, ...["free", "chosen", "mine", "taken", "closed", "past"].map((state) => el("li", {}, el("i", { data: { state } }), say(`book.state.${state}`))));
    this.container.classList.add("book");
    this.container.append(el("h1", { class: "unseen", text: say("book.title") }), this.when.node, this.tabs, this.nothing, this.stage, legend, this.hint, this.bar.said, this.bar.node);
  }

  show(layout) {
    localStorage.setItem(LAYOUT, layout);
    this.stage.dataset.layout = layout;
    for (const button of this.tabs.children) button.setAttribute("aria-pressed", String(button.dataset.layout === layout));
  }

  // The day.

  async visit(spaceId, date) {
    this.space = this.spaces.find(({ id }) => id === spaceId);
    localStorage.setItem(SPACE, spaceId);
    this.date = date || firstOpen(this.space);
    if (!this.deeds.moving || this.deeds.moving.space_id !== spaceId) this.letGo();
    else this.choose(null);
    await busy(null, () => this.load());
  }

  /** Read the day; what is drawn already is changed where it differs. */
  async load() {
    const [space, date] = [this.space, this.date];
    const missed = this.missed = [];
    note("book", { space: space.id, date });
    this.stage.setAttribute("aria-busy", "true");
    let [answer, night, own] = [null, null, { bookings: [], waiting: [] }];
    const read = (day) => ask("GET", `/api/v1/spaces/${encodeURIComponent(space.id)}/availability?date=${day}`);
    try {
      [answer, night, own] = await Promise.all([
        read(date), opensThrough(space, date) ? read(daysAfter(date, 1)) : null,
        user() ? acts.mine(space.id, daysAfter(date, -LONGEST_BOOKING_DAYS), daysAfter(date, 1)) : own,
      ]);
      this.failed = false;
    } catch (problem) {
      this.failed = true;
      throw problem;
    } finally {
      if (this.missed === missed) this.stage.removeAttribute("aria-busy");
    }
    if (this.missed !== missed || this.gone) return; // another day was asked for meanwhile
    this.missed = null;
    const now = new Day(space, night ? withNight(answer.body, night.body) : answer.body, Math.min(answer.index, night?.index ?? answer.index), weekdayOf);
    this.bookings = new Map(own.bookings.map((each) => [each.id, each]));
    const same = this.day?.space === space && this.day.date === date ? this.day.merge(now) : null;
    if (same) this.cellsChanged(same, false); else this.render(now);
    this.waiting = own.waiting;
    this.grid.wait(this.waitingCells());
    for (const event of missed) this.told(event);
    this.planNextHour();
  }

  /** As `load`, soon, and once for whatever asks for it together. */
  reload(wait = AGAIN_MS, name = "reload") {
    clearTimeout(this.timers[name]);
    this.timers[name] = setTimeout(() => busy(null, () => this.load()), wait);
  }

  render(day) {
    const before = this.day && this.hours && this.day.slots[this.hours.first] && { from: this.day.slots[this.hours.first].name, length: this.hours.last - this.hours.first };
    const place = this.selected && this.deeds.place;
    this.day = day;
    this.selected = null;
    this.when.draw(this.spaces, this.space, this.date, user());
    const open = day.slots.length > 0;
    this.grid.render(day);
    const planned = open ? this.plan.render(day) : 0;
    this.stage.classList.toggle("with-plan", planned > 0);
    this.container.classList.toggle("side", planned > 0 && planned <= PLAN_BESIDE);
    this.tabs.hidden = !planned;
    const first = open && day.ahead < day.slots.length ? Math.max(day.ahead, before ? day.slots.findIndex(({ name }) => name === before.from) : 0) : -1;
    this.hours = first < 0 ? null : { first, last: Math.min(first + (before?.length || 0), day.slots.length - 1) };
    this.filter();
    if (place) this.keep(day.cells(place));
    const table = this.grid.node.parentNode;
    table.scrollLeft = 0;
    if (day.ahead > 0 && this.hours && table.scrollWidth > table.clientWidth) table.scrollLeft = this.grid.cell(0, day.ahead).offsetLeft - this.grid.cell(0, 0).offsetLeft;
  }

  /** The table is a new one: what was chosen, or is on its way, stays where it can. */
  keep(cells) {
    if (this.deeds.sending) {
      this.deeds.sending = cells || NOWHERE;
      this.selected = cells;
      this.paint(this.deeds.sending, "booking");
    } else if (cells && this.isFree(cells)) this.choose(cells);
    else this.letGo();
  }

  filter() {
    const shown = this.shownRows();
    this.grid.filter((row) => shown.includes(row));
    const nothing = !this.day.slots.length ? "book.shut" : !shown.length ? "book.no-seats" : null;
    this.nothing.hidden = !nothing;
    this.stage.hidden = Boolean(nothing);
    if (nothing) clear(this.nothing).append(empty(say(nothing)));
    if (this.selected && !shown.includes(this.selected.row)) this.choose(null);
    this.drawHours();
  }

  shownRows() { return this.day.rows.flatMap(({ seat }, row) => (this.when.wants(seat) ? [row] : [])); }

  /** The hours, the plan and the count that follow from them. */
  drawHours() {
    const { day, hours } = this;
    this.when.drawHours(day, hours, say("book.zone", { zone: zoneName(this.space.timezone, day.slots[0]?.starts_at || `${this.date}T12:00:00+00:00`) }));
    if (hours) this.drawPlan();
  }

  drawPlan() {
    const { day, hours } = this;
    if (!hours) return;
    const shown = this.shownRows();
    const free = shown.filter((row) => day.over(row, hours.first, hours.last) === "free").length;
    const text = say("book.free-of", { free, count: shown.length });
    if (this.when.count.textContent !== text) this.when.count.textContent = text;
    this.plan.draw(hours, this.selected?.row ?? null, (row) => shown.includes(row));
  }

  /** When the next slot begins, the day is read again: what is past is the cluster's to say. */
  planNextHour() {
    const next = this.day.slots[this.day.ahead];
    const wait = next ? next.from - Date.now() : Infinity;
    clearTimeout(this.timers.hour);
    if (wait < 86_400_000) this.reload(Math.max(wait, 1_000) + Math.random() * JITTER_MS, "hour");
  }

  // What happens elsewhere.

  told(event) {
    if (this.missed) { this.missed.push(event); return; }
    const { type, data } = event;
    const me = user()?.id;
    if (type === "deskraft.waitlist.promoted" && me && data.user_id === me) toast(say("book.promoted", { what: this.what(data) })); // good news, also when the day shows it already
    if (Number(event.id.split(".")[0]) <= this.day.index) return;
    if (type.startsWith("deskraft.space.") || type === "deskraft.seat.revised") {
      if (data.space_id === this.space.id) { clearTimeout(this.timers.revised); this.timers.revised = setTimeout(() => busy(null, () => this.revised()), AGAIN_MS); }
      return;
    }
    if (data.user_id === me && me) this.toldOfMine(event);
    for (const place of placesOf(event, me)) if (place.space_id === this.space.id) this.put(place, place.state);
  }

  async revised() {
    this.spaces = await spaces();
    this.space = this.spaces.find(({ id }) => id === this.space.id) || this.spaces[0];
    await this.load();
  }

  toldOfMine({ type, data, id }) {
    if (data.booking_id && data.status === "confirmed") this.bookings.set(data.booking_id, { ...data, id: data.booking_id, revision: id });
    else if (data.booking_id && data.status) this.bookings.delete(data.booking_id);
    if (type.startsWith("deskraft.waitlist.")) this.reload();
  }

  put(place, state) {
    const changed = this.day.put(place, state);
    if (changed) this.cellsChanged(changed); else this.reload();
  }

  /** Draw cells that have changed, lit when somebody else has changed them just now. */
  cellsChanged(cells, lit = true) {
    if (!cells.length) return;
    const { selected } = this;
    const sent = this.deeds.sending ? cells.filter(([row, column]) => this.day.state(row, column) !== "free" || !covers(this.deeds.sending, row, column)) : cells;
    if (lit) this.grid.changed(sent); else for (const cell of sent) this.grid.draw(...cell);
    this.drawPlan();
    if (!selected || this.deeds.sending || !cells.some(([row, column]) => covers(selected, row, column) && !this.can(row, column))) return;
    const place = this.day.place(selected.row, selected.first, selected.last);
    const others = cells.some(([row, column]) => covers(selected, row, column) && this.day.state(row, column) === "taken");
    this.letGo();
    if (others) this.bar.taken(say("book.taken", { seat: labelOf(place.space_id, place.seat_id) }), place, this.day.near(selected.row, selected.first, selected.last));
  }

  /** A booking has become one's own, or is so no longer. */
  own(booking) {
    this.bookings.set(booking.id, booking);
    if (booking.space_id === this.space.id) this.put(booking, "mine");
  }

  disown(booking) {
    this.bookings.delete(booking.id);
    if (booking.space_id === this.space.id) this.put(booking, "free");
  }

  paint({ row, first, last }, how) { for (let column = first; column <= last; column += 1) if (this.grid.cell(row, column)) this.grid.draw(row, column, how); }

  // Choosing.

  can(row, column) {
    if (this.deeds.sending || this.day.date !== this.date || this.day.space.id !== this.space.id) return false; // another day is on its way
    const state = this.day.state(row, column);
    return state === "free" || (state === "mine" && Boolean(this.deeds.moving) && this.bookingAt(row, column)?.id === this.deeds.moving.id);
  }

  isFree({ row, first, last }) {
    for (let column = first; column <= last; column += 1) if (!this.can(row, column)) return false;
    return true;
  }

  /** How many slots one booking may have. */
  longest() {
    const { policy, slot_minutes: minutes } = this.space;
    return policy.longest_minutes && user()?.role !== "admin" ? Math.max(1, Math.floor(policy.longest_minutes / minutes)) : Infinity;
  }

  choose(selected, weeks = 1) {
    const { deeds } = this;
    this.selected = selected;
    this.grid.select(selected);
    deeds.place = selected && this.day.place(selected.row, selected.first, selected.last);
    acts.choose(deeds.place, { weeks, moving: deeds.moving });
    if (selected) {
      this.hours = { first: selected.first, last: selected.last };
      this.bar.choice(deeds.place, deeds.moving, weeks);
    } else if (deeds.moving) this.bar.moving(deeds.moving);
    else this.bar.hide();
    this.drawHours();
  }

  /** Nothing is chosen, moved or asked any more. */
  letGo() {
    this.deeds.moving = null;
    if (this.day) this.choose(null);
  }

  dismiss() { if (!this.deeds.sending) this.letGo(); }

  home() { this.grid.cell(...this.grid.focus)?.focus({ preventScroll: true }); }

  setHours(first, last) {
    this.hours = { first, last: Math.min(last, first + this.longest() - 1) };
    const row = this.selected?.row;
    if (row !== undefined && this.day.over(row, first, this.hours.last) === "free") this.choose({ row, ...this.hours });
    else if (row !== undefined) this.choose(null);
    this.drawHours();
  }

  /** A seat of the plan was pressed: it is chosen for the hours that are set, or it says why not. */
  pressSeat(row) {
    const { first, last } = this.hours;
    const shut = Array.from({ length: last - first + 1 }, (_, at) => first + at).find((column) => !this.can(row, column));
    if (shut !== undefined) this.open(row, shut);
    else this.choose(this.selected?.row === row ? null : { row, first, last });
  }

  any() {
    const { first, last } = this.hours;
    const row = this.day.anySeat(this.shownRows(), first, last);
    if (row >= 0) {
      this.choose({ row, first, last });
      this.grid.rove(row, first);
      this.grid.cell(row, first).scrollIntoView({ block: "nearest", inline: "nearest" });
      this.bar.node.querySelector(".main").focus({ preventScroll: true });
      return;
    }
    const shown = this.shownRows();
    const near = [];
    for (let at = this.day.ahead; at + last - first < this.day.slots.length && near.length < 3; at += 1) {
      const free = this.day.anySeat(shown, at, at + last - first);
      if (free >= 0) near.push(this.day.place(free, at, at + last - first));
    }
    this.letGo();
    this.bar.taken(say("book.none"), { ...this.day.place(0, first, last), seat_id: null }, near);
  }

  /** Enter on a cell: books what is chosen there, else is a tap. */
  enter(row, column) {
    if (this.selected && covers(this.selected, row, column)) this.bar.node.querySelector(".main")?.click();
    else this.grid.pick(row, column);
  }

  /** A cell that cannot be chosen was pressed. */
  open(row, column) {
    if (this.deeds.sending) return;
    const state = this.day.state(row, column);
    const [seat, booking] = [this.day.rows[row].seat.label, this.bookingAt(row, column)];
    if (state === "mine" && booking) { this.letGo(); this.bar.own(booking); return; }
    if (state === "past") { this.bar.tell(say("book.begun")); return; }
    if (state !== "taken" && state !== "closed") return;
    const length = this.hours && this.hours.first === column && this.day.over(row, column, this.hours.last) !== "past" ? this.hours.last - column : 0;
    this.letGo();
    this.bar.taken(say(state === "taken" ? "book.is-taken" : "book.is-closed", { seat }), this.day.place(row, column, column + length), this.day.near(row, column, column + length));
  }

  bookingAt(row, column) {
    const { from, to } = this.day.slots[column];
    const seat = this.day.rows[row].seat.id;
    return [...this.bookings.values()].find((each) => each.space_id === this.space.id && each.seat_id === seat && Date.parse(each.starts_at) < to && Date.parse(each.ends_at) > from);
  }

  waitingCells() {
    return this.waiting.flatMap((each) => {
      const [row, columns] = [this.day.rowOf.get(each.seat_id), this.day.columns(each)];
      return row === undefined || !columns ? [] : Array.from({ length: columns[1] - columns[0] + 1 }, (_, at) => [row, columns[0] + at]);
    });
  }
}

export default {
  path: "book",
  title: "book.title",
  needs: "nobody",
  show: (container, parameters) => new Screen(container, parameters).start(),
};
