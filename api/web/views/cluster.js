// The cluster as its members tell it, live: who leads, who lags, whether all copies are equal, what has happened, how busy each is. Anybody may look;
// administrators may hand leadership over and have a snapshot written.
//
// While somebody looks, each member is asked every POLL_MS, past `ask`: here the silence of a member is news and no reason to ask another. A page
// that nobody sees asks nothing. Elements are made once and then told what is so now, so that focus stays and changes are seen to happen.

import "./cluster.words.js";

import { findMembers, origins } from "../lib/cluster.js";
import { clear, el, icon } from "../lib/dom.js";
import { clock, localText, zoneName } from "../lib/time.js";
import { say } from "../lib/words.js";
import { ring } from "./cluster.drawing.js";
import { memberCards, readings, roleName, whole } from "./cluster.members.js";
import { agreement, counters, linked, load, picture } from "./cluster.readings.js";

const POLL_MS = 2_000;
const ANSWER_MS = 1_500;
const SHOWN_SIGHTINGS = 12;

/** What one member answers to a GET; null when it is silent or refuses. */
async function read(base, path, signal) {
  try {
    const answer = await fetch(base + path, { cache: "no-store", signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]) });
    if (!answer.ok) return null;
    return await (answer.headers.get("Content-Type").includes("json") ? answer.json() : answer.text());
  } catch (error) {
    if (signal.aborted) throw error;
    return null;
  }
}

/** Ask all members once: {answers, bases, at, receipts, metrics, sightings} by their ids; null when nobody answers. */
async function askAll(signal) {
  const told = await Promise.all(origins().map(async (base) => [base, await read(base, "/api/v1/cluster", signal)]));
  const heard = told.filter(([, status]) => status !== null);
  if (!heard.length) return null;
  const answers = Object.fromEntries(heard.map(([, status]) => [status.node_id, status]));
  const bases = Object.fromEntries(heard.map(([base, status]) => [status.node_id, base]));
  const ids = Object.keys(answers);
  const at = Math.min(...ids.map((id) => answers[id].applied_index));
  const each = async (path) => Object.fromEntries(await Promise.all(ids.map(async (id) => [id, await read(bases[id], path, signal)])));
  const [receipts, metrics, sightings] = await Promise.all([each(`/api/v1/cluster/receipts/${at}`), each("/metrics"), read(heard[0][0], "/api/v1/cluster/sightings", signal)]);
  return { answers, bases, at, receipts, metrics, sightings };
}

function show(container) {
  const stopping = new AbortController();
  const drawing = ring();
  const health = el("div", { class: "health", role: "status" }, el("p", { class: "quiet", text: say("cluster.loading") }));
  const facts = el("dl", { class: "facts" });
  const all = readings();
  const cards = memberCards();
  const sightings = el("ol", { class: "sightings plain" });
  const sightingsHint = el("p", { class: "quiet" });
  const counted = new Map(); // by member: its last counters
  let [configuration, said] = [0, ""];

  container.append(
    el("h1", { text: say("cluster.title") }),
    el("div", { class: "cluster-head" }, el("div", { class: "card picture" }, drawing.box), el("div", { class: "card" }, health, facts, all.box)),
    el("h2", { text: say("cluster.members") }), cards.list, el("p", { class: "quiet", text: say("cluster.loadHint") }),
    el("h2", { text: say("cluster.seen") }), sightingsHint, sightings,
  );

  function loads(metrics) {
    const found = {};
    for (const [id, text] of Object.entries(metrics)) {
      const now = text === null ? null : { ...counters(text), at: performance.now() };
      const before = counted.get(id);
      found[id] = now && before ? load(before, now, (now.at - before.at) / 1000) : null;
      counted.set(id, now);
    }
    return found;
  }

  function drawHealth(state, title, text) {
    if (said === title + text) return; // a screen reader says it once
    said = title + text;
    health.dataset.health = state;
    clear(health).append(el("p", {}, icon(state === "well" ? "check" : "warning"), el("strong", { text: title })), el("p", { class: "quiet", text }));
  }

  function drawFacts(now, agreed, at) {
    const leader = now.leaderId ?? say("cluster.nobody");
    const hint = agreed ? say(`cluster.${agreed}Hint`, { index: at }) : say("cluster.unknownHint");
    const told = [["cluster.leaderTitle", leader], ["cluster.term", now.term], ["cluster.commit", now.commit], ["cluster.digests", say(`cluster.${agreed ?? "unknown"}`), hint, agreed]];
    clear(facts).append(...told.map(([title, value, more, how]) => el("div", {}, el("dt", { text: say(title) }), el("dd", { class: "numbers", data: how ? { copies: how } : {} }, String(value), more ? el("small", { class: "quiet", text: more }) : null))));
  }

  function drawSightings({ node_id: id, items }) {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const local = (at) => localText(Date.parse(at), zone);
    sightingsHint.textContent = say("cluster.seenHint", { id, zone: zoneName(zone, local(new Date().toISOString())) });
    clear(sightings).append(...items.slice(0, SHOWN_SIGHTINGS).map((each) => el("li", { data: { kind: each.kind } },
      el("time", { class: "numbers quiet", datetime: each.at, text: `${clock(local(each.at))}:${local(each.at).slice(17, 19)}` }),
      el("span", { text: say(`cluster.saw.${each.kind}`, { id: each.member_id, term: each.term }) }))));
  }

  async function look() {
    const told = await askAll(stopping.signal);
    if (told === null) {
      drawHealth("down", say("cluster.down"), say("cluster.silentAll"));
      return;
    }
    const now = picture(told.answers);
    if (configuration !== now.configuration) { // who belongs to it has changed
      configuration = now.configuration;
      await findMembers();
    }
    const found = loads(told.metrics);
    drawHealth(now.health, say(`cluster.${now.health}`), healthText(now));
    drawFacts(now, agreement(Object.values(told.receipts)), told.at);
    all.note(whole(Object.values(found)));
    drawing.update(now.members, (one, other) => linked(told.answers, one, other), roleName, say("cluster.picture", { members: now.members.map((each) => say("cluster.pictureMember", { id: each.id, role: roleName(each) })).join(", ") }));
    cards.update(now, found, told.bases);
    if (told.sightings) drawSightings(told.sightings);
  }

  keepLooking(look, stopping.signal).catch((error) => { if (!stopping.signal.aborted) console.error(error); });
  return () => stopping.abort();
}

function healthText(now) {
  const who = now.members.filter((each) => !each.heard).map((each) => each.id).join(", ");
  if (now.spare < 0) return say("cluster.downHint", { count: now.majority });
  if (now.leaderId === null) return say("cluster.electing");
  if (who) return now.spare ? say("cluster.wornHint", { who, count: now.spare }) : say("cluster.edgeHint", { who });
  return now.spare ? say("cluster.wellHint", { count: now.spare }) : say("cluster.aloneHint");
}

/** Look again and again while the page is seen. */
async function keepLooking(look, signal) {
  for (;;) {
    if (document.hidden) await new Promise((seen) => { document.addEventListener("visibilitychange", seen, { once: true }); });
    else await look();
    await new Promise((next) => { setTimeout(next, document.hidden ? 0 : POLL_MS); });
    signal.throwIfAborted();
  }
}

export default { path: "cluster", title: "cluster.title", needs: "nobody", show };
