// What the administrator's views share: their frame, their forms, and how a change of a space is carried out.
//
// **No change is carried out unseen.** A change that may touch accepted bookings is looked at first (`dry_run`), and what it
// touches is shown with the token of that very list. With the token the cluster carries it out only while the list is the
// same; otherwise it answers with the new list, which is shown in turn, with what is new in it marked.
//
// **No change is overwritten unseen.** Each names the revision that was on the screen (`If-Match`). When somebody else has
// been faster, what they changed is told in words, and only then may one's own change follow.

import "./admin.words.js";

import { Problem, ask } from "../lib/cluster.js";
import { el } from "../lib/dom.js";
import { hash } from "../lib/route.js";
import { clock, dayName, localText, spanName } from "../lib/time.js";
import { busy, dialog, problemText, toast } from "../lib/ui.js";
import { language, say } from "../lib/words.js";

const PAGES = ["spaces", "people", "audit", "reports", "webhooks"];
const MAX_NAMED = 12; // people of a list of bookings whose logins are looked up; the others are counted
export const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
export const ATTRIBUTES = ["monitor", "window", "quiet", "accessible"];
export const POLICY = ["horizon_days", "longest_minutes", "live_bookings", "daily_bookings", "cancel_cutoff_minutes"];

export const t = (key, values) => say(`admin.${key}`, values);

export const href = (path, parameters) => hash(`admin/${path}`, parameters);

/** A mistake in what was typed, told in its own words. */
export class Mistake extends Error {}

function told(error) {
  if (error instanceof Mistake) return error.message;
  if (!(error instanceof Problem)) console.error(error);
  const places = (error.body?.errors || []).map(({ pointer, detail }) => `${pointer.slice(1)}: ${detail}`);
  return places.length ? places.join("; ") : problemText(error);
}

/** Put this inside instead of what was there. */
export const fill = (node, ...children) => { node.replaceChildren(...children.flat().filter(Boolean)); return node; };

/** The frame of a view: where one may go, what this is, what can be done. Answers the part to draw in. */
export function frame(container, here, title, ...actions) {
  const links = PAGES.map((page) => el("a", { href: href(page), text: t(page), "aria-current": page === here ? "page" : null }));
  const body = el("div", { class: "admin-body", tabindex: -1 });
  container.replaceChildren(
    el("nav", { class: "admin-nav", "aria-label": t("nav") }, ...links),
    el("header", { class: "admin-head" }, el("h1", { text: title }), el("div", { class: "row" }, ...actions)),
    body,
  );
  inSight();
  return body;
}

/** On a phone the links stand in lines that are pushed aside. */
export const inSight = () => document.querySelectorAll("nav [aria-current]").forEach((link) => link.scrollIntoView({ block: "nearest", inline: "center" }));

const nameOf = (node) => node.getAttribute("aria-label") || node.textContent;

/** Draw what has to be asked for; what goes wrong is told in its place, with a button to try again. Whoever works by keyboard stays where they
 * were: at what has the same name now, or else at the beginning of the part. */
export async function load(body, work) {
  const focused = body.contains(document.activeElement) ? document.activeElement : null;
  body.setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (problem) {
    if (problem.name === "AbortError") return;
    const again = el("button", { class: "quiet", type: "button", text: t("again"), on: { click: () => load(body, work) } });
    fill(body, el("p", { class: "bad", role: "alert", text: told(problem) }), again);
  } finally {
    body.removeAttribute("aria-busy");
    if (focused && !focused.isConnected) ([...body.querySelectorAll("a, button")].find((each) => nameOf(each) === nameOf(focused)) || body).focus();
  }
}

export const button = (text, work, kind = "quiet", more = {}) =>
  el("button", { type: "button", class: kind, text, on: { click: (event) => busy(event.currentTarget, work) }, ...more });

export const field = (label, input, hint) =>
  el("label", { class: "field" }, el("span", { text: label }), input, hint && el("small", { text: hint }));

export const check = (label, input) => el("label", { class: "check" }, input, el("span", { text: label }));

export const choice = (options, chosen, more = {}) =>
  el("select", more, ...options.map(([value, text]) => el("option", { value, text, selected: value === chosen })));

/** A time of day, always of 24 hours: the browser's own field would follow the language. */
export const clockInput = (value, label, more = {}) =>
  el("input", { class: "clock", value, "aria-label": label, required: true, inputmode: "numeric", maxlength: 5, placeholder: "08:00", title: "00:00 – 24:00", pattern: "([01][0-9]|2[0-3]):[0-5][05]|24:00", ...more });

/** A dialog with a form. `work` is run when it is sent; the dialog stays, with the problem in it, when that fails.
 * Resolves with what `work` answered, or undefined when the dialog was dismissed; after a null it stays open. */
