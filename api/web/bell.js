// The bell: what has happened to one's own bookings, live. It follows GET /api/v1/events and goes on at another node when this one is
// gone, after the last event that it has seen: nothing is missing and nothing comes twice. EventSource cannot sign in, so the stream is
// read with fetch. A page that nobody looks at lets go of its stream, for a browser opens only a few connections to a node.

import { say } from "/web/words.js";

const TYPES = "deskraft.booking,deskraft.waitlist";
const KEPT = 30;
const SILENCE_MS = 40_000; // a node says something every 15 s
const PAUSE_MS = 500;
const MAX_PAUSE_MS = 8_000;

const byId = (id) => document.getElementById(id);
const wait = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });
let page = null; // { user, members(), token(), renew(), describe(data), changed() }
let kept = { user: null, place: "", items: [], unread: 0 };
let stopping = null;

export function bindBell(given) {
  page = given;
  byId("bell").addEventListener("click", () => {
    const opened = byId("bell-panel").hidden;
    byId("bell-panel").hidden = !opened;
    byId("bell").setAttribute("aria-expanded", String(opened));
    if (opened) kept.unread = 0;
    remember();
  });
  document.addEventListener("visibilitychange", () => { if (document.hidden) stop(); else ring(); });
}

/** Listen for whoever is logged in now; nobody: be quiet and forget. */
export function ring() {
  const user = page.user();
  if (kept.user !== user) {
    stop();
    const before = JSON.parse(sessionStorage.getItem("bell") || "null");
    kept = before && before.user === user ? before : { user, place: "", items: [], unread: 0 };
    if (!user) { byId("bell-panel").hidden = true; sessionStorage.removeItem("bell"); }
  }
  drawBell();
  if (user && !stopping && !document.hidden) follow(stopping = new AbortController());
}

function stop() {
  if (stopping) stopping.abort();
  stopping = null;
}

function remember() {
  if (kept.user) sessionStorage.setItem("bell", JSON.stringify(kept));
  drawBell();
}

function drawBell() {
  byId("bell").hidden = !kept.user;
  byId("bell-count").textContent = kept.unread || "";
  byId("bell").setAttribute("aria-label", say("bell", { count: kept.unread }));
  const items = kept.items.map((told) => {
    const item = document.createElement("li");
    item.textContent = `${say(`told-${told.type}`)}: ${page.describe(told.data)}`;
    return item;
  });
  byId("bell-list").replaceChildren(...items);
  byId("bell-empty").hidden = items.length > 0;
}

async function follow(control) {
  let pause = PAUSE_MS;
  for (let at = 0; !control.signal.aborted; at += 1) {
    const members = page.members();
    const cut = new AbortController();
    const silence = { timer: 0 };
    const heard = () => { clearTimeout(silence.timer); silence.timer = setTimeout(() => cut.abort(), SILENCE_MS); };
    const ended = () => cut.abort();
    control.signal.addEventListener("abort", ended);
    heard();
    try {
      const query = new URLSearchParams({ type: TYPES });
      if (kept.place) query.set("last_event_id", kept.place);
      const answer = await fetch(`${members[at % members.length]}/api/v1/events?${query}`, { headers: { Authorization: `Bearer ${page.token()}` }, cache: "no-store", signal: cut.signal });
      if (answer.status === 401) await page.renew();
      else if (answer.ok) {
        for await (const message of messages(answer.body.getReader(), heard)) {
          pause = PAUSE_MS;
          if (!control.signal.aborted) take(message);
        }
        at -= 1; // it ended in order: the same node first
      }
    } catch (error) {
      if (error.name !== "AbortError" && !(error instanceof TypeError)) console.error(error); // those two: the connection is gone
    } finally {
      clearTimeout(silence.timer);
      control.signal.removeEventListener("abort", ended);
    }
    await wait(pause);
    pause = Math.min(2 * pause, MAX_PAUSE_MS);
  }
}

/** The messages of a stream (WHATWG HTML, 9.2.6, as far as a node uses it). */
async function* messages(reader, heard) {
  const decoder = new TextDecoder();
  for (let rest = ""; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    heard();
    const blocks = (rest + decoder.decode(value, { stream: true })).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const message = { event: "message", data: "" };
      for (const line of block.split("\n")) {
        const colon = line.indexOf(": ");
        if (colon > 0) message[line.slice(0, colon)] = line.slice(colon + 2);
      }
      yield message;
    }
  }
}

function take({ id, event, data }) {
  if (id) kept.place = id;
  if (event === "reset") page.changed();
  else if (data) {
    const told = JSON.parse(data);
    const type = told.type.replace("deskraft.", "");
    if (say(`told-${type}`)) {
      kept.items = [{ type, data: told.data }, ...kept.items].slice(0, KEPT);
      if (byId("bell-panel").hidden) kept.unread += 1;
    }
    page.changed();
  }
  remember();
}
