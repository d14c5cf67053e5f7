// What one has booked and is still to come.

import { el } from "../lib/dom.js";
import { say } from "../lib/words.js";
import { showBookings } from "./list.js";

function show(container) {
  container.append(el("h1", { text: say("mine.title") }));
  return showBookings(container, "/api/v1/bookings", { when: "upcoming", status: "confirmed" });
}

export default { path: "mine", title: "mine.title", needs: "user", show };
