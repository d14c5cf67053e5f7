// What the booking screen asks of the cluster, each thing once.
//
// A choice gets its Idempotency-Key when it is made (`choose`) and keeps it until it is answered (lib/cluster.js, `pending`): a second click, a reload of the
// page or a node that dies in the middle sends the same key again. What became of a request that nobody answered is never guessed: it is asked again.

import { Problem, ask, pending } from "../lib/cluster.js";

const PAUSES_MS = [500, 1_000, 2_000, 4_000, 5_000, 5_000]; // between repetitions of a request without an answer; each of them is patient itself
const choice = pending("book");

const wish = ({ space_id, seat_id, starts_at, slots }) => ({ space_id, ...(seat_id ? { seat_id } : {}), starts_at, slots });

/** What shall be asked when the button is pressed: a place, repeated for some weeks, or as the new place of a booking. Null: nothing. */
export function choose(place, { weeks = 1, moving = null } = {}) {
  if (!place) choice.forget();
  else if (moving) choice.prepare("POST", `/api/v1/bookings/${encodeURIComponent(moving.id)}/move`, { seat_id: place.seat_id, starts_at: place.starts_at, slots: place.slots });
  else if (weeks > 1) choice.prepare("POST", "/api/v1/series", { ...wish(place), rrule: `FREQ=WEEKLY;COUNT=${weeks}`, mode: "free" });
  else choice.prepare("POST", "/api/v1/bookings", wish(place));
}

/** The choice that has no answer yet, from before a reload or another language: {place, sent, moving, weeks}. */
export function chosen() {
  const waiting = choice.waiting();
  if (!waiting) return null;
  const [, moving] = /bookings\/(.+)\/move$/.exec(waiting.path) || [];
  return { place: waiting.body, sent: waiting.sent, moving: moving && decodeURIComponent(moving), weeks: Number(/COUNT=(\d+)/.exec(waiting.body.rrule)?.[1] || 1) };
}

/** Whether a problem leaves open what became of the request. */
export const isOpen = (problem) => problem instanceof Problem && [429, 503].includes(problem.status);

/** Send the choice until there is an answer: its body. `late()` is called when there is none at once. Throws the refusal, or the last 503 after a while. */
export async function send(late) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return (await choice.send()).body;
    } catch (problem) {
      if (!isOpen(problem) || attempt >= PAUSES_MS.length) throw problem;
      late();
      await new Promise((done) => { setTimeout(done, PAUSES_MS[attempt]); });
    }
  }
}

const post = async (path, body) => (await ask("POST", path, { body })).body;

/** Give a booking back. */
export const cancel = (id) => post(`/api/v1/bookings/${encodeURIComponent(id)}/cancel`);

/** Give back what a series has ahead. */
export const cancelSeries = (id) => post(`/api/v1/series/${encodeURIComponent(id)}/cancel`);

/** Put a booking where it was. */
export const moveBack = (id, { seat_id, starts_at, slots }) => post(`/api/v1/bookings/${encodeURIComponent(id)}/move`, { seat_id, starts_at, slots });

/** Stand in line for a place; without `seat_id` any seat will do. */
export const join = (place) => post("/api/v1/waitlist", wish(place));

/** Wait no longer. */
export const leave = (id) => post(`/api/v1/waitlist/${encodeURIComponent(id)}/leave`);

/** What the user has in a space on a day, from bookings that began up to a week before: {bookings, waiting}. */
export async function mine(spaceId, from, to) {
  const asked = new URLSearchParams({ space_id: spaceId, status: "confirmed", from, to, limit: "200" });
  const [bookings, lines] = await Promise.all([ask("GET", `/api/v1/bookings?${asked}`), ask("GET", "/api/v1/waitlist")]);
  return { bookings: bookings.body.items, waiting: lines.body.items.filter((each) => each.space_id === spaceId && each.status !== "promoted") };
}
