// The first, plain page: log in, book, my bookings, history. No library and no build step.
//
// Sessions: the tokens are kept in sessionStorage for now, so a session lives as long as the tab. The page may talk to every
// member of the cluster; when one is away it asks the next with the same Idempotency-Key, so nothing happens twice.

import { bindBell, ring } from "/web/bell.js";
import { bindMessages, drawMessages } from "/web/messages.js";
import { language, say, sayProblem, switchLanguage } from "/web/words.js";

const byId = (id) => document.getElementById(id);
const state = { spaces: [], page: null, chosen: null, tab: "book", cursor: null, members: [location.origin], at: 0, user: null };
let tokens = JSON.parse(sessionStorage.getItem("tokens") || "null");

// Talking to the cluster.

class Problem extends Error {
  constructor(status, body) { super(body.title || String(status)); this.status = status; this.body = body; }
  get code() { return (this.body.type || "").split(":").pop(); }
}

const pause = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });

async function ask(method, path, { body, key, signed = true } = {}) {
  const repeatKey = method === "GET" ? null : key || crypto.randomUUID();
  const attempts = 2 * state.members.length + 1;
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    const base = state.members[state.at];
    const headers = {};
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (repeatKey) headers["Idempotency-Key"] = repeatKey;
    if (signed && tokens) headers.Authorization = `Bearer ${tokens.access_token}`;
    try {
      const answer = await fetch(base + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal: AbortSignal.timeout(4000) });
      if (answer.status !== 503) return await settle(answer);
      if (attempt === attempts - 1) throw new Problem(503, await answer.json());
    } catch (error) {
      if (error instanceof Problem) throw error;
    }
    notice(say("away", { node: new URL(base).host }), true);
    state.at = (state.at + 1) % state.members.length;
    await pause(150 * (attempt + 1));
  }
  throw new Problem(503, { title: say("allAway"), detail: say("allAway"), type: "" });
}

async function settle(answer) {
  if (answer.status === 204) return null;
  const body = await answer.json();
  if (!answer.ok) throw new Problem(answer.status, body);
  return body;
}

/** Like `ask`, with one refresh of the tokens when they have run out. */
async function askSigned(method, path, options = {}) {
  const key = method === "GET" ? undefined : crypto.randomUUID();
  try {
    return await ask(method, path, { ...options, key });
  } catch (error) {
    if (error.status !== 401 || !tokens) throw error;
    try {
      keep(await ask("POST", "/api/v1/auth/refresh", { body: { refresh_token: tokens.refresh_token }, signed: false }));
    } catch (refused) {
      if (refused.status !== 401) throw refused;
      keep(null);
      show();
      throw new Problem(401, { detail: say("signedOut") });
    }
    return ask(method, path, { ...options, key });
  }
}

function keep(given) {
  tokens = given;
  if (given) sessionStorage.setItem("tokens", JSON.stringify(given)); else { sessionStorage.removeItem("tokens"); state.user = null; }
}

// Saying things.

function notice(text, bad = false) {
  const box = byId("notice");
  box.textContent = text;
  box.classList.toggle("bad", bad);
  box.hidden = !text;
}

function element(name, { text, ...attributes } = {}, ...children) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children);
  return made;
}

/** Run what a button does: disabled meanwhile, problems in words. */
async function doing(button, work) {
  if (button) button.disabled = true;
  notice(say("working"));
  try {
    notice((await work()) || "");
  } catch (error) {
    notice(error instanceof Problem ? (error.code === "outcome-unknown" ? say("unknown") : sayProblem(error.body)) : say("allAway"), true);
    if (!(error instanceof Problem)) console.error(error);
    if (error instanceof Problem && ["seat-taken", "out-of-service"].includes(error.code)) await offer(error.body.alternatives || []);
  } finally {
    if (button) button.disabled = false;
  }
}

