// Talking to the cluster. Every member serves every call, so a request goes to the one that answered last and, when that one is silent or
// cannot answer, to the next with the same Idempotency-Key: whatever it asks for happens once.
//
// Without a majority nodes show what they last knew, and the chip says so. The members are those of the moment when the page was loaded, for its
// content security policy names them.
//
// Invariants. A write has one key for all its attempts. An answer is either definite or the caller learns that it is not known ("outcome-unknown").
// Whoever moves to another node reads their own writes, by Deskraft-Min-Index. The page may talk to other members only where their origins know
// it (api/origins.py); behind a proxy it has the one origin that it came from, and moving on is the proxy's part.

const ATTEMPT_MS = 3_000; // a node answers within 2.5 s, if only with a 503
const PATIENCE_MS = 12_000; // with one request: elections take less
const PAUSE_MS = 150;
const MAX_PAUSE_MS = 1_200;
const PROBE_MS = 1_500;
const UNSURE_MS = 700; // a failover that is over by then is nobody's concern
const PENDING = "pending:";

const state = { members: [location.origin], at: 0, index: 0, firstIndex: null, connection: "live", unsure: 0, probing: 0 };
const listeners = new Set();
const refusals = new Set();
const sending = new Map();
let signer = { token: () => null, who: () => undefined, fresh: async () => {}, renew: async () => false };

/** An idempotency key. `crypto.randomUUID` is there for HTTPS and loopback alone, and the page may come from another machine by plain HTTP. */
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((each) => each.toString(16).padStart(2, "0")).join("");

const pause = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });

/** What a node has refused, or that none could be asked (status 503). */
export class Problem extends Error {
  constructor(status, body) {
    super(body.title || String(status));
    this.status = status;
    this.body = body;
  }

  get code() { return (this.body.type || "").split(":").pop(); }
}

const SIGNED_OUT = { type: "urn:deskraft:problem:unauthenticated", title: "The session has ended", status: 401 };
const problem = (code, title) => new Problem(503, { type: `urn:deskraft:problem:${code}`, title, status: 503 });

/** Who signs requests: `token()`, `who()` it speaks for, `fresh()` before it is used, `renew()` when it is refused. Set once, by session.js. */
export function signWith(given) { signer = given; }

/** The member that is asked first now. */
export const origin = () => state.members[state.at];

/** All members that the page can ask, the one that is asked first in front. */
export const origins = () => [...state.members.slice(state.at), ...state.members.slice(0, state.at)];

/** The oldest index that an answer to this page has had; null before the first. */
export const firstIndex = () => state.firstIndex;

/** Be told the code of each refusal, whoever asked. */
export const onRefusal = (listener) => { refusals.add(listener); };

/** "live", "reconnecting" (nobody answers) or "read-only" (nodes answer, and there is no majority). The listener is told the present state at once. */
export function onConnection(listener) {
  listeners.add(listener);
  listener(state.connection);
  return () => listeners.delete(listener);
}

/** Ask the cluster. `key`: the idempotency key of a write, made here when left out; `etag`: go on only while that is the revision.
 * Returns {status, body, etag, index}; throws Problem, or AbortError when `signal` says so. */
export async function ask(method, path, { body, key, etag, headers = {}, signal, signed = true, credentials = "same-origin", members = origins } = {}) {
  const repeatKey = method === "GET" ? null : key || newKey();
  const text = body === undefined ? undefined : JSON.stringify(body);
  const giveUpAt = performance.now() + PATIENCE_MS;
  const who = signer.who();
  if (signed) await signer.fresh();
  let stale = state.connection === "read-only" && readable(method, path);
  let [at, unknown, refused, renewed, wait] = [0, false, null, false, PAUSE_MS];
  for (;;) {
    const all = members();
    const base = all[at % all.length];
    const named = { ...headers };
    if (text !== undefined) named["Content-Type"] = "application/json";
    if (repeatKey) named["Idempotency-Key"] = repeatKey;
    if (etag) named["If-Match"] = etag;
    if (state.index) named["Deskraft-Min-Index"] = String(state.index);
    if (signed && who !== signer.who()) throw new Problem(401, SIGNED_OUT); // what one person began is not done as another
    const token = signed ? signer.token() : null;
    if (token) named.Authorization = `Bearer ${token}`;
    const answer = await once(base, stale ? `${path}${path.includes("?") ? "&" : "?"}consistency=stale` : path, { method, headers: named, body: text, credentials }, signal);
    if (answer?.status === 401 && token && !renewed) { // the token has run out, or the session has ended
      renewed = true;
      if (token === signer.token()) await signer.renew();
      continue;
    }
    if (answer !== null && answer.status !== 503) {
      // What only a majority can answer proves that there is one; an old state does not, nor what a node tells of itself.
      if (answer.status < 400 && !stale && !ofNode(path)) tell("live");
      return settle(base, answer, members === origins);
    }
    if (answer === null || answer.body.type?.endsWith(":outcome-unknown")) unknown = true; // it may have arrived
    refused = answer ?? refused;
    doubt();
    if (performance.now() > giveUpAt) break;
    at += 1;
    if (at % all.length === 0) {
      stale = refused?.body.type?.endsWith(":unavailable") && readable(method, path); // all have been asked: wait a little before the next round
      await pause(wait);
      wait = Math.min(2 * wait, MAX_PAUSE_MS);
    }
  }
  state.index = 0; // should the cluster have been restored from a backup, its indexes are lower than what this page has seen
  if (repeatKey && unknown) throw problem("outcome-unknown", "It is not known whether this happened.");
  throw refused ? new Problem(503, refused.body) : problem("unreachable", "No node answers.");
}

