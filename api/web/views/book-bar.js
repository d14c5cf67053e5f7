// The bar at the lower edge: what is chosen and the one button for it; what became of it; a helpful way on when somebody was faster.

import { clear, el, icon } from "../lib/dom.js";
import { say } from "../lib/words.js";

const WEEKS = [1, 2, 3, 4, 6, 8, 12];

export class Bar {
  /**
   * `told` hears `confirm(weeks)`, `dismiss()`, `home()` when the focus has nowhere to be, `take(place)` for an alternative, `wait(place)`, `cancel(booking)`, `move(booking)`; `what(place)` names a place
   * and `when(place)` its day and length.
   */
  constructor(told, { what, when }) {
    Object.assign(this, { told, what, when });
    this.node = el("section", { class: "book-bar card", "aria-label": say("book.bar"), hidden: true });
    this.node.addEventListener("keydown", ({ key }) => { if (key === "Escape") told.dismiss(); });
    this.size = new ResizeObserver(() => document.documentElement.style.setProperty("--book-bar", `${this.node.offsetHeight}px`)); // toasts stand above it
    this.size.observe(this.node);
    this.said = el("p", { class: "unseen", role: "status" });
  }

  show(name, ...children) {
    const focused = this.node.contains(document.activeElement);
    this.mode = name;
    this.node.hidden = false;
    this.node.dataset.mode = name;
    clear(this.node).append(...children.filter(Boolean));
    if (focused) this.read();
  }

  /** Whoever was in the bar is at what it says now. */
  read() { this.node.querySelector("h2").focus({ preventScroll: true }); }

  hide() {
    const focused = this.node.contains(document.activeElement);
    this.mode = null;
    this.node.hidden = true;
    clear(this.node);
    if (focused) this.told.home();
  }

  /** Let a screen reader say it. */
  tell(text) { this.said.textContent = text; }

  button(key, action, kind = "quiet", more = {}) {
    return el("button", { type: "button", class: kind, text: say(`book.${key}`), on: { click: action }, ...more });
  }

  title(text, detail) {
    const [, what, zone = ""] = /^(.*?)( \([^()]*\))?$/.exec(text);
    return el("div", { class: "book-what" }, el("h2", { tabindex: "-1" }, what, el("span", { text: zone })), detail && el("p", { class: "quiet", text: detail }));
  }

  shut(key) { return el("button", { type: "button", class: "quiet only", "aria-label": say(`book.${key}`), title: say(`book.${key}`), on: { click: this.told.dismiss } }, icon("close")); }

  options(places) {
    return el("div", { class: "book-options" }, ...places.map((place) => el("button", { type: "button", text: this.what(place, true), on: { click: () => this.told.take(place) } })));
  }

  /** A place is chosen. */
  choice(place, moving, weeks = 1) {
    const weekly = !moving && el("select", { "aria-label": say("book.repeat") }, ...WEEKS.map((count) => el("option", { value: count, selected: count === weeks, text: count === 1 ? say("book.once") : say("book.weeks", { count }) })));
    const go = this.button(moving ? "move-here" : "confirm", () => this.told.confirm(weekly ? Number(weekly.value) : 1), "main");
    this.show("choice", this.title(this.what(place), this.when(place)), weekly, go, this.shut("dismiss"));
    this.tell(say("book.chosen", { what: this.what(place) }));
  }

  /** It is on its way. `late`: nobody has answered yet. */
  pending(place, late) {
    this.show("pending", this.title(this.what(place), say(late ? "book.late" : "book.pending")), el("span", { class: "book-spin", "aria-hidden": "true" }));
    this.tell(say(late ? "book.late" : "book.pending"));
  }

  /** Nobody could say what became of it. */
  unknown(place, again) {
    this.show("unknown", this.title(say("book.unknown"), this.what(place)), this.button("again", again, "main"));
    this.tell(say("book.unknown"));
  }

  /** A place is not to be had: what is free near it, and the line for it. `seat` is null when any would have done. */
  taken(text, place, alternatives) {
    this.show("taken", this.title(text, alternatives.length ? say("book.near") : say("book.none-near")), alternatives.length && this.options(alternatives),
      el("div", { class: "book-options" },
        place.seat_id && this.button("wait-seat", () => this.told.wait(place), "quiet", { title: this.what(place) }),
        this.button("wait-any", () => this.told.wait({ ...place, seat_id: null }))),
      this.shut("close"));
    this.tell(text);
    this.read();
  }

  /** One's own booking. */
  own(booking) {
    this.show("own", this.title(this.what(booking), `${say("book.own")} · ${this.when(booking)}`),
      this.button("move", () => this.told.move(booking), ""), this.button("cancel", () => this.told.cancel(booking), "danger"), this.shut("close"));
    this.tell(`${say("book.own")}: ${this.what(booking)}`);
    this.read();
  }

  /** A booking is to have another place. */
  moving(booking) {
    this.show("moving", this.title(say("book.where-to", { what: this.what(booking) }), say("book.where-to-hint")), this.button("stay", this.told.dismiss));
    this.tell(say("book.where-to", { what: this.what(booking) }));
  }

  /** What became of each date of a series. */
  series(answer, undo) {
    const booked = answer.items.filter(({ booking }) => booking).length;
    const lines = answer.items.map(({ starts_at, booking, alternatives }) => el("li", { "data-state": booking ? "mine" : "taken" },
      el("span", { text: `${booking ? "✓" : "×"} ${this.when({ starts_at }, true)}: ${say(booking ? "book.state.mine" : "book.state.taken")}` }),
      !booking && alternatives.length > 0 && this.options(alternatives)));
    this.show("series", this.title(say("book.series", { booked, count: answer.items.length })), el("ul", { class: "book-series" }, ...lines),
      undo && this.button("undo-series", undo), this.button("close", this.told.dismiss, "main"));
    this.tell(say("book.series", { booked, count: answer.items.length }));
    this.read();
  }
}
