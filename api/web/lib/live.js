// What happens in the cluster, as it happens: one stream of GET /api/v1/events for the whole page, shared by all that follow.
//
// It goes on where it was after any cut, on whichever node answers: nothing is missing and nothing comes twice. EventSource cannot sign
// in, so the stream is read with fetch. A page that nobody looks at lets go of its stream, for a browser opens only a few connections to a node,
// and goes on from its place when it is looked at again.

import { Problem, doubt, firstIndex, heard, origins } from "./cluster.js";
import { fresh, onUser, renew, token, user } from "./session.js";

const SILENCE_MS = 40_000; // a node says something every 15 s
const PAUSE_MS = 300;
const MAX_PAUSE_MS = 5_000;
const PLACE = "place";
const WOKEN_MS = 5_000; // timers that are so late tell that the machine has slept

const followers = new Set();
const resets = new Set();
let place = sessionStorage.getItem(PLACE) || ""; // a page that is loaded anew goes on, too
let running = null;
let asked = []; // the types of the stream that runs
let restarting = false;

const wait = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });

/** Hear of events: `types` as in `?type=` (`["deskraft.booking"]`: all that begin so), `space`: only of that one. `onEvent(event)`
 * gets the CloudEvent. Returns how to stop. */
export function follow(types, onEvent, { space = null } = {}) {
  const follower = { types, onEvent, space };
  followers.add(follower);
  if (!running || !types.every((type) => asked.some((each) => within(type, each)))) restart();
  return () => { followers.delete(follower); if (!followers.size) restart(); };
}

/** The same of what happened to whoever is logged in: administrators are told of everybody's. */
export const followOwn = (types, onEvent) => follow(types, (told) => { if ([undefined, user()?.id].includes(told.data.user_id)) onEvent(told); });

/** Events are missing: whatever is shown has to be read anew. Returns how to stop. */
export function onReset(listener) {
  resets.add(listener);
  return () => resets.delete(listener);
}

/** Begin anew with what is followed now and whoever is logged in now; once for all that change together. */
function restart() {
  if (restarting) return;
  restarting = true;
  queueMicrotask(() => {
    restarting = false;
    running?.abort();
    running = null;
    if (followers.size && !document.hidden) run(running = new AbortController());
  });
}

onUser(() => restart());
document.addEventListener("visibilitychange", restart);
addEventListener("pagehide", () => { sessionStorage.setItem(PLACE, place); });
addEventListener("online", restart);
addEventListener("pageshow", (event) => { if (event.persisted) restart(); });
let tick = Date.now();
setInterval(() => {
  if (Date.now() - tick > WOKEN_MS + 1_000) restart(); // a stream that slept may be dead without knowing
  tick = Date.now();
}, 1_000);

function query() {
  const all = [...followers];
  asked = [...new Set(all.flatMap((each) => each.types))].sort();
  const told = new URLSearchParams({ type: asked.join(",") });
  if (place) told.set("last_event_id", place);
  return told;
}

async function run(control) {
  let pause = PAUSE_MS;
  for (let at = 0; !control.signal.aborted; at += 1) {
    const members = origins();
    const cut = new AbortController();
    let timer = 0;
    const alive = () => { clearTimeout(timer); timer = setTimeout(() => cut.abort(), SILENCE_MS); };
    alive();
    try {
      await fresh();
      const headers = token() ? { Authorization: `Bearer ${token()}` } : {};
      const answer = await fetch(`${members[at % members.length]}/api/v1/events?${query()}`, { headers, cache: "no-store", signal: AbortSignal.any([control.signal, cut.signal]) });
      if (answer.status === 401) await renew();
      else if (answer.ok) {
        heard();
        for await (const message of messages(answer.body.getReader(), alive)) {
          pause = PAUSE_MS;
          if (!control.signal.aborted) take(message);
        }
        at -= 1; // it ended in order: the same node first
      } else doubt();
    } catch (error) {
      if (control.signal.aborted) return;
      if (error.name !== "AbortError" && !(error instanceof TypeError) && !(error instanceof Problem)) console.error(error); // those: the connection is gone
      doubt();
    } finally {
      clearTimeout(timer);
    }
    await wait(pause);
    pause = Math.min(2 * pause, MAX_PAUSE_MS);
  }
}

/** The messages of a stream (WHATWG HTML, 9.2.6, as far as a node uses it). */
async function* messages(reader, alive) {
  const decoder = new TextDecoder();
  for (let rest = ""; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    alive();
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
  const begins = !place && id;
  if (id) place = id;
  // A first stream begins now: what was read before and has changed since is read again.
  if (event === "reset" || (begins && firstIndex() !== null && Number(id.split(".")[0]) > firstIndex())) {
    for (const listener of resets) listener();
  } else if (data) {
    const told = JSON.parse(data);
    for (const each of [...followers]) if (concerns(each, told)) each.onEvent(told);
  }
}

/** Whether a type is another, or begins with it. */
const within = (type, whole) => type === whole || type.startsWith(`${whole}.`);

function concerns({ types, space }, told) {
  if (!types.some((each) => within(told.type, each))) return false;
  if (!space) return true;
  const { space_id: one, places = [] } = told.data;
  return one === space || places.some((each) => each.space_id === space);
}
