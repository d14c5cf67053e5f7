// Where and when: the chooser of the space, the strip of dates, the hours, the filters. Native inputs do the work, so keys, thumbs and screen readers know them.

import { clear, el, icon } from "../lib/dom.js";
import { language, say } from "../lib/words.js";
import { clock, dateOf, daysAfter, localText, today } from "../lib/time.js";
import { hoursOn } from "./book-day.js";

const STRIP_DAYS = 14;
const HORIZON_DAYS = 3660; // where the space sets none

const inWords = (date, how) => new Intl.DateTimeFormat(language(), { ...how, timeZone: "UTC" }).format(new Date(`${date}T00:00Z`));
export const weekdayOf = (date) => inWords(date, { weekday: "short" });
export const dayInWords = (date) => inWords(date, { weekday: "long", day: "numeric", month: "long" });

/** How many days ahead one may book. */
const horizonOf = (space, user) => (user?.role === "admin" ? HORIZON_DAYS : Math.min(space.policy.horizon_days ?? HORIZON_DAYS, HORIZON_DAYS));

/** The first date from today on which there is something left to book. */
export function firstOpen(space) {
  const now = localText(Date.now(), space.timezone);
  const [first, hours] = [dateOf(now), hoursOn(space, dateOf(now))];
  if (hours && minutes(clock(now)) < minutes(hours.closes) - space.slot_minutes) return first;
  for (let days = 1; days < STRIP_DAYS; days += 1) if (hoursOn(space, daysAfter(first, days))) return daysAfter(first, days);
  return first;
}

const minutes = (text) => 60 * Number(text.slice(0, 2)) + Number(text.slice(3));

export class When {
  /** `told` hears `space(id)`, `date(date)`, `hours(first, last)`, `filter()`, `any()`. */
  constructor(told) {
    this.told = told;
    this.wanted = new Set(); // attributes, and zones as "zone:…"
    this.spaces = el("select", { class: "book-space", "aria-label": say("book.space"), on: { change: ({ target }) => told.space(target.value) } });
    this.zone = el("p", { class: "quiet book-zone" });
    this.strip = el("div", { class: "book-dates", role: "radiogroup", "aria-label": say("book.date"), on: { change: ({ target }) => told.date(target.value) } });
    this.picker = el("input", { type: "date", "aria-label": say("book.other-date"), on: {
      change: ({ target }) => { if (target.value && target.validity.valid) told.date(target.value); },
      click: ({ target }) => { if (matchMedia("(pointer: coarse)").matches) target.showPicker(); }, // on a phone only an icon is seen of it
    } });
    const hours = { change: () => told.hours(Number(this.from.value), Math.max(Number(this.from.value), Number(this.to.value))) };
    this.from = el("select", { "aria-label": say("book.from"), on: hours });
    this.to = el("select", { "aria-label": say("book.to"), on: hours });
    this.any = el("button", { type: "button", class: "quiet", text: say("book.any"), on: { click: () => told.any() } });
    this.count = el("span", { class: "quiet", role: "status" });
    this.filters = el("div", { class: "book-filters", role: "group", "aria-label": say("book.filter"), on: { change: ({ target }) => this.toggle(target) } });
    this.quick = el("div", { class: "book-quick" }, el("span", { class: "book-hours-choice" }, this.from, el("span", { "aria-hidden": "true", text: "–" }), this.to), this.any, this.count);
    this.node = el("div", { class: "book-when" },
      el("div", { class: "book-head" }, this.spaces, this.zone),
      el("div", { class: "book-days" }, this.strip, el("span", { class: "book-pick" }, icon("calendar"), this.picker)), this.quick, this.filters);
  }

  toggle({ value, checked }) {
    if (checked) this.wanted.add(value); else this.wanted.delete(value);
    this.told.filter();
  }

  /** Whether a seat has all that is asked for: each of the attributes, one of the zones. */
  wants(seat) {
    const zones = [...this.wanted].filter((each) => each.startsWith("zone:"));
    return (!zones.length || zones.includes(`zone:${seat.zone}`)) && [...this.wanted].every((each) => each.startsWith("zone:") || seat.attributes.includes(each));
  }

  /** Show a space and a date. */
  draw(spaces, space, date, user) {
    this.spaces.replaceChildren(...spaces.map(({ id, name }) => el("option", { value: id, text: name, selected: id === space.id })));
    this.spaces.disabled = spaces.length < 2;
    const first = today(space.timezone);
    const horizon = horizonOf(space, user);
    const shown = Array.from({ length: Math.min(STRIP_DAYS, horizon + 1) }, (_, days) => daysAfter(first, days));
    if (!shown.includes(date)) shown.push(date); // one from the picker
    const strip = `${space.id} ${space.revision} ${shown}`;
    if (strip !== this.drawn) clear(this.strip).append(...shown.map((each) => this.day(space, each, each === first, each === date))); // the same one keeps the focus
    else this.strip.querySelector(`[value="${date}"]`).checked = true;
    this.drawn = strip;
    Object.assign(this.picker, { min: first, max: daysAfter(first, horizon), value: date });
    const has = new Set(space.seats.flatMap((seat) => seat.attributes));
    const offered = ["monitor", "window", "quiet", "accessible"].filter((each) => has.has(each)).map((each) => [each, say(`book.has.${each}`)]);
    if (space.zones.length > 1) offered.push(...space.zones.map((zone) => [`zone:${zone}`, zone]));
    this.wanted = new Set([...this.wanted].filter((each) => offered.some(([value]) => value === each)));
    clear(this.filters).append(...offered.map(([value, text]) => el("label", { class: "book-chip" }, el("input", { type: "checkbox", value, checked: this.wanted.has(value) }), text)));
    this.filters.hidden = !offered.length;
    this.strip.querySelector(":checked")?.parentNode.scrollIntoView({ block: "nearest", inline: "center" });
  }

  day(space, date, isToday, chosen) {
    const open = hoursOn(space, date);
    const name = `${dayInWords(date)}${isToday ? `, ${say("book.today")}` : ""}${open ? "" : `, ${say("book.state.closed")}`}`;
    return el("label", { class: open ? "book-day" : "book-day shut", title: name },
      el("input", { type: "radio", name: "book-date", value: date, checked: chosen, "aria-label": name }),
      el("small", { text: isToday ? say("book.today") : weekdayOf(date) }), el("b", { text: String(Number(date.slice(8))) }), el("small", { text: inWords(date, { month: "short" }) }));
  }

  /** Show the hours that are chosen, among those of the day. */
  drawHours(day, hours, zone) {
    this.zone.textContent = zone;
    this.quick.hidden = !hours;
    if (!hours) return;
    const option = (value, text, chosen) => el("option", { value, text, selected: value === chosen });
    const ahead = day.slots.map((_, at) => at).slice(day.ahead);
    this.from.replaceChildren(...ahead.map((at) => option(at, day.slots[at].name, hours.first)));
    this.to.replaceChildren(...ahead.filter((at) => at >= hours.first).map((at) => option(at, endName(day, at), hours.last)));
  }
}

/** The end of a slot as a wall clock; with its offset when the next slot's beginning needs one. */
function endName(day, at) {
  return day.slots[at + 1]?.from === day.slots[at].to ? day.slots[at + 1].name : clock(day.slots[at].ends_at);
}
