// The day of a space as a table of seats and slots; choose a free one, and book it.

import "./book.words.js";

import { ask, pending } from "../lib/cluster.js";
import { clear, el } from "../lib/dom.js";
import { follow, onReset } from "../lib/live.js";
import { note } from "../lib/route.js";
import { needLogIn } from "../lib/session.js";
import { placeName, spaces } from "../lib/spaces.js";
import { clock, later, offsetName, offsetOf, cityOf, today } from "../lib/time.js";
import { busy, toast } from "../lib/ui.js";
import { say } from "../lib/words.js";

const SETTLE_MS = 200;
const MARK = { taken: "×", mine: "●", closed: "–", past: "" };

async function show(container, parameters) {
  const all = await spaces();
  const space = el("select", { id: "space" }, all.map((each) => el("option", { value: each.id, text: each.name })));
  const date = el("input", { id: "date", type: "date", required: true, min: "2000-01-01", max: "2100-12-31" });
  const slots = el("input", { id: "slots", type: "number", min: 1, max: 12, value: 1 });
  const zone = el("p", { id: "zone", class: "quiet" });
  const grid = el("table", { id: "grid" });
  const chosenText = el("p", { id: "choice-text" });
  const confirm = el("button", { type: "button", id: "confirm", class: "main", text: say("book.confirm") });
  const choice = el("div", { id: "choice", class: "card bar", hidden: true }, chosenText, confirm);
  const list = el("ul", { id: "alternative-list", class: "plain" });
  const alternatives = el("div", { id: "alternatives", class: "card", hidden: true }, el("h2", { text: say("book.alternatives") }), list);
  let [page, chosen] = [null, null];

  const here = () => all.find((each) => each.id === space.value);
  if (parameters.space && all.some((each) => each.id === parameters.space)) space.value = parameters.space;
  date.value = parameters.date || (here() ? today(here().timezone) : "");
  const labelled = (key, field) => el("label", {}, el("span", { text: say(key) }), field);
  container.append(
    el("h1", { text: say("book.title") }),
    el("div", { class: "row" }, labelled("book.space", space), labelled("book.date", date), labelled("book.slots", slots)),
    zone, el("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": say("book.title") }, grid), choice, alternatives);

  async function draw() {
    if (!here() || !date.value) return;
    const answer = await ask("GET", `/api/v1/spaces/${encodeURIComponent(space.value)}/availability?date=${date.value}`);
    [page, chosen] = [answer.body, null];
    const offsets = [...new Set(page.slots.map((slot) => offsetOf(slot.starts_at)))];
    // On a day when the clocks change an hour may stand twice: then the offset tells the two apart.
    const names = page.slots.map((slot) => clock(slot.starts_at) + (offsets.length > 1 ? ` ${offsetOf(slot.starts_at)}` : ""));
    zone.textContent = page.slots.length ? say("book.zone", { zone: `${cityOf(page.timezone)}, ${offsets.map(offsetName).join(" / ")}`, minutes: here().slot_minutes }) : say("book.noSlots");
    const head = el("tr", {}, el("th", { scope: "col", text: say("book.seat") }), names.map((name) => el("th", { scope: "col", text: name })));
    const rows = page.seats.map((seat) => el("tr", {}, el("th", { scope: "row", text: seat.label }), seat.slots.map((how, at) => el("td", {}, cell(seat, how, at, names[at])))));
    clear(grid).append(el("thead", {}, head), el("tbody", {}, rows));
    drawChoice();
  }

  function cell(seat, how, at, when) {
    const name = `${seat.label} ${when}: ${say(`book.${how}`)}`;
    if (how !== "free") return el("span", { class: how, role: "img", title: say(`book.${how}`), "aria-label": name, text: MARK[how] });
    const button = el("button", { type: "button", class: "free", "aria-pressed": "false", "aria-label": name });
    button.addEventListener("click", () => {
      grid.querySelector('[aria-pressed="true"]')?.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-pressed", "true");
      chosen = { seat, at };
      alternatives.hidden = true;
      drawChoice();
    });
    return button;
  }

  const count = () => Math.max(1, Number(slots.value) || 1);

  function wanted() {
    const startsAt = page.slots[chosen.at].starts_at;
    const last = page.slots[chosen.at + count() - 1];
    return { space_id: page.space_id, seat_id: chosen.seat.id, starts_at: startsAt, slots: count(), ends_at: last ? last.ends_at : later(startsAt, count() * here().slot_minutes, page.timezone) };
  }

  function drawChoice() {
    choice.hidden = !chosen;
    if (chosen) chosenText.textContent = placeName(wanted());
  }

  async function book({ ends_at: _, ...body }) {
    const write = pending("book");
    write.prepare("POST", "/api/v1/bookings", body);
    await needLogIn();
    try {
      const { body: booking } = await write.send();
      alternatives.hidden = true;
      toast(say("book.booked", { what: placeName(booking) }));
    } catch (error) {
      if (["seat-taken", "out-of-service"].includes(error.code)) offer(error.body.alternatives || []);
      throw error;
    } finally {
      await draw();
    }
  }

  function offer(found) {
    clear(list).append(...found.map((each) => {
      const button = el("button", { type: "button", text: placeName(each) });
      button.addEventListener("click", () => busy(button, () => book({ ...each, slots: count() })));
      return el("li", {}, button);
    }));
    alternatives.hidden = !found.length;
  }

  let timer = 0;
  const again = () => { clearTimeout(timer); timer = setTimeout(() => { if (!chosen) draw().catch(console.error); }, SETTLE_MS); };
  const stops = [follow(["deskraft.booking", "deskraft.seat", "deskraft.space"], again), onReset(again)];
  for (const field of [space, date]) field.addEventListener("change", () => { alternatives.hidden = true; note("book", { space: space.value, date: date.value }); busy(null, draw); });
  slots.addEventListener("input", drawChoice);
  confirm.addEventListener("click", () => busy(confirm, () => book(wanted())));
  await draw();
  return () => { clearTimeout(timer); for (const stop of stops) stop(); };
}

export default { path: "book", title: "book.title", needs: "nobody", show };
