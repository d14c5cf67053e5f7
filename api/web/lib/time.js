// Dates and times as people read them: by the clocks of the space, never of the browser, with the zone named and 24 hours to the day.
// What the API tells carries the space's own offset, so its wall clock stands in the text itself; only what is told in UTC (events) and what
// lies beyond a day that is shown is reckoned here.

import { language } from "./words.js";

const DAY_MS = 24 * 3600 * 1000;
const CITIES = {
  "Europe/Moscow": "Москва", "Europe/Kaliningrad": "Калининград", "Europe/Samara": "Самара", "Europe/Volgograd": "Волгоград",
  "Asia/Yekaterinburg": "Екатеринбург", "Asia/Omsk": "Омск", "Asia/Novosibirsk": "Новосибирск", "Asia/Krasnoyarsk": "Красноярск",
  "Asia/Irkutsk": "Иркутск", "Asia/Yakutsk": "Якутск", "Asia/Vladivostok": "Владивосток", "Asia/Magadan": "Магадан",
  "Asia/Kamchatka": "Камчатка", "Europe/Minsk": "Минск", "Asia/Almaty": "Алматы", "Asia/Tashkent": "Ташкент", "Asia/Tbilisi": "Тбилиси",
  "Asia/Yerevan": "Ереван", "Europe/Berlin": "Берлин", "Europe/London": "Лондон", "Europe/Paris": "Париж", "America/New_York": "Нью-Йорк",
};

/** The wall clock of an instant of the API: "10:00". */
export const clock = (instant) => instant.slice(11, 16);

/** Its local date: "2026-12-01". */
export const dateOf = (instant) => instant.slice(0, 10);

/** Its offset as the API writes it: "+03:00". */
export const offsetOf = (instant) => (instant.endsWith("Z") ? "+00:00" : instant.slice(-6));

/** An offset for people: "UTC+3", "UTC+5:30". */
export function offsetName(offset) {
  const [, sign, hours, minutes] = /([+-])(\d\d):(\d\d)/.exec(offset);
  return `UTC${sign === "-" ? "−" : "+"}${Number(hours)}${minutes === "00" ? "" : `:${minutes}`}`;
}

/** The city of a zone in the language of the page. */
export const cityOf = (zone) => (language() === "ru" && CITIES[zone]) || zone.split("/").pop().replaceAll("_", " ");

/** "Москва, UTC+3" for a zone at an instant of the API. */
export const zoneName = (zone, instant) => `${cityOf(zone)}, ${offsetName(offsetOf(instant))}`;

/** A date in words: style "medium" (1 дек. 2026 г.), "long", or "weekday" (вт, 1 дек.). */
export function dayName(date, style = "medium") {
  const fields = style === "weekday" ? { weekday: "short", day: "numeric", month: "short" } : { dateStyle: style };
  return new Intl.DateTimeFormat(language(), { ...fields, timeZone: "UTC" }).format(new Date(`${dateOf(date)}T00:00Z`));
}

/** "10:00–12:00"; the second offset too where the clocks change in between, and the second date beyond a day. */
export function hoursName(startsAt, endsAt) {
  const turned = offsetOf(endsAt) === offsetOf(startsAt) ? "" : ` ${offsetName(offsetOf(endsAt))}`;
  const midnight = clock(endsAt) === "00:00" ? "24:00" : clock(endsAt);
  const nextDay = Date.parse(endsAt) - Date.parse(startsAt) > DAY_MS ? `${dayName(endsAt, "weekday")}, ` : "";
  return `${clock(startsAt)}–${nextDay}${midnight}${turned}`;
}

/** "10:00–12:00 (Москва, UTC+3)". */
export const spanName = (startsAt, endsAt, zone) => `${hoursName(startsAt, endsAt)} (${zoneName(zone, startsAt)})`;

/** An instant, in milliseconds, by the clocks of a zone, as the API would write it. */
export function localText(milliseconds, zone) {
  const fields = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "longOffset" };
  const format = new Intl.DateTimeFormat("en-CA", { timeZone: zone, hourCycle: "h23", ...fields });
  const parts = Object.fromEntries(format.formatToParts(new Date(milliseconds)).map((each) => [each.type, each.value]));
  return `${parts.year}-${parts.month}-${parts.day}T${parts.hour}:${parts.minute}:${parts.second}${parts.timeZoneName.replace("GMT", "") || "+00:00"}`;
}

/** So many minutes after an instant, as the API would write it. */
export const later = (instant, minutes, zone) => localText(Date.parse(instant) + minutes * 60_000, zone);

/** Today's date in a zone: "2026-12-01". */
export const today = (zone) => dateOf(localText(Date.now(), zone));

/** The date so many days after another one. */
export function daysAfter(date, days) {
  const day = new Date(`${date}T00:00Z`);
  day.setUTCDate(day.getUTCDate() + days);
  return dateOf(day.toISOString());
}

/** An instant that something happened at: date and clock as the API wrote it. */
export const momentName = (instant) => `${dayName(instant)}, ${clock(instant)}`;

const zoneHere = () => Intl.DateTimeFormat().resolvedOptions().timeZone;
const here = (instant) => localText(Date.parse(instant), zoneHere());

/** The same for what belongs to no space: by the clocks of whoever looks, and the zone is named. */
export const localMoment = (instant) => `${nearMoment(instant)} (${zoneName(zoneHere(), here(instant))})`;

/** Beside a moment that has named the zone. */
export const nearMoment = (instant) => momentName(here(instant));
