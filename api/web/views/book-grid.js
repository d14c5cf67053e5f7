// The grid of seats × hours: the accessible twin of the plan, and the fastest way to choose.
//
// One render makes all rows by cloning the first one; afterwards single cells change. All events are heard at the grid itself. Focus roves (WAI-ARIA
// Authoring Practices, "grid"): one cell is in the order of Tab, arrows move, Shift with arrows selects. On a phone the same elements are laid out as cards
// of chips by the style alone, so what is read aloud and what keys do is the same on each screen.

import { el } from "../lib/dom.js";
import { say } from "../lib/words.js";

const PAGE_ROWS = 10;
const LIT_MS = 1_200; // as long as book-lit in book.css

export class Grid {
  /**
   * `told` hears what people do: `choose(row, first, last)`, `open(row, column)` for a cell that cannot be chosen, `enter(row, column)`, `escape()`;
   * `can(row, column)` says whether a cell can be chosen, `longest()` how many slots in a row.
   */
  constructor(told) {
    this.told = told;
    this.chosen = null; // {row, first, last}
    this.anchor = null; // where a selection by keys or dragging began
    this.node = el("div", { class: "book-grid", role: "grid", "aria-multiselectable": "true" });
    this.node.addEventListener("keydown", (event) => this.key(event));
    this.node.addEventListener("click", (event) => this.click(event));
    this.node.addEventListener("pointerdown", (event) => this.press(event));
    this.node.addEventListener("pointermove", (event) => this.drag(event));
    this.node.addEventListener("focusin", ({ target }) => { if (this.at(target)) this.rove(...this.at(target)); });
  }

  /** Draw a day, all of it. */
  render(day) {
    this.day = day;
    this.words = Object.fromEntries(["free", "taken", "mine", "closed", "past", "booking"].map((state) => [state, say(`book.state.${state}`)]));
    this.chosen = this.anchor = null;
    this.waiting = new Set();
    this.node.setAttribute("aria-label", say("book.grid"));
    this.node.dataset.day = `${day.space.id} ${day.date}`;
    this.node.style.setProperty("--slots", day.slots.length);
    const head = el("div", { role: "row", class: "book-hours" }, el("span", { role: "columnheader", text: say("book.seat") }), ...day.slots.map(({ name }) => el("span", { role: "columnheader", text: name })));
    const model = el("div", { role: "row", class: "book-row" }, el("span", { role: "rowheader" }, el("b", {}), el("small", {})));
    for (const { name } of day.slots) model.append(el("span", { role: "gridcell", tabindex: "-1", "aria-selected": "false", "data-hour": name }));
    this.rows = day.rows.map(({ seat }) => {
      const row = model.cloneNode(true);
      const [title, detail] = row.firstChild.children;
      title.textContent = seat.label;
      const has = [seat.zone, ...seat.attributes.map((each) => say(`book.has.${each}`))].filter(Boolean);
      if (has.length) detail.textContent = has.join(" · "); else detail.remove();
      return row;
    });
    this.rows.forEach((node, row) => { for (let column = 0; column < day.slots.length; column += 1) this.draw(row, column); });
    this.node.replaceChildren(head, ...this.rows);
    this.focus = [0, Math.min(day.ahead, day.slots.length - 1)];
    if (this.rows.length && day.slots.length) this.cell(...this.focus).tabIndex = 0;
  }

  cell(row, column) { return this.rows[row]?.children[column + 1]; }

  /** Where a node is: [row, column], or null. */
  at(node) {
    const cell = node.closest?.('[role="gridcell"]');
    if (!cell) return null;
    return [this.rows.indexOf(cell.parentNode), [...cell.parentNode.children].indexOf(cell) - 1];
  }

  /** Show how a cell is now. `how` overrides what the day says. */
  draw(row, column, how) {
    const state = how || this.day.state(row, column);
    const cell = this.cell(row, column);
    const wait = state === "taken" && this.waiting.size && this.waiting.has(`${row}.${column}`);
    cell.dataset.state = state;
    cell.setAttribute("aria-label", `${this.day.rows[row].seat.label}, ${this.day.slots[column].name}, ${this.words[state]}${wait ? `, ${say("book.waiting")}` : ""}`);
    if (wait) cell.dataset.wait = ""; else delete cell.dataset.wait;
  }

  /** Cells that somebody else has changed: drawn, and lit for a moment. */
  changed(cells) {
    for (const [row, column] of cells) {
      this.draw(row, column);
      const { classList } = this.cell(row, column);
      classList.add("lit");
      setTimeout(() => classList.remove("lit"), LIT_MS);
    }
  }

  /** Mark the cells that one waits for. */
  wait(cells) {
    const before = [...this.waiting.keys()].map((key) => key.split(".").map(Number));
    this.waiting = new Set(cells.map((cell) => cell.join(".")));
    for (const cell of [...before, ...cells]) this.draw(...cell);
  }