export function form({ title, content, send, danger = false, leave = true, work = async () => true }) {
  return new Promise((resolve) => {
    let answer;
    const bad = el("p", { class: "bad", role: "alert", hidden: true });
    const pressed = el("button", { class: danger ? "danger" : "main", text: send });
    const shape = el("form", { class: "admin-form" }, content, bad,
      el("div", { class: "row end" }, leave && el("button", { type: "button", class: "quiet", text: t("dismiss"), on: { click: () => box.close() } }), pressed));
    const box = dialog({ title, content: shape });
    box.addEventListener("close", () => resolve(answer), { once: true });
    shape.addEventListener("submit", (event) => {
      event.preventDefault();
      busy(pressed, async () => {
        bad.hidden = true;
        try {
          const made = await work(shape);
          if (made === null) return;
          answer = made;
          box.close();
        } catch (problem) {
          bad.textContent = told(problem);
          bad.hidden = false;
        }
      });
    });
  });
}

/** A form that stays on the page. */
export function settings(content, work, more = []) {
  const pressed = el("button", { class: "main", text: t("save") });
  const send = (event) => { event.preventDefault(); busy(pressed, () => work(shape)); };
  const shape = el("form", { class: "admin-form card", on: { submit: send } }, content, el("div", { class: "row" }, pressed, more));
  return shape;
}

/** What of `after` differs from `before`: only that is sent, so that what somebody else has changed besides stays. */
export const changedOf = (before, after) =>
  Object.fromEntries(Object.entries(after).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(before[key])));

/** Carry out a change when there is one, say so, and draw the space anew. */
export async function save(held, wish, redraw) {
  if (!Object.keys(wish.body).length) { toast(t("nothingChanged")); return; }
  if (await change(held, wish)) toast(t("saved"));
  await redraw();
}

/** Something that is shown this once: a password, a secret. */
export function showOnce(title, text, secret) {
  const shown = el("input", { readonly: true, value: secret, class: "secret", "aria-label": title, on: { focus: () => shown.select() } });
  const copy = async () => {
    if (navigator.clipboard) await navigator.clipboard.writeText(secret);
    else { shown.focus(); document.execCommand("copy"); } // a page by plain HTTP from another machine has no clipboard
    toast(t("copied"));
  };
  return form({ title, content: [el("p", { text }), el("div", { class: "row" }, shown, button(t("copy"), copy))], send: t("kept"), leave: false });
}

// Times, as the administrator sees them.

export const moment = (instant) => `${dayName(instant)}, ${clock(instant)}`;

export const span = (each) => `${dayName(each.starts_at)}, ${spanName(each.starts_at, each.ends_at, each.timezone)}`;

/** An instant by the clocks of this computer: for what belongs to no space. */
export const here = (instant) => new Intl.DateTimeFormat(language(), { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "shortOffset" }).format(new Date(instant)).replace("GMT", "UTC");

/** The instant at which the clocks of a zone show this; of two the earlier one, and of an hour that is left out the one that it becomes. */
export function instantOf(date, time, zone) {
  const shown = Date.parse(`${date}T${time}Z`);
  const shownAt = (at) => Date.parse(`${localText(at, zone).slice(0, 19)}Z`);
  const found = [-1, 1].map((days) => { const at = shown + days * 86_400_000; return shown - (shownAt(at) - at); });
  return new Date(found.sort((a, b) => a - b).find((at) => shownAt(at) === shown) ?? found[1]).toISOString();
}

// A change of a space.

export async function readSpace(id) {
  const { body, etag } = await ask("GET", `/api/v1/admin/spaces/${encodeURIComponent(id)}`);
  return { id, etag, ...body };
}

/** Carry out a change of the space `held`, whose revision is then the new one. `look`: see first what it touches, even nothing.
 * Answers what was done, or null when the administrator has thought better of it. */
export async function change(held, { method = "PATCH", path = "", body, title, says = "", look = false }) {
  const base = `/api/v1/admin/spaces/${encodeURIComponent(held.id)}${path}`;
  let [seen, touched, consent] = [null, null, {}];
  for (;;) {
    try {
      if (look && !touched) {
        const told = (await ask(method, `${base}?dry_run=true`, { body, etag: held.etag })).body;
        touched = { count: told.affected, token: told.token, bookings: told.bookings };
      }
      if (touched) {
        consent = await consentTo({ title, says, touched, seen, reason: body.reason });
        if (!consent) return null;
      }
      const answer = await ask(method, base, { body: { ...body, ...consent }, etag: held.etag });
      held.etag = answer.etag || `"${answer.body.revision}"`;
      return answer.body;
    } catch (problem) {
      if (problem.code === "affected-changed") {
        [seen, touched] = [touched, problem.body.affected];
      } else if (problem.code === "revision-changed") {
        const now = await readSpace(held.id);
        const goOn = await tellDifferences(held, now, title);
        Object.assign(held, now);
        if (!goOn) return null;
        [seen, touched] = [null, null];
      } else {
        throw problem;
      }
    }
  }
}