const ofNode = (path) => path.startsWith("/api/v1/cluster");

/** Whether a node without a majority can show this as it last knew it. */
const readable = (method, path) => method === "GET" && !ofNode(path);

/** One attempt: its answer, or null when there was none. */
async function once(base, path, options, signal) {
  const limit = AbortSignal.timeout(ATTEMPT_MS);
  try {
    const answer = await fetch(base + path, { ...options, signal: signal ? AbortSignal.any([signal, limit]) : limit });
    const type = answer.headers.get("Content-Type") || "";
    const body = answer.status === 204 ? null : type.includes("json") ? await answer.json() : await answer.text();
    return { status: answer.status, body, etag: answer.headers.get("ETag"), index: Number(answer.headers.get("Deskraft-Index")) || 0 };
  } catch (error) {
    if (signal?.aborted) throw error;
    return null; // no connection, no answer in time, or one that was cut: the next member knows more
  }
}

function settle(base, answer, move) {
  if (move) state.at = Math.max(0, state.members.indexOf(base));
  state.index = Math.max(state.index, answer.index);
  state.firstIndex ??= answer.index;
  if (answer.status < 400) return answer;
  const refusal = new Problem(answer.status, answer.body);
  for (const hear of refusals) hear(refusal.code);
  throw refusal;
}

// Whether the cluster is there.

function tell(connection) {
  clearTimeout(state.unsure);
  state.unsure = 0;
  if (connection === "live") { clearTimeout(state.probing); state.probing = 0; }
  if (connection === state.connection) return;
  state.connection = connection;
  for (const listener of listeners) listener(connection);
}

/** Something did not answer: look closer, unless it answers by itself in a moment. */
export function doubt() {
  if (!state.unsure && !state.probing) state.unsure = setTimeout(probe, UNSURE_MS);
}

/** An answer came by another way: a stream is open. */
export const heard = () => { if (state.connection !== "live" && !state.probing) probe(); };

async function probe() {
  state.unsure = 0;
  const found = await Promise.all(state.members.map((base) => once(base, "/readyz", { method: "GET" })));
  const ready = found.findIndex((each) => each?.status === 200);
  if (ready >= 0) {
    if (found[state.at]?.status !== 200) state.at = ready;
    tell("live");
    return;
  }
  tell(found.some((each) => each !== null) ? "read-only" : "reconnecting");
  clearTimeout(state.probing);
  state.probing = setTimeout(probe, PROBE_MS);
}

/** Learn who the members are. */
export async function findMembers() {
  try {
    const { body } = await ask("GET", "/api/v1/cluster", { signed: false });
    const all = body.members.map((each) => reachable(each.api));
    if (location.protocol === "http:" && all.includes(location.origin)) {
      const first = origin();
      state.members = [location.origin, ...all.filter((each) => each !== location.origin)];
      state.at = Math.max(0, state.members.indexOf(first));
    }
  } catch (error) {
    if (!(error instanceof Problem)) throw error; // alone with this node until it answers
  }
}

/** The origin of a member, by the name for this machine that the page itself was reached by. */
const reachable = (api) => `http://${location.hostname === "localhost" ? api.replace(/^(127\.0\.0\.1|\[::1\]):/, "localhost:") : api}`;

addEventListener("offline", () => { setTimeout(probe, UNSURE_MS); }); // whatever answers that are under way say
addEventListener("online", () => { if (state.connection !== "live") probe(); });

// Writes that outlive a reload.

/** A write that happens once even when the page is loaded anew while it is asked.
 *
 * `prepare(method, path, body)` makes its key when the person has chosen, and keeps the one there is for the same request; `send()` asks, however often it is
 * called, with that key and resolves or throws as `ask` does; `waiting()` is {method, path, body, key, sent} or null, `sent` after a reload in between
 * says that it was on its way; `forget()` drops it. A definite answer drops it too. */
export function pending(name) {
  const place = PENDING + name;
  const waiting = () => JSON.parse(sessionStorage.getItem(place) || "null");
  const keep = (request) => sessionStorage.setItem(place, JSON.stringify(request));
  const forget = () => sessionStorage.removeItem(place);
  const prepare = (method, path, body) => {
    const before = waiting();
    const same = before && before.method === method && before.path === path && JSON.stringify(before.body) === JSON.stringify(body);
    if (!same) keep({ method, path, body, key: newKey(), sent: false });
  };
  const deliver = async () => {
    const request = waiting();
    keep({ ...request, sent: true });
    try {
      const answer = await ask(request.method, request.path, { body: request.body, key: request.key });
      if (waiting()?.key === request.key) forget();
      return answer;
    } catch (error) {
      const definite = error instanceof Problem && ![401, 429, 503].includes(error.status);
      if (definite && waiting()?.key === request.key) forget();
      throw error;
    } finally {
      sending.delete(place);
    }
  };
  const send = () => {
    if (!sending.has(place)) sending.set(place, deliver());
    return sending.get(place);
  };
  return { waiting, prepare, send, forget };
}

/** Drop all of them: another person uses the page. */
export function forgetPending() {
  for (const place of Object.keys(sessionStorage)) if (place.startsWith(PENDING)) sessionStorage.removeItem(place);
}
