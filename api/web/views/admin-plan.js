// The plan of a space: each seat is dragged, or moved by arrow keys, on a grid. Nothing is sent until it is saved; then each seat that has
// moved is changed with both of its numbers at once, so no seat ever stands in half a place.

import { el, svg } from "../lib/dom.js";
import { toast } from "../lib/ui.js";
import { button, change, fill, t } from "./admin-common.js";

const CELL = 48; // of the grid, in pixels: a finger fits
const [MIN_COLUMNS, MIN_ROWS, MAX_CELLS, SPARE] = [16, 8, 60, 2];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const FAR = 5; // cells, with Shift

const drafts = new Map(); // of each space what was moved and not saved yet: whoever looks at another tab finds it again

/** What one cell of the grid is in the plan's own unit: 1, unless the plan is drawn in pixels or centimetres. */
function stepOf(seats) {
  const numbers = seats.flatMap((seat) => (seat.x === null || seat.y === null ? [] : [seat.x, seat.y]));
  const most = Math.max(0, ...numbers);
  if (most <= MAX_CELLS) return 1;
  const common = numbers.reduce((a, b) => { while (b) [a, b] = [b, a % b]; return a; }, 0);
  return most / common <= MAX_CELLS ? common : Math.ceil(most / MAX_CELLS);
}

export default function plan(body, held, redraw) {
  const { seats } = held.space;
  const step = stepOf(seats);
  const saved = new Map(seats.map((seat) => [seat.id, seat.x === null || seat.y === null ? null : { x: Math.round(seat.x / step), y: Math.round(seat.y / step) }]));
  const places = new Map([...saved, ...(drafts.get(held.id) || [])]);
  const nodes = new Map();
  const said = el("p", { class: "note", role: "status", text: t("planHint") });
  const tray = el("div", { class: "row" });
  const paper = svg("svg", { class: "admin-paper", role: "group", "aria-label": t("tab.plan") });
  const pressed = button(t("savePlan", { count: 0 }), keep, "main");

  const same = (a, b) => a === b || (a && b && a.x === b.x && a.y === b.y);
  const moved = () => seats.filter((seat) => !same(places.get(seat.id), saved.get(seat.id)));
  const at = (x, y) => seats.filter((seat) => same(places.get(seat.id), { x, y }));

  function size() {
    const all = [...places.values()].filter(Boolean);
    return [Math.max(MIN_COLUMNS, ...all.map(({ x }) => x + 1 + SPARE)), Math.max(MIN_ROWS, ...all.map(({ y }) => y + 1 + SPARE))];
  }

  function name(seat) {
    const { x, y } = places.get(seat.id);
    const others = at(x, y).filter((each) => each !== seat);
    return t("placeOf", { seat: seat.label, column: x + 1, row: y + 1 }) + (others.length ? `. ${t("sameAs", { seat: others[0].label })}` : "");
  }

  function make(seat) {
    const node = svg("g", { class: "admin-seat", tabindex: 0, role: "button", "aria-roledescription": t("movable"), data: { seat: seat.id } },
      svg("rect", { x: 3, y: 3, width: CELL - 6, height: CELL - 6, rx: 8 }), svg("text", { x: CELL / 2, y: CELL / 2 + 5, "text-anchor": "middle", text: seat.label.length > 6 ? `${seat.label.slice(0, 5)}…` : seat.label }));
    node.addEventListener("keydown", (event) => {
      const arrow = ARROWS[event.key];
      if (!arrow && !["Delete", "Backspace"].includes(event.key)) return;
      event.preventDefault();
      const { x, y } = places.get(seat.id);
      const far = event.shiftKey ? FAR : 1;
      put(seat, arrow ? { x: x + arrow[0] * far, y: y + arrow[1] * far } : null);
    });
    node.addEventListener("pointerdown", (event) => { event.preventDefault(); node.focus(); node.setPointerCapture(event.pointerId); });
    node.addEventListener("pointermove", (event) => {
      if (!node.hasPointerCapture(event.pointerId)) return;
      const { left, top } = paper.getBoundingClientRect();
      const place = { x: Math.floor((event.clientX - left) / CELL), y: Math.floor((event.clientY - top) / CELL) };
      if (!same(place, places.get(seat.id))) put(seat, place);
    });
    return node;
  }

  function put(seat, place) {
    places.set(seat.id, place && { x: Math.min(Math.max(place.x, 0), MAX_CELLS), y: Math.min(Math.max(place.y, 0), MAX_CELLS) });
    draw();
    said.textContent = place ? name(seat) : t("offPlan", { seat: seat.label });
    if (!place) tray.querySelector("button")?.focus();
  }

  function free() {
    const [columns] = size();
    for (let number = 0; ; number += 1) {
      const place = { x: number % columns, y: Math.floor(number / columns) };
      if (!at(place.x, place.y).length) return place;
    }
  }

  /** Two seats, a way between, two seats: what most rooms look like. */
  function arrange() {
    const columns = Math.max(4, Math.ceil(Math.sqrt(seats.length)));
    seats.forEach((seat, number) => {
      const [x, y] = [number % columns, Math.floor(number / columns)];
      places.set(seat.id, { x: x + Math.floor(x / 2), y: y + Math.floor(y / 2) });
    });
    draw();
  }

  function draw() {
    const [columns, rows] = size();
    paper.setAttribute("width", columns * CELL);
    paper.setAttribute("height", rows * CELL);
    for (const seat of seats) {
      const place = places.get(seat.id);
      if (!place) { nodes.get(seat.id)?.remove(); continue; }
      if (!nodes.has(seat.id)) nodes.set(seat.id, make(seat));
      const node = nodes.get(seat.id);
      if (!node.parentNode) paper.append(node);
      node.setAttribute("transform", `translate(${place.x * CELL} ${place.y * CELL})`);
      node.setAttribute("aria-label", name(seat));
      node.classList.toggle("moved", !same(place, saved.get(seat.id)));
      node.classList.toggle("clash", at(place.x, place.y).length > 1);
    }
    const left = seats.filter((seat) => !places.get(seat.id));
    tray.replaceChildren(...(left.length ? [el("span", { text: t("notPlaced") })] : []), ...left.map((seat) =>
      el("button", { type: "button", text: seat.label, data: { unplaced: seat.id }, on: { click: () => { put(seat, free()); nodes.get(seat.id).focus(); } } })));
    drafts.set(held.id, moved().map((seat) => [seat.id, places.get(seat.id)]));
    const count = drafts.get(held.id).length;
    pressed.textContent = t("savePlan", { count });
    pressed.disabled = !count;
  }

  async function keep() {
    for (const seat of moved()) {
      const place = places.get(seat.id);
      const [x, y] = place ? [place.x * step, place.y * step] : [null, null];
      if (!await change(held, { path: `/seats/${encodeURIComponent(seat.id)}`, body: { x, y }, title: t("save") })) return redraw();
      const ours = held.space.seats.find((each) => each.id === seat.id); // so that it is not taken for somebody else's change
      if (ours) Object.assign(ours, { x, y });
    }
    drafts.delete(held.id);
    toast(t("saved"));
    return redraw();
  }

  const stay = (event) => { if (moved().length) event.preventDefault(); };
  window.addEventListener("beforeunload", stay);
  fill(body, 
    el("div", { class: "row" }, pressed, button(t("arrange"), arrange), button(t("undoAll"), () => { drafts.delete(held.id); return redraw(); })),
    said, tray, el("div", { class: "admin-plan" }, paper));
  draw();
  return () => window.removeEventListener("beforeunload", stay);
}
