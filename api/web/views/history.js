// All that one has ever booked, newest first.

import { el } from "../lib/dom.js";
import { say } from "../lib/words.js";
import { showBookings } from "./list.js";

function show(container) {
  container.append(el("h1", { text: say("history.title") }));
  return showBookings(container, "/history", {});
}

export default { path: "history", title: "history.title", needs: "user", show };
