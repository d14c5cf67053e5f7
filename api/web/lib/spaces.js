// The spaces there are, read once and again when one changes; and how a booking is named to people.

import { ask } from "./cluster.js";
import { follow, onReset } from "./live.js";
import { dayName, localText, spanName } from "./time.js";

let reading = null;
let known = [];

const again = () => { reading = null; };
follow(["deskraft.space", "deskraft.seat"], (told) => { if (told.type !== "deskraft.seat.state") again(); });
onReset(again);

/** All spaces, as GET /api/v1/spaces tells them. */
export function spaces() {
  reading ??= ask("GET", "/api/v1/spaces", { signed: false }).then((answer) => (known = answer.body.items), (error) => { again(); throw error; });
  return reading;
}

/** One that has been read; undefined when there is none of that id. */
export const spaceOf = (id) => known.find((each) => each.id === id);

/** What a seat is called. */
export const labelOf = (spaceId, seatId) => spaceOf(spaceId)?.seats.find((each) => each.id === seatId)?.label || seatId;

/** "A3, 1 дек. 2026 г., 10:00–12:00 (Москва, UTC+3)" of anything with space_id, seat_id, starts_at, ends_at: a booking, an alternative, the data of an event. */
export function placeName({ space_id: spaceId, seat_id: seatId, starts_at: from, ends_at: to }) {
  const zone = spaceOf(spaceId)?.timezone || "UTC";
  const [begin, end] = [from, to].map((each) => (each.endsWith("Z") ? localText(Date.parse(each), zone) : each)); // events are told in UTC
  return `${labelOf(spaceId, seatId)}, ${dayName(begin)}, ${spanName(begin, end, zone)}`;
}
