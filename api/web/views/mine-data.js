// What the screen of one's own bookings is drawn from: one reading of everything, as maps by id.

import { ask } from "../lib/cluster.js";
import { spaces } from "../lib/spaces.js";

const PAGE = 200; // the most that a node gives at once
const MAX_PAGES = 5; // a thousand bookings to come; beyond that the screen says that there are more
export const NEAR_MS = 24 * 3_600_000; // a hint about checking in is of use on the day
const EARLY_MS = 15 * 60_000; // before the start, from when on one can check in (statemachine/checkin.py)

/** All pages of a list: its items, and whether there are more than MAX_PAGES of them. */
export async function allPages(path, maxPages = MAX_PAGES) {
  const items = [];
  for (let cursor = null, page = 0; page < maxPages; page += 1) {
    const { body } = await ask("GET", `${path}${path.includes("?") ? "&" : "?"}limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
    items.push(...body.items);
    cursor = body.next;
    if (!cursor) return { items, cut: false };
  }
  return { items, cut: true };
}

/** `bookings` in the order in which they begin; `series` by the id of each booking of one; `graces` in minutes by space; `checkedIn` ids. */
export async function loadMine() {
  const [upcoming, series, waitlist] = await Promise.all([
    allPages("/api/v1/bookings?when=upcoming&status=confirmed"), allPages("/api/v1/series?when=upcoming"), ask("GET", "/api/v1/waitlist"), spaces(),
  ]);
  const bookings = upcoming.items.sort((one, other) => Date.parse(one.starts_at) - Date.parse(other.starts_at) || one.id.localeCompare(other.id));
  const data = {
    bookings, cut: upcoming.cut, series: new Map(), graces: new Map(), checkedIn: new Set(),
    starts: new Map(bookings.map((each) => [each.id, Date.parse(each.starts_at)])),
    waiting: waitlist.body.items.filter((each) => each.status !== "promoted"), // what one got by waiting stands among the bookings
  };
  for (const record of series.items) record.booking_ids.forEach((id, at) => data.series.set(id, { record, number: at + 1 }));
  await addCheckIns(data);
  return data;
}

/** Which spaces ask to check in, and whether one has where it is time to. A booking does not tell, its history does; only those of now are asked. */
async function addCheckIns(data) {
  const now = Date.now();
  const near = data.bookings.filter((each) => Date.parse(each.starts_at) - now < NEAR_MS);
  await Promise.all([...new Set(near.map((each) => each.space_id))].map(async (id) => {
    const { body } = await ask("GET", `/api/v1/spaces/${encodeURIComponent(id)}/checkin`);
    if (body.grace_minutes) data.graces.set(id, body.grace_minutes);
  }));
  const open = near.filter((each) => data.graces.has(each.space_id) && checkInFrom(each) <= now);
  await Promise.all(open.map(async ({ id }) => {
    const { body } = await ask("GET", `/api/v1/bookings/${encodeURIComponent(id)}/history`);
    const since = body.items.map((each) => each.kind);
    if (since.lastIndexOf("checked-in") > since.lastIndexOf("moved")) data.checkedIn.add(id); // moved since: one has to again
  }));
}

export const checkInFrom = (booking) => Date.parse(booking.starts_at) - EARLY_MS;

/** Until when one has to have checked in; 0 where nobody has to. */
export function checkInUntil(data, booking) {
  const grace = data.graces.get(booking.space_id);
  return grace ? Math.min(Date.parse(booking.starts_at) + grace * 60_000, Date.parse(booking.ends_at)) : 0;
}

/** When the list will look different without anybody doing anything; Infinity: never. */
export function nextMoment(data, now) {
  const moments = data.bookings.flatMap((each) => [checkInFrom(each), Date.parse(each.starts_at), Date.parse(each.ends_at), checkInUntil(data, each)]);
  for (const each of data.waiting) moments.push(Date.parse(each.starts_at));
  return Math.min(...moments.filter((each) => each > now));
}
