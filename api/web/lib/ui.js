// Pieces that every view uses: what is said to people, asked of them, and shown in lists.

import { Problem } from "./cluster.js";
import { byId, el, icon } from "./dom.js";
import { Dismissed } from "./session.js";
import { knows, say } from "./words.js";

const TOAST_MS = 6_000;
const ACTING_MS = 12_000; // there is something to decide
const MAX_TOASTS = 3;

/** Say something in the corner. `kind`: "ok" or "bad" (stays until it is closed); `undo`: what the button "Undo" does; `actions`: [{text, act}]. Returns how to take it away. */
export function toast(text, { kind = "ok", undo = null, actions = [] } = {}) {
  const all = [...(undo ? [{ text: say("ui.undo"), act: undo }] : []), ...actions];
  const box = el("div", { class: `toast ${kind}`, role: kind === "bad" ? "alert" : null }, icon(kind === "bad" ? "warning" : "check"), el("p", { text }));
  let timer = 0;
  const away = () => { clearTimeout(timer); box.remove(); };
  const later = () => { if (kind !== "bad") timer = setTimeout(away, all.length ? ACTING_MS : TOAST_MS); };
  for (const each of all) box.append(el("button", { type: "button", class: "quiet", text: each.text, on: { click: () => { away(); each.act(); } } }));
  box.append(el("button", { type: "button", class: "quiet only", "aria-label": say("ui.close"), on: { click: away } }, icon("close")));
  for (const event of ["mouseenter", "focusin"]) box.addEventListener(event, () => clearTimeout(timer)); // nothing goes away while it is read
  for (const event of ["mouseleave", "focusout"]) box.addEventListener(event, later);
  const toasts = byId("toasts");
  if (kind === "bad") for (const each of [...toasts.children]) if (each.querySelector("p").textContent === text) each.remove(); // the same trouble is told once
  toasts.append(box);
  raiseToasts();
  while (toasts.children.length > MAX_TOASTS) toasts.firstChild.remove();
  later();
  return away;
}

/** Where they are seen and can be reached: a modal dialog covers all that is not inside of it. */
function raiseToasts() {
  const place = [...document.querySelectorAll("dialog:modal")].at(-1) ?? document.body;
  if (byId("toasts").parentNode !== place) place.append(byId("toasts"));
}

/** Let a button open and close a panel beside it: Escape, a choice and a tap elsewhere close it. `onOpen()` is told before it opens. */
export function menu(button, panel, { onOpen = () => {} } = {}) {
  const isOpen = () => button.getAttribute("aria-expanded") === "true";
  const turn = (open) => {
    if (open) onOpen();
    button.setAttribute("aria-expanded", String(open));
    panel.hidden = !open;
  };
  const elsewhere = (event) => { if (!box.isConnected) document.removeEventListener("pointerdown", elsewhere); else if (!box.contains(event.target)) turn(false); };
  button.addEventListener("click", () => turn(!isOpen()));
  panel.addEventListener("click", (event) => { if (event.target.closest("a, button")) turn(false); });
  const box = el("div", { class: "menu", on: { keydown: (event) => { if (event.key === "Escape" && isOpen()) { turn(false); button.focus(); } } } }, button, panel);
  document.addEventListener("pointerdown", elsewhere);
  turn(false);
  return box;
}

/** What went wrong, in words. */
export function problemText(problem) {
  if (!(problem instanceof Problem)) return say("problem.page");
  const key = `problem.${problem.code}`;
  return knows(key) ? say(key) : problem.body.detail || problem.body.title || say("problem.page");
}

/** Run what a button does: not twice at once, problems in words. Resolves with the result, or undefined when it failed. */
export async function busy(button, work) {
  if (button?.getAttribute("aria-busy") === "true") return undefined;
  button?.setAttribute("aria-busy", "true");
  try {
    return await work();
  } catch (error) {
    if (error instanceof Dismissed || error.name === "AbortError") return undefined;
    if (!(error instanceof Problem)) console.error(error);
    toast(problemText(error), { kind: "bad" });
    return undefined;
  } finally {
    button?.removeAttribute("aria-busy");
  }
}

let dialogs = 0;

/** A native dialog. `actions`: [{text, kind, act(dialog)}]: the dialog closes unless `act` returns false. Returns the element; its "close" event comes when it goes. */
export function dialog({ title, content, actions = [] }) {
  const heading = el("h2", { text: title, id: `dialog-${dialogs += 1}` });
  const buttons = actions.map(({ text, kind = "", act = () => true }) => {
    const button = el("button", { type: "button", class: kind, text });
    button.addEventListener("click", async () => { if ((await busy(button, async () => (await act(box)) ?? true)) ) box.close(); });
    return button;
  });
  const shut = el("button", { type: "button", class: "quiet only shut", "aria-label": say("ui.close"), on: { click: () => box.close() } }, icon("close"));
  const box = el("dialog", { "aria-labelledby": heading.id }, el("header", {}, heading, shut), content, buttons.length ? el("footer", {}, buttons) : null);
  box.addEventListener("close", () => { raiseToasts(); box.remove(); });
  box.addEventListener("click", (event) => { if (event.target === box) box.close(); }); // outside of it
  document.body.append(box);
  box.showModal();
  raiseToasts();
  return box;
}

/** Ask before something is done. Resolves with true or false. `danger`: it cannot be undone; `confirm`: what the button says. */
export function confirmDialog(text, { danger = false, title = say("ui.sure"), confirm = say("ui.yes"), content = null } = {}) {
  return new Promise((resolve) => {
    let yes = false;
    const act = () => { yes = true; };
    const actions = [{ text: say("ui.no") }, { text: confirm, kind: danger ? "danger" : "main", act }];
    const box = dialog({ title, content: el("div", {}, el("p", { text }), content), actions });
    box.addEventListener("close", () => resolve(yes));
  });
}

/** A table. `columns`: [{title, cell(row), class}]; a cell is text or a node. On a phone each row becomes a card (base.css). */
export function table(columns, rows, { caption = null } = {}) {
  const head = el("tr", {}, columns.map((each) => el("th", { scope: "col", text: each.title, class: each.class })));
  const body = rows.map((row) => el("tr", {}, columns.map((each) => el("td", { class: each.class, data: { title: each.title } }, each.cell(row)))));
  return el("table", { class: "list" }, caption ? el("caption", { text: caption }) : null, el("thead", {}, head), el("tbody", {}, body));
}

/** That there is nothing, and what to do about it. */
export const empty = (text, action = null) => el("div", { class: "empty" }, el("p", { text }), action);

/** "Show more": `load()` adds the next page and returns whether there is another. */
export function moreButton(load) {
  const button = el("button", { type: "button", class: "more", text: say("ui.more") });
  button.addEventListener("click", async () => { if ((await busy(button, load)) === false) button.remove(); });
  return button;
}
