// The start of the page: the header, and the one list of its views. A view is shown for a route such as #/book?space=hq&date=2026-12-01; who it is
// for is judged here only to show the right thing, for the API judges it again.

import "./app.words.js";
import "./lib/ui.words.js";

import { findMembers, onConnection, onRefusal, origin } from "./lib/cluster.js";
import { byId, clear, el, icon } from "./lib/dom.js";
import { go, route } from "./lib/route.js";
import { follow } from "./lib/live.js";
import { needLogIn, logInBy, logOut, onUser, renew, user } from "./lib/session.js";
import { isDark, onTheme, useTheme } from "./lib/theme.js";
import { busy, menu, toast } from "./lib/ui.js";
import { language, onLanguage, say, switchLanguage } from "./lib/words.js";
import { openLogIn } from "./views/login.js";
import { bell } from "./views/bell.js";

const VIEWS = ["book", "mine", "history", "account", "admin", "cluster"]; // views/<name>.js each, in the order of the header: a view, or several

const loaded = new Map();
let views = [];
let everything = null; // resolves when all of them are there
let showing = { view: null, cleanup: null, number: 0 };

const open = (view) => view.needs !== "admin" || user()?.role === "admin";

const partOf = (view) => view?.path.split("/")[0]; // of a view, or a route

async function load(names) {
  for (const name of names) if (!loaded.has(name)) loaded.set(name, import(`./views/${name}.js`).then((found) => [found.default].flat()));
  const there = await Promise.all(VIEWS.filter((name) => loaded.has(name)).map((name) => loaded.get(name)));
  views = there.flat();
}

async function show() {
  const { path, parameters } = route();
  if (path && !views.some((each) => each.path === path)) await everything;
  const view = views.find((each) => each.path === path) || views[0];
  const number = showing.number + 1;
  await showing.cleanup?.();
  showing = { view, cleanup: null, number };
  drawNav();
  document.title = `${say(view.title)} · Deskraft`;
  const container = el("section", { class: `view view-${view.path.replaceAll("/", "-")}` });
  clear(byId("main")).append(container);
  if (view.needs !== "nobody" && !user()) {
    container.append(el("h1", { text: say(view.title) }), el("button", { type: "button", class: "main", text: say("app.logIn"), on: { click: () => needLogIn().catch(() => {}) } }));
    return;
  }
  if (!open(view)) {
    container.append(el("h1", { text: say(view.title) }), el("p", { text: say("app.notForYou") }));
    return;
  }
  const cleanup = await busy(null, () => view.show(container, parameters));
  if (showing.number === number) showing.cleanup = cleanup;
  else await cleanup?.();
}

// The header.

const drawn = new Map();

/** Whether what is to be drawn is another than what is there: a button that is taken away under a press never learns of the click. */
function changed(part, ...looks) {
  const now = JSON.stringify([language(), user(), ...looks]);
  const before = drawn.get(part);
  drawn.set(part, now);
  return now !== before;
}

function drawNav() {
  const shown = views.filter((each) => (each.needs === "nobody" || (user() && open(each))) && !each.hidden && !each.inMenu);
  if (!changed("nav", shown.map((each) => each.path), partOf(showing.view))) return;
  clear(byId("nav")).append(...shown.map((each) => el("a", { href: `#/${each.path}`, text: say(each.title), "aria-current": partOf(each) === partOf(showing.view) ? "page" : null, data: { view: each.path } })));
}

function drawHeader() {
  if (!changed("header", isDark())) return;
  byId("skip").textContent = say("app.skip");
  byId("nav").setAttribute("aria-label", say("app.nav"));
  const other = language() === "ru" ? "en" : "ru";
  const tongue = el("button", { type: "button", class: "quiet only", id: "language", lang: other, "aria-label": say("app.language"), title: say("app.language"), text: other.toUpperCase(), on: { click: () => switchLanguage(other) } });
  const logInButton = el("button", { type: "button", class: "main", id: "login", text: say("app.logIn"), on: { click: () => needLogIn().catch(() => {}) } });
  clear(byId("tools")).append(...(user() ? [bell(), tongue, accountMenu()] : [themeButton("quiet only", false), tongue, logInButton]));
}

function themeButton(kind, named) {
  const word = say(isDark() ? "app.light" : "app.dark");
  const button = el("button", { type: "button", class: kind, id: "theme", "aria-label": named ? null : word, title: named ? null : word, on: { click: () => useTheme(isDark() ? "light" : "dark") } });
  button.append(icon(isDark() ? "sun" : "moon"), ...(named ? [word] : []));
  return button;
}

function accountMenu() {
  const button = el("button", { type: "button", class: "quiet", id: "account", "aria-label": `${say("app.account")}: ${user().login}` }, icon("user"), el("span", { id: "who", text: user().login }));
  const own = el("div", { class: "links" });
  const out = el("button", { type: "button", class: "quiet", id: "logout", on: { click: (event) => busy(event.currentTarget, leave) } }, icon("logout"), say("app.logOut"));
  const panel = el("div", { class: "card panel" }, el("p", { class: "quiet", text: user().login }), own, themeButton("quiet", true), out);
  const links = () => views.filter((each) => each.inMenu).map((each) => el("a", { class: "button quiet", href: `#/${each.path}` }, icon("user"), say(each.title)));
  return menu(button, panel, { onOpen: () => clear(own).append(...links()) });
}

async function leave() {
  await logOut();
  toast(say("app.bye"));
}

function drawConnection(connection) {
  const chip = byId("connection");
  chip.dataset.state = connection;
  chip.title = say(`app.${connection}Hint`, { node: new URL(origin()).host });
  clear(chip).append(el("span", { class: "dot", "aria-hidden": "true" }), el("span", { text: say(`app.${connection}`) }));
}

/** With a one-time password nothing else works: it is changed first. */
function leadToPassword(code) {
  if (code !== "password-change-needed" || partOf(route()) === "account") return;
  go("account");
  toast(say("problem.password-change-needed"));
}

async function start() {
  byId("skip").addEventListener("click", (event) => { event.preventDefault(); byId("main").focus(); }); // not a route
  logInBy(openLogIn);
  drawHeader();
  onConnection(drawConnection);
  onRefusal(leadToPassword);
  // What is asked for comes first; the rest follows at once, so that it is there when this node is not.
  const first = VIEWS.find((name) => name === partOf(route())) ?? VIEWS[0];
  await Promise.all([load([first]), findMembers(), busy(null, renew)]);
  everything = load(VIEWS);
  let before = user();
  onUser((now, wanted) => {
    if (before && !now && !wanted) toast(say("app.signedOut"), { kind: "bad" });
    before = now;
    drawHeader();
    show();
  });
  follow(["deskraft.user.role-changed"], () => { busy(null, renew); }); // another role has other views
  onLanguage(() => { drawHeader(); drawConnection(byId("connection").dataset.state); show(); });
  onTheme(drawHeader);
  addEventListener("hashchange", show);
  drawHeader();
  await show();
  await everything;
  drawNav();
}

start();