const clock = (instant) => instant.slice(11, 16); // the wall clock of the space stands in the text itself
const dayOf = (instant) => new Intl.DateTimeFormat(language, { dateStyle: "medium", timeZone: "UTC" }).format(new Date(`${instant.slice(0, 10)}T00:00Z`));
const offsetOf = (instant) => instant.slice(19) || "";
const labelOf = (spaceId, seatId) => state.spaces.find((each) => each.id === spaceId)?.seats.find((each) => each.id === seatId)?.label || seatId;

function describe({ space_id: spaceId, seat_id: seatId, starts_at: from, ends_at: to }) {
  const space = state.spaces.find((each) => each.id === spaceId);
  const changed = offsetOf(to) !== offsetOf(from) ? ` UTC${offsetOf(to)}` : ""; // the clocks change in between
  const values = { seat: labelOf(spaceId, seatId), date: dayOf(from), from: clock(from), to: clock(to) + changed, zone: space ? `${space.timezone}, UTC${offsetOf(from)}` : offsetOf(from) };
  return `${space ? `${space.name}: ` : ""}${say("chosen", values)}`;
}

// The day.

async function drawDay() {
  const space = state.spaces.find((each) => each.id === byId("space").value);
  if (!space || !byId("date").value) return;
  state.chosen = null;
  const page = await askSigned("GET", `/api/v1/spaces/${encodeURIComponent(space.id)}/availability?date=${byId("date").value}`);
  state.page = page;
  const offsets = new Set(page.slots.map((slot) => offsetOf(slot.starts_at)));
  byId("zone").textContent = page.slots.length ? say("zone", { zone: page.timezone, offset: [...offsets].join(" / UTC"), minutes: space.slot_minutes }) : say("noSlots");
  const head = element("tr", {}, element("th", { scope: "col", text: say("seat") }));
  // On a day when the clocks change an hour may stand twice: then the offset tells the two apart.
  page.slots.forEach((slot) => { slot.name = clock(slot.starts_at) + (offsets.size > 1 ? ` ${offsetOf(slot.starts_at)}` : ""); });
  for (const slot of page.slots) head.append(element("th", { scope: "col", text: slot.name }));
  const rows = page.seats.map((seat) => element("tr", {}, element("th", { scope: "row", text: seat.label }), ...seat.slots.map((how, at) => cell(page, seat, how, at))));
  byId("grid").replaceChildren(element("thead", {}, head), element("tbody", {}, ...rows));
  drawChoice();
}

const WORD_OF = { taken: "taken", mine: "yours", past: "pastSlot", closed: "closed" };

function cell(page, seat, how, at) {
  const when = page.slots[at].name;
  if (how !== "free") {
    return element("td", {}, element("span", { class: how, title: say(WORD_OF[how]), "aria-label": `${seat.label} ${when}: ${say(WORD_OF[how])}`, text: how === "past" ? "" : how === "mine" ? "●" : "×" }));
  }
  const button = element("button", { type: "button", "aria-pressed": "false", "aria-label": `${seat.label} ${when}: ${say("free")}`, title: say("free") });
  button.addEventListener("click", () => {
    document.querySelectorAll('#grid [aria-pressed="true"]').forEach((each) => each.setAttribute("aria-pressed", "false"));
    button.setAttribute("aria-pressed", "true");
    state.chosen = { seat, at };
    byId("alternatives").hidden = true;
    drawChoice();
  });
  return element("td", {}, button);
}

function wanted() {
  if (!state.chosen) return null;
  const slots = Math.max(1, Number(byId("slots").value) || 1);
  const { seat, at } = state.chosen;
  const startsAt = state.page.slots[at].starts_at;
  const last = state.page.slots[at + slots - 1];
  return { space_id: state.page.space_id, seat_id: seat.id, starts_at: startsAt, ends_at: last ? last.ends_at : later(startsAt, slots), slots };
}

/** The end of so many slots, beyond the day that is shown, as the server would write it. */
function later(instant, slots) {
  const minutes = slots * (state.spaces.find((each) => each.id === state.page.space_id)?.slot_minutes || 0);
  return localText(Date.parse(instant) + minutes * 60_000, state.page.timezone);
}