/** Show what a change touches and ask what shall become of it. Resolves with the fields of consent, or undefined. */
async function consentTo({ title, says, touched, seen, reason = "" }) {
  const { count, bookings, token } = touched;
  const people = new Set(bookings.map((each) => each.user_id)).size;
  const known = seen && new Set(seen.bookings.map((each) => each.id));
  const names = await loginsOf(bookings);
  const rows = bookings.map((each) => el("li", { data: { booking: each.id } },
    el("b", { text: each.seat_label }), el("span", { class: "note", text: names.get(each.user_id) || "…" }), el("span", { text: span(each) }),
    known && !known.has(each.id) && el("span", { class: "chip warn", text: `+ ${t("isNew")}` })));
  const sentence = count ? t("touches", { count, people: t("people_", { count: people }) }) : t("touchesNone");
  const keep = el("input", { type: "radio", name: "then", value: "keep", checked: true });
  const cancel = el("input", { type: "radio", name: "then", value: "cancel" });
  const why = el("input", { maxlength: 200, value: reason });
  return form({
    title, danger: true, send: count ? t("saveTouched", { count }) : t("doIt"),
    content: [
      says && el("p", { text: says }),
      seen && el("p", { class: "warn", role: "status", text: t("listChanged") }),
      el("p", { class: "admin-touched", data: { count }, text: sentence }),
      count > 0 && el("ul", { class: "admin-list", tabindex: 0, "aria-label": sentence }, ...rows),
      count > bookings.length && el("p", { class: "note", text: t("andMore", { count: count - bookings.length }) }),
      count > 0 && el("fieldset", {}, el("legend", { text: t("then") }), check(t("thenKeep"), keep), check(t("thenCancel", { count }), cancel)),
      count > 0 && field(t("reason"), why, t("reasonHint")),
    ],
    work: async () => ({ affected_token: token, if_affected: cancel.checked ? "cancel" : "keep", ...(count ? { reason: why.value } : {}) }),
  });
}

const logins = new Map();

async function loginsOf(bookings) {
  const wanted = [...new Set(bookings.map((each) => each.user_id))].filter((id) => !logins.has(id)).slice(0, MAX_NAMED);
  await Promise.all(wanted.map(async (id) => {
    try {
      logins.set(id, (await ask("GET", `/api/v1/admin/users/${encodeURIComponent(id)}`)).body.login);
    } catch (problem) {
      if (problem.status !== 404) throw problem;
      logins.set(id, "—"); // an account that was erased
    }
  }));
  return logins;
}

// What another administrator changed meanwhile.

/** Monday is 0; style "short" or "long". */
export const weekday = (number, style = "long") => new Intl.DateTimeFormat(language(), { weekday: style, timeZone: "UTC" }).format(Date.UTC(2024, 0, number + 1)); // which began with a Monday

export const hoursText = (hours) => (hours?.opens ? `${hours.opens}–${hours.closes}` : t("closed"));
export const attributesText = (seat) => seat.attributes.map((each) => t(each)).join(", ");
export const datesText = ({ first, last }) => (first === last ? dayName(first) : `${dayName(first)} – ${dayName(last)}`);

/** Everything that can be changed of a space, as pairs of what it is called and what it is. */
function traits({ space, retired, retired_seats: gone }) {
  const found = new Map([
    [t("name"), space.name], [t("timezone"), space.timezone], [t("slot"), String(space.slot_minutes)], [t("retired"), retired ? t("yes") : t("no")],
    [t("one_seat_at_a_time"), space.policy.one_seat_at_a_time ? t("yes") : t("no")],
  ]);
  DAYS.forEach((each, number) => found.set(weekday(number), hoursText(space.hours[each])));
  for (const each of POLICY) found.set(t(each), space.policy[each] === null ? t("off") : String(space.policy[each]));
  for (const each of space.special_days) found.set(datesText(each), hoursText(each));
  for (const seat of space.seats) {
    const place = seat.x === null ? "" : `${seat.x} × ${seat.y}`;
    const outages = seat.outages.map((each) => `${t("outOfService")} ${moment(each.starts_at)}–${moment(each.ends_at)}`);
    found.set(t("seatOf", { seat: seat.id }), [seat.label, seat.zone, attributesText(seat), place, ...outages].filter(Boolean).join(" · "));
  }
  for (const seat of gone) found.set(t("seatOf", { seat: seat.id }), t("retired"));
  return found;
}

export function differences(before, after) {
  const [was, is] = [traits(before), traits(after)];
  return [...new Set([...was.keys(), ...is.keys()])].filter((key) => was.get(key) !== is.get(key))
    .map((key) => ({ key, was: was.get(key) ?? "—", is: is.get(key) ?? "—" }));
}

async function tellDifferences(before, now, title) {
  const changed = differences(before, now);
  const { items } = (await ask("GET", "/api/v1/admin/audit?limit=50")).body;
  const last = items.find((each) => each.subject === before.id || each.subject.startsWith(`${before.id}/`));
  const rows = changed.map(({ key, was, is }) => el("li", {}, el("b", { text: key }), el("span", {}, el("del", { text: was }), " → ", el("ins", { text: is }))));
  return form({
    title: t("changedMeanwhile"), send: t("applyMine"),
    content: [
      el("p", { text: last ? t("changedBy", { who: last.actor_login || "—", when: here(last.at) }) : t("changedBySomebody") }),
      changed.length ? el("ul", { class: "admin-list" }, ...rows) : el("p", { text: t("changedBack") }),
      el("p", { text: t("applyMineHint", { title }) }),
    ],
  });
}
