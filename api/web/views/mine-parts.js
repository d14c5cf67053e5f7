// What the screens of a person's own bookings share: days as titles, states as chips, what stands there while nothing is known yet, and what when it cannot be.

import "./mine.words.js";

import { el } from "../lib/dom.js";
import { spaceOf } from "../lib/spaces.js";
import { dateOf, daysAfter, today } from "../lib/time.js";
import { problemText } from "../lib/ui.js";
import { language, say } from "../lib/words.js";

/** The zone that a booking or a place in a line is told in. */
export const zoneOf = (place) => place.timezone || spaceOf(place.space_id)?.timezone || "UTC";

/** "Tuesday, 1 December", with "today" or "tomorrow" where it is that in its zone. */
export function dayTitle(place) {
  const [date, now] = [dateOf(place.starts_at), today(zoneOf(place))];
  const fields = { weekday: "long", day: "numeric", month: "long", ...(date.slice(0, 4) === now.slice(0, 4) ? {} : { year: "numeric" }) };
  const name = new Intl.DateTimeFormat(language(), { ...fields, timeZone: "UTC" }).format(new Date(`${date}T00:00Z`));
  const near = date === now ? "parts.today" : date === daysAfter(now, 1) ? "parts.tomorrow" : null;
  return [el("span", { text: name[0].toUpperCase() + name.slice(1) }), near && el("span", { class: "near", text: say(near) })];
}

/** How many slots a booking takes; 0 when the space cuts its days otherwise by now. */
export function slotsOf({ space_id: id, starts_at: from, ends_at: to }) {
  const slots = (Date.parse(to) - Date.parse(from)) / 60_000 / (spaceOf(id)?.slot_minutes || 1);
  return spaceOf(id) && Number.isInteger(slots) ? slots : 0;
}

/** "1 h 30 min". */
export function durationText(minutes) {
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
  return [hours && say("parts.hours", { hours }), rest && say("parts.minutes", { minutes: rest })].filter(Boolean).join(" ");
}

/** A state by colour, glyph and text. */
export const chip = (kind, glyph, text) => el("span", { class: `chip ${kind}` }, el("span", { class: "glyph", "aria-hidden": "true", text: glyph }), text);

/** While nothing is known yet. */
export const placeholder = (rows) => el("div", { class: "skeleton", role: "status" }, el("span", { class: "unseen", text: say("parts.loading") }), Array.from({ length: rows }, () => el("i", { "aria-hidden": "true" })));

/** That it could not be read, and a button to try again. */
export const trouble = (problem, again) => el("div", { class: "empty", role: "alert" }, el("p", { text: problemText(problem) }), el("button", { type: "button", class: "main", text: say("parts.again"), on: { click: again } }));

/** A field under its name. */
export const labelled = (text, field, ...hints) => el("label", { class: "named" }, el("span", { text }), field, hints);

/** A part of a screen with a title of its own. */
export const card = (name, title, ...content) => el("section", { class: `card ${name}`, "aria-labelledby": `${name}-title` }, el("h2", { id: `${name}-title`, text: title }), content);
