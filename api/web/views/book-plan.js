// The floor plan: each seat where it stands, in the state of the chosen hours.
//
// Seats have whole numbers for places (x to the right, y downwards) in whatever unit the administrator had in mind; the smallest distance between two seats
// is the size of one. The plan is for eyes and pointers: the grid says the same and more to keys and screen readers, so the drawing is hidden from those.

import { el, svg } from "../lib/dom.js";
import { say } from "../lib/words.js";

const UNIT = 100; // of the drawing, for one seat and the way around it
const BOX = 84;
const MIN_PIXELS = 48; // one unit on the screen: a finger finds its seat
const MAX_PIXELS = 92;
const LETTERS = 7; // of a label that fits into a box; longer ones give way to the id
const GLYPHS = { free: "", taken: "×", mine: "●", closed: "–", past: "–" };

export class Plan {
  /** `choose(row)` hears which seat was pressed. */
  constructor(choose) {
    this.node = el("div", { class: "book-plan" });
    this.node.addEventListener("click", ({ target }) => {
      const seat = target.closest("[data-row]");
      if (seat) choose(Number(seat.dataset.row));
    });
  }

  /** Draw where the seats stand. How many of them fit beside each other; 0 when no seat has a place. */
  render(day) {
    this.day = day;
    this.seats = new Map();
    const placed = day.rows.map(({ seat }, row) => ({ seat, row })).filter(({ seat }) => seat.x !== null && seat.x !== undefined && seat.y !== null);
    if (!placed.length) { this.node.replaceChildren(); return 0; }
    const unit = smallestGap(placed.map(({ seat }) => seat));
    const [left, top] = ["x", "y"].map((axis) => Math.min(...placed.map(({ seat }) => seat[axis])));
    const [wide, high] = ["x", "y"].map((axis, at) => (Math.max(...placed.map(({ seat }) => seat[axis])) - [left, top][at]) / unit + 1);
    const drawing = svg("svg", { viewBox: `0 0 ${wide * UNIT} ${high * UNIT}`, "aria-hidden": "true", focusable: "false" });
    drawing.style.minWidth = `${wide * MIN_PIXELS}px`;
    drawing.style.maxWidth = `${wide * MAX_PIXELS}px`;
    for (const { seat, row } of placed) {
      const at = `translate(${((seat.x - left) / unit) * UNIT + (UNIT - BOX) / 2} ${((seat.y - top) / unit) * UNIT + (UNIT - BOX) / 2})`;
      const name = seat.label.length > LETTERS ? seat.id : seat.label;
      const title = svg("title", {});
      const glyph = svg("text", { class: "glyph", x: BOX / 2, y: BOX - 16 });
      const label = svg("text", { x: BOX / 2, y: BOX / 2 });
      label.textContent = name.slice(0, LETTERS + 1);
      const group = svg("g", { class: "book-desk", transform: at, "data-row": row }, title, svg("rect", { width: BOX, height: BOX, rx: 16 }), label, glyph);
      this.seats.set(row, { group, title, glyph });
      drawing.append(group);
    }
    this.node.replaceChildren(drawing);
    return wide;
  }

  /** Show how the seats are at these hours, and which is chosen. */
  draw({ first, last }, chosenRow, shown) {
    for (const [row, { group, title, glyph }] of this.seats) {
      const state = this.day.over(row, first, last);
      group.dataset.state = state;
      group.classList.toggle("chosen", row === chosenRow);
      group.classList.toggle("dim", !shown(row));
      glyph.textContent = row === chosenRow ? "✓" : GLYPHS[state];
      title.textContent = `${this.day.rows[row].seat.label}: ${say(`book.state.${state}`)}`;
    }
  }
}

/** The smallest distance between two seats along the axis that parts them more; 1 when there is only one. */
function smallestGap(seats) {
  let least = Infinity;
  for (let a = 0; a < seats.length; a += 1) {
    for (let b = a + 1; b < seats.length; b += 1) {
      const gap = Math.max(Math.abs(seats[a].x - seats[b].x), Math.abs(seats[a].y - seats[b].y));
      if (gap > 0 && gap < least) least = gap;
    }
  }
  return Number.isFinite(least) ? least : 1;
}
