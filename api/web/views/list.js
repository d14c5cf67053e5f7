// A list of one's own bookings, page by page, with a button to cancel: what "My bookings" and "History" have in common.

import "./list.words.js";

import { ask } from "../lib/cluster.js";
import { clear, el } from "../lib/dom.js";
import { follow, onReset } from "../lib/live.js";
import { placeName, spaceOf, spaces } from "../lib/spaces.js";
import { busy, empty, moreButton, toast } from "../lib/ui.js";
import { say } from "../lib/words.js";

const PAGE = 20;
const SETTLE_MS = 200;

/** Show the bookings that `path` with `filter` gives; stays as it is until something changes. Returns how to stop. */
export async function showBookings(container, path, filter) {
  const list = el("ul", { id: "list", class: "cards" });
  const rest = el("div");
  container.append(list, rest);
  let cursor = null;

  async function load() {
    const query = new URLSearchParams({ limit: PAGE, ...filter, ...(cursor ? { cursor } : {}) });
    const { body } = await ask("GET", `${path}?${query}`);
    cursor = body.next;
    return body.items.map(item);
  }

  async function draw() {
    cursor = null;
    clear(list).append(...(await load()));
    clear(rest);
    if (!list.children.length) rest.append(empty(say("list.nothing")));
    if (cursor) rest.append(moreButton(async () => { list.append(...(await load())); return cursor !== null; }));
  }

  function item(booking) {
    const space = spaceOf(booking.space_id)?.name;
    const name = `${space ? `${space}: ` : ""}${placeName(booking)}`;
    const made = el("li", { class: "card" }, el("span", { text: name }), el("span", { class: "quiet", text: say(`list.status.${booking.status}`) }));
    if (booking.status === "confirmed") {
      const button = el("button", { type: "button", text: say("list.cancel"), "aria-label": `${say("list.cancel")}: ${name}` });
      button.addEventListener("click", () => busy(button, async () => {
        await ask("POST", `/api/v1/bookings/${encodeURIComponent(booking.id)}/cancel`);
        toast(say("list.cancelled", { what: name }));
        await draw();
      }));
      made.append(button);
    }
    return made;
  }

  let timer = 0;
  const again = () => { clearTimeout(timer); timer = setTimeout(() => draw().catch(console.error), SETTLE_MS); };
  const stops = [follow(["deskraft.booking"], again), onReset(again)];
  await spaces();
  await draw();
  return () => { clearTimeout(timer); for (const stop of stops) stop(); };
}