/** An instant by the clocks of a zone, as the server would write it. */
function localText(milliseconds, zone) {
  const fields = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", timeZoneName: "longOffset" };
  const format = new Intl.DateTimeFormat("en-CA", { timeZone: zone, hourCycle: "h23", ...fields });
  const parts = Object.fromEntries(format.formatToParts(new Date(milliseconds)).map((each) => [each.type, each.value]));
  return `${parts.year}-${parts.month}-${parts.day}T${parts.hour}:${parts.minute}:00${parts.timeZoneName.replace("GMT", "") || "+00:00"}`;
}

function drawChoice() {
  const want = wanted();
  byId("choice").hidden = !want;
  if (want) byId("choice-text").textContent = describe(want);
}

async function book(want) {
  const { ends_at: _, ...body } = want;
  const booking = await askSigned("POST", "/api/v1/bookings", { body });
  byId("alternatives").hidden = true;
  await drawDay();
  return say("booked", { what: describe(booking) });
}

async function offer(alternatives) {
  const slots = Math.max(1, Number(byId("slots").value) || 1);
  byId("alternative-list").replaceChildren(...alternatives.map((each) => {
    const button = element("button", { type: "button", text: describe(each) });
    button.addEventListener("click", () => doing(button, () => book({ ...each, slots })));
    return element("li", {}, button);
  }));
  byId("alternatives").hidden = !alternatives.length;
  try { await drawDay(); } catch (error) { console.error(error); } // the offer stands even when the page cannot be drawn anew
}

// The lists.

async function drawList(more = false) {
  const mine = state.tab === "mine";
  const query = new URLSearchParams({ limit: "20" });
  if (mine) { query.set("when", "upcoming"); query.set("status", "confirmed"); }
  if (more && state.cursor) query.set("cursor", state.cursor);
  const page = await askSigned("GET", `${mine ? "/api/v1/bookings" : "/history"}?${query}`);
  state.cursor = page.next;
  const items = page.items.map((booking) => bookingItem(booking));
  if (more) byId("list").append(...items); else byId("list").replaceChildren(...items);
  byId("list-title").textContent = say(state.tab);
  byId("list-empty").hidden = byId("list").children.length > 0;
  byId("more").hidden = !page.next;
}

function bookingItem(booking) {
  const status = { confirmed: "confirmed", cancelled: "cancelledStatus", completed: "completed", released: "released" }[booking.status];
  const item = element("li", {}, element("span", { text: describe(booking) }), element("span", { class: "quiet", text: say(status) }));
  if (booking.status === "confirmed") {
    const button = element("button", { type: "button", text: say("cancel"), "aria-label": `${say("cancel")}: ${describe(booking)}` });
    button.addEventListener("click", () => doing(button, async () => {
      const cancelled = await askSigned("POST", `/api/v1/bookings/${encodeURIComponent(booking.id)}/cancel`);
      await drawList();
      return say("cancelled", { what: describe(cancelled) });
    }));
    item.append(button);
  }
  return item;
}

// The page as a whole.

function translate() {
  document.documentElement.lang = language;
  document.querySelectorAll("[data-word]").forEach((each) => { each.textContent = say(each.dataset.word); });
  byId("language").textContent = say("other");
  byId("node").textContent = say("node", { node: location.host });
  byId("who").textContent = state.user ? state.user.login : "";
}