  select(chosen) {
    const mark = ({ row, first, last }, on) => {
      for (let at = first; at <= last; at += 1) {
        const cell = this.cell(row, at);
        cell.setAttribute("aria-selected", String(on));
        cell.classList.toggle("joined", on && at < last);
      }
    };
    if (this.chosen) mark(this.chosen, false);
    this.chosen = chosen;
    if (chosen) mark(chosen, true);
  }

  /** Leave only the rows that `keep(row)` wants. */
  filter(keep) {
    this.rows.forEach((node, row) => { node.hidden = !keep(row); });
    const [row, column] = this.focus;
    const shown = this.rows.findIndex((node) => !node.hidden);
    if (this.rows[row]?.hidden && shown >= 0) this.rove(shown, column);
  }

  rove(row, column, taking = false) {
    this.cell(...this.focus)?.setAttribute("tabindex", "-1");
    this.focus = [row, column];
    const cell = this.cell(row, column);
    cell.tabIndex = 0;
    if (taking) cell.focus();
  }

  // Choosing.

  /** As much as can be had from the anchor towards a column. */
  stretch(row, from, to) {
    const step = Math.sign(to - from);
    let end = from;
    while (end !== to && this.told.can(row, end + step) && Math.abs(end + step - from) < this.told.longest()) end += step;
    this.told.choose(row, Math.min(from, end), Math.max(from, end));
    return end;
  }

  click(event) {
    const at = this.at(event.target);
    if (!at || this.dragged) { this.dragged = false; return; }
    this.pick(...at);
  }

  /** A tap: begin, go on to there, or let go. */
  pick(row, column) {
    if (!this.told.can(row, column)) { this.told.open(row, column); return; }
    const { chosen } = this;
    if (chosen?.row === row) {
      const inside = chosen.first <= column && column <= chosen.last;
      if (inside && chosen.first === chosen.last) { this.anchor = null; this.told.choose(null); return; }
      if (!inside) {
        const from = column > chosen.last ? chosen.first : chosen.last;
        if (this.reaches(row, from, column)) { this.anchor = from; this.stretch(row, from, column); return; }
      }
    }
    this.anchor = column;
    this.told.choose(row, column, column);
  }

  reaches(row, from, to) {
    for (let at = Math.min(from, to); at <= Math.max(from, to); at += 1) if (!this.told.can(row, at)) return false;
    return Math.abs(to - from) < this.told.longest();
  }

  press(event) {
    this.dragged = false;
    const at = event.pointerType === "mouse" && event.button === 0 ? this.at(event.target) : null;
    if (!at || !this.told.can(...at)) return;
    this.dragging = { row: at[0], from: at[1], to: at[1] };
    addEventListener("pointerup", () => { this.dragging = null; }, { once: true });
  }

  drag(event) {
    const at = this.dragging && this.at(event.target);
    if (!at || at[1] === this.dragging.to) return;
    this.dragged = true;
    this.dragging.to = at[1];
    this.anchor = this.dragging.from;
    this.stretch(this.dragging.row, this.dragging.from, at[1]);
  }

  // Keys.

  key(event) {
    const at = this.at(event.target);
    if (!at || event.altKey || event.metaKey) return;
    const [row, column] = at;
    const last = this.day.slots.length - 1;
    if (event.key === "Enter" || event.key === " ") this.told.enter(row, column);
    else if (event.key === "Escape") this.told.escape();
    else if (event.shiftKey && (event.key === "ArrowLeft" || event.key === "ArrowRight")) this.grow(row, column, event.key === "ArrowLeft" ? -1 : 1);
    else {
      const goal = {
        ArrowLeft: [row, Math.max(0, column - 1)], ArrowRight: [row, Math.min(last, column + 1)],
        ArrowUp: [this.shown(row, -1), column], ArrowDown: [this.shown(row, 1), column],
        PageUp: [this.shown(row, -PAGE_ROWS), column], PageDown: [this.shown(row, PAGE_ROWS), column],
        Home: [event.ctrlKey ? this.shown(row, -Infinity) : row, 0], End: [event.ctrlKey ? this.shown(row, Infinity) : row, last],
      }[event.key];
      if (!goal) return;
      this.rove(...goal, true);
    }
    event.preventDefault();
  }

  /** The row some shown rows away, or the last one that way. */
  shown(row, by) {
    const shown = this.rows.flatMap((node, at) => (node.hidden ? [] : [at]));
    return shown[Math.max(0, Math.min(shown.length - 1, shown.indexOf(row) + by))];
  }

  grow(row, column, step) {
    const { chosen } = this;
    if (chosen?.row !== row || this.anchor === null || column < chosen.first || column > chosen.last) {
      if (!this.told.can(row, column)) return;
      this.anchor = column;
    }
    const goal = Math.max(0, Math.min(this.day.slots.length - 1, column + step));
    const end = this.stretch(row, this.anchor, goal);
    this.rove(row, end, true);
  }
}
