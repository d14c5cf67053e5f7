// What places and times are called on the booking screen. Events tell times in UTC; people read the clocks of the space.

import { labelOf } from "../lib/spaces.js";
import { dateOf, dayName, localText, spanName } from "../lib/time.js";
import { say } from "../lib/words.js";
import { dayInWords } from "./book-when.js";

const local = (instant, space) => (instant.endsWith("Z") ? localText(Date.parse(instant), space.timezone) : instant);

/** "A3 · 10:00–12:00 (Moscow, UTC+3)"; with its day when that is not `date`, without the zone when it is to be short. */
export function placeOf(space, date, place, short = false) {
  const name = place.seat_id ? labelOf(place.space_id || space.id, place.seat_id) : say("book.any-seat");
  const [from, to] = [place.starts_at, place.ends_at].map((each) => local(each, space));
  const span = spanName(from, to, space.timezone);
  const other = dateOf(from) === date ? "" : `${dayName(from, "weekday")} · `;
  return `${name} · ${other}${short ? span.replace(/ \([^)]*\)$/, "") : span}`;
}

/** "Tuesday, 24 November · 2 h" */
export function whenOf(space, { starts_at: from, ends_at: to }, dayOnly = false) {
  const day = dayInWords(dateOf(local(from, space)));
  if (dayOnly) return day;
  const all = Math.round((Date.parse(to) - Date.parse(from)) / 60_000);
  const [hours, minutes] = [Math.floor(all / 60), all % 60];
  return `${day} · ${say(`book.duration-${!hours ? "minutes" : minutes ? "both" : "hours"}`, { hours, minutes })}`;
}