async function loadSpaces() {
  state.spaces = (await ask("GET", "/api/v1/spaces", { signed: false })).items;
  const before = byId("space").value;
  byId("space").replaceChildren(...state.spaces.map((each) => element("option", { value: each.id, text: each.name })));
  if (before) byId("space").value = before;
  if (!byId("date").value && state.spaces.length) {
    const zone = state.spaces[0].timezone;
    byId("date").value = new Intl.DateTimeFormat("en-CA", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" }).format(new Date());
  }
}

function show() {
  const inside = Boolean(tokens);
  byId("tabs").hidden = !inside;
  byId("logout").hidden = !inside;
  byId("view-login").hidden = inside;
  byId("view-book").hidden = !inside || state.tab !== "book";
  byId("view-list").hidden = !inside || !["mine", "history"].includes(state.tab);
  byId("view-messages").hidden = !inside || state.tab !== "messages";
  document.querySelectorAll("[data-tab]").forEach((each) => {
    if (each.dataset.tab === state.tab) each.setAttribute("aria-current", "page"); else each.removeAttribute("aria-current");
  });
  translate();
  ring();
}

/** A place in an event, which is told in UTC, in the words of its space. */
function describeTold(data) {
  const zone = state.spaces.find((each) => each.id === data.space_id)?.timezone || "UTC";
  const [from, to] = [data.starts_at, data.ends_at].map((each) => localText(Date.parse(each), zone));
  return describe({ ...data, starts_at: from, ends_at: to });
}

let redrawing = 0;

/** Something of one's own has changed, here or elsewhere: what is shown is drawn anew, once for all that come together. */
function changedElsewhere() {
  clearTimeout(redrawing);
  redrawing = setTimeout(() => {
    if (["mine", "history"].includes(state.tab)) drawList().catch(console.error);
    else if (state.tab === "book" && !state.chosen) drawDay().catch(console.error);
  }, 300);
}

bindBell({
  user: () => (tokens && state.user ? state.user.id : null),
  members: () => state.members,
  token: () => tokens?.access_token,
  renew: () => askSigned("GET", "/api/v1/me"),
  describe: describeTold,
  changed: changedElsewhere,
});

async function enter() {
  if (tokens && !state.user) state.user = await askSigned("GET", "/api/v1/me");
  await loadSpaces();
  show();
  if (!tokens) return;
  if (state.tab === "book") await drawDay(); else if (state.tab === "messages") await drawMessages(askSigned); else await drawList();
}

async function signIn(registering) {
  const body = { login: byId("login").value, password: byId("password").value };
  let said = "";
  if (registering) said = say("registered", { login: (await ask("POST", "/api/v1/auth/register", { body, signed: false })).login });
  keep(await ask("POST", "/api/v1/auth/login", { body, signed: false }));
  byId("password").value = "";
  await enter();
  return said;
}

byId("login-form").addEventListener("submit", (event) => { event.preventDefault(); doing(event.submitter, () => signIn(false)); });
byId("register").addEventListener("click", (event) => { if (byId("login-form").reportValidity()) doing(event.currentTarget, () => signIn(true)); });
byId("logout").addEventListener("click", (event) => doing(event.currentTarget, async () => {
  try { await ask("POST", "/api/v1/auth/logout"); } catch (error) { if (error.status !== 401) throw error; }
  keep(null);
  show();
}));
byId("language").addEventListener("click", () => { switchLanguage(); doing(null, enter); });
byId("confirm").addEventListener("click", (event) => doing(event.currentTarget, () => book(wanted())));
byId("more").addEventListener("click", (event) => doing(event.currentTarget, () => drawList(true)));
byId("slots").addEventListener("input", drawChoice);
bindMessages(doing, askSigned);
for (const id of ["space", "date"]) byId(id).addEventListener("change", () => { byId("alternatives").hidden = true; doing(null, drawDay); });
document.querySelectorAll("[data-tab]").forEach((each) => each.addEventListener("click", () => { state.tab = each.dataset.tab; doing(null, enter); }));

async function findMembers() {
  try {
    const cluster = await (await fetch("/api/v1/cluster")).json();
    const others = cluster.members.filter((each) => each.id !== cluster.node_id).map((each) => `${location.protocol}//${each.api}`);
    state.members = [location.origin, ...others];
  } catch (error) { console.error(error); } // alone with this node until the next load of the page
}

show();
findMembers().then(() => doing(null, enter));
