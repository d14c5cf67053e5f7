// What is done with a choice: booking it, moving a booking there, repeating it, waiting for it, and taking all that back.
//
// One choice is on its way at a time (`sending`); its cells are "booking" until the cluster has said yes or no. Events may tell of the commit before the answer
// does, which changes nothing: what is solid is committed either way.

import { Problem } from "../lib/cluster.js";
import { Dismissed, needLogIn, user } from "../lib/session.js";
import { labelOf } from "../lib/spaces.js";
import { busy, problemText, toast } from "../lib/ui.js";
import { say } from "../lib/words.js";
import * as acts from "./book-acts.js";

let confirmAfterLogIn = false; // logging in shows the view anew, and then it goes on by itself

export const NOWHERE = { row: -1, first: 0, last: -1 }; // a place that is not shown

export class Deeds {
  constructor(screen) {
    this.screen = screen;
    this.place = null; // what the button books
    this.moving = null; // the booking that is to have another place
    this.sending = null; // {row, first, last}: the cells of what is on its way
  }

  /** Go on with a choice from before a reload, a log-in or another language. */
  goOn({ place, sent, moving, weeks }) {
    const { screen } = this;
    const again = (sent || confirmAfterLogIn) && user();
    confirmAfterLogIn = false;
    this.moving = (moving && screen.bookings.get(moving)) || null;
    const cells = screen.day.cells(place);
    if (cells && (again || screen.isFree(cells))) {
      screen.choose(cells, weeks);
      if (again) this.carryOut();
    } else if (sent && again) {
      this.place = { ...place, space_id: screen.space.id };
      this.carryOut();
    } else acts.choose(null);
  }

  /** The button, or Enter on what is chosen. */
  async confirm(weeks = 1) {
    if (this.sending || !this.place) return;
    acts.choose(this.place, { weeks, moving: this.moving });
    if (!user()) {
      confirmAfterLogIn = true;
      try {
        await needLogIn(say("book.why"));
      } catch (error) {
        confirmAfterLogIn = false;
        if (error instanceof Dismissed) return;
        throw error;
      }
      if (this.screen.gone) return; // the view that is shown now goes on
      confirmAfterLogIn = false;
    }
    await this.carryOut();
  }

  async carryOut() {
    const { screen, place, moving } = this;
    this.sending = screen.selected || NOWHERE;
    screen.paint(this.sending, "booking");
    screen.bar.pending(place, false);
    let [answer, problem] = [null, null];
    try {
      answer = await acts.send(() => { if (!screen.gone) screen.bar.pending(place, true); });
    } catch (error) {
      problem = error;
    }
    const cells = this.sending;
    this.sending = null;
    if (screen.gone) return; // the view that is shown now asks with the same key
    screen.paint(cells);
    if (problem) await this.refused(place, problem);
    else this.done(moving, answer);
  }

  done(moving, answer) {
    const { screen } = this;
    screen.letGo();
    if (answer.items) { this.doneSeries(answer); return; }
    if (moving) screen.put(moving, "free");
    screen.own(answer);
    const what = screen.what(answer);
    screen.bar.tell(say(moving ? "book.moved" : "book.done", { what }));
    toast(say(moving ? "book.moved" : "book.done", { what }), { undo: () => busy(null, () => (moving ? this.moveBack(answer, moving) : this.giveBack(answer, "book.undone"))) });
  }

  doneSeries(answer) {
    const { screen } = this;
    for (const { booking } of answer.items) if (booking) screen.own(booking);
    screen.bar.series(answer, () => busy(null, async () => {
      const { cancelled } = await acts.cancelSeries(answer.id);
      for (const booking of cancelled) screen.disown(booking);
      screen.dismiss();
      toast(say("book.series-undone", { count: cancelled.length }));
    }));
  }

  async refused(place, problem) {
    const { screen } = this;
    if (!(problem instanceof Problem)) throw problem;
    if (acts.isOpen(problem)) { screen.bar.unknown(place, () => this.carryOut()); return; }
    screen.letGo();
    if (problem.status === 401) toast(problemText(problem), { kind: "bad" });
    else if (problem.body.alternatives) {
      const seat = labelOf(place.space_id, place.seat_id);
      screen.bar.taken(say(problem.code === "seat-taken" ? "book.taken" : "book.is-closed", { seat }), place, problem.body.alternatives);
    } else if (problem.body.items) screen.bar.series({ items: problem.body.items.map((each) => ({ starts_at: place.starts_at, ...each })) });
    else toast(problemText(problem), { kind: "bad" });
    await busy(null, () => screen.load());
  }

  /** An alternative was pressed: it is booked. */
  async take(place) {
    const { screen } = this;
    const cells = screen.day.cells(place);
    if (cells && screen.isFree(cells)) screen.choose(cells);
    else this.place = { ...place, slots: screen.day.slotsOf(place) };
    await busy(null, () => this.confirm());
  }

  // One's own.

  async giveBack(booking, word) {
    const { screen } = this;
    const was = await acts.cancel(booking.id);
    screen.disown(was);
    toast(say(word, { what: screen.what(was) }), word === "book.cancelled" ? { undo: () => this.take(was) } : {});
  }

  async cancel(booking) {
    this.screen.letGo();
    await this.giveBack(booking, "book.cancelled");
  }

  startMove(booking) {
    const { screen } = this;
    screen.letGo();
    this.moving = booking;
    screen.bar.moving(booking);
    screen.home();
  }

  async moveBack(now, before) {
    const { screen } = this;
    const back = await acts.moveBack(before.id, { ...before, slots: screen.day.slotsOf(before) });
    screen.put(now, "free");
    screen.own(back);
    toast(say("book.back", { what: screen.what(back) }));
  }

  /** Stand in line. Who gets the place at once, as later on, hears it from the event. */
  async join(place) {
    const { screen } = this;
    if (!user()) await needLogIn(say("book.why"));
    const waiter = await acts.join(place);
    const what = screen.what(waiter);
    if (waiter.status !== "promoted") toast(say("book.in-line", { what, ahead: waiter.position - 1 }), { undo: () => busy(null, async () => { await acts.leave(waiter.id); toast(say("book.left")); }) });
    if (screen.gone) return;
    screen.letGo();
    await screen.load();
  }
}
