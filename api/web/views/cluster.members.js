// A card for each member: what it is, how far behind, how busy; and for administrators what may be asked of it.

import { ask } from "../lib/cluster.js";
import { clear, el } from "../lib/dom.js";
import { user } from "../lib/session.js";
import { busy, confirmDialog, toast } from "../lib/ui.js";
import { language, say } from "../lib/words.js";
import { sparkline } from "./cluster.drawing.js";

const READINGS = 60; // two minutes

export const roleName = (member) => say(`cluster.${member.role}`);

const rounded = (value, digits) => new Intl.NumberFormat(language(), { maximumFractionDigits: digits }).format(value);

/** Two lines of load. `note({perSecond, milliseconds} or null)` adds a reading. */
export function readings() {
  const [rates, times] = [[], []];
  const rate = sparkline(say("cluster.perSecond"), READINGS);
  const time = sparkline(say("cluster.latency"), READINGS);
  const push = (values, value) => { values.push(value ?? null); if (values.length > READINGS) values.shift(); };
  function note(reading) {
    push(rates, reading?.perSecond);
    push(times, reading?.milliseconds);
    const [perSecond, milliseconds] = [rates.at(-1), times.at(-1)];
    rate.update(rates, perSecond === null ? say("cluster.unknown") : rounded(perSecond, perSecond < 10 ? 1 : 0));
    time.update(times, milliseconds === null ? say("cluster.unknown") : say("cluster.milliseconds", { value: rounded(milliseconds, milliseconds < 10 ? 1 : 0) }));
  }
  return { box: el("div", { class: "readings" }, rate.whole, time.whole), note };
}

/** The load of all together: rates add up, and of the times the longest is told. */
export function whole(loads) {
  const known = loads.filter((each) => each && each.perSecond !== null);
  if (!known.length) return null;
  const times = known.map((each) => each.milliseconds).filter((each) => each !== null);
  return { perSecond: known.reduce((sum, each) => sum + each.perSecond, 0), milliseconds: times.length ? Math.max(...times) : null };
}

/** The cards. `update(picture, loads, bases)` tells them what is so now. */
export function memberCards() {
  const list = el("ul", { class: "members plain" });
  const cards = new Map();

  function update(now, loads, bases) {
    const ids = now.members.map((each) => each.id);
    if (ids.join(" ") !== [...cards.keys()].join(" ")) {
      for (const id of [...cards.keys()]) if (!ids.includes(id)) cards.delete(id);
      const kept = ids.map((id) => [id, cards.get(id) ?? card(id)]);
      cards.clear();
      for (const [id, each] of kept) cards.set(id, each);
      clear(list).append(...kept.map(([, each]) => each.box));
    }
    for (const member of now.members) cards.get(member.id).update(member, loads[member.id] ?? null, bases[member.id] ?? null);
  }

  return { list, update };
}

function card(id) {
  const role = el("span", { class: "chip" });
  const address = el("code", { class: "quiet" });
  const lag = el("b", { class: "numbers" });
  const unseen = el("p", { class: "quiet", text: say("cluster.notAsked"), hidden: true });
  const load = readings();
  const transfer = el("button", { type: "button", text: say("cluster.transfer"), "aria-label": `${say("cluster.transfer")}: ${id}` });
  const snapshot = el("button", { type: "button", text: say("cluster.snapshot"), "aria-label": `${say("cluster.snapshot")}: ${id}` });
  const actions = el("div", { class: "actions", hidden: true }, transfer, snapshot);
  const box = el("li", { class: "card", data: { member: id } },
    el("header", {}, el("h3", { text: id }), role, address),
    el("p", { class: "lag" }, el("span", { class: "quiet", text: say("cluster.lag") }), lag),
    load.box, unseen, actions);
  let base = null;

  transfer.addEventListener("click", () => busy(transfer, async () => {
    if (!(await confirmDialog(say("cluster.transferText", { id }), { title: say("cluster.transferTitle", { id }), confirm: say("cluster.transfer") }))) return;
    const { body } = await ask("POST", "/api/v1/cluster/transfer", { body: { to: id } });
    toast(say("cluster.transferred", { id: body.leader_id }));
  }));
  snapshot.addEventListener("click", () => busy(snapshot, async () => {
    if (!(await confirmDialog(say("cluster.snapshotText", { id }), { title: say("cluster.snapshotTitle", { id }), confirm: say("cluster.snapshot") }))) return;
    const { body } = await ask("POST", "/api/v1/cluster/snapshot", { body: {}, members: () => [base] }); // of this member and no other
    toast(say("cluster.snapshotDone", { id: body.node_id, index: body.index }));
  }));

  function update(member, reading, from) {
    base = from;
    box.dataset.role = member.role;
    role.dataset.role = member.role;
    clear(role).append(el("span", { class: "dot", "aria-hidden": "true" }), roleName(member));
    address.textContent = member.api;
    lag.textContent = member.lag === null ? say("cluster.unknown") : member.lag === 0 ? say("cluster.lagNone") : say("cluster.lagEntries", { count: member.lag });
    unseen.hidden = !member.heard || member.answers;
    load.note(reading);
    actions.hidden = user()?.role !== "admin" || !member.heard;
    transfer.hidden = member.leads || !member.voter;
    snapshot.hidden = base === null;
  }

  return { box, update };
}
