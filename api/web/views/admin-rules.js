// What users may take: every limit is off until it is set. Accepted bookings are not touched by any of them.

import { ask } from "../lib/cluster.js";
import { el } from "../lib/dom.js";
import { toast } from "../lib/ui.js";
import { changedOf, check, field, fill, POLICY, save, settings, t } from "./admin-common.js";

const MAX_NUMBER = 100_000;

export default function rules(body, held, redraw) {
  const { policy } = held.space;
  const number = (name, value, max) => field(t(name), el("input", { type: "number", name, min: 0, max, value: value || null, placeholder: t("off"), inputmode: "numeric" }), name === "cancel_cutoff_minutes" && t(`${name}_hint`));
  const one = el("input", { type: "checkbox", checked: policy.one_seat_at_a_time });
  const limits = settings([
    el("p", { class: "note", text: t("rulesHint") }), POLICY.map((name) => number(name, policy[name], MAX_NUMBER)), check(t("one_seat_at_a_time"), one),
  ], () => {
    const given = new FormData(limits);
    const before = Object.fromEntries(POLICY.map((name) => [name, policy[name] || 0]));
    const after = Object.fromEntries(POLICY.map((name) => [name, Number(given.get(name)) || 0]));
    const changed = changedOf({ ...before, one_seat_at_a_time: policy.one_seat_at_a_time }, { ...after, one_seat_at_a_time: one.checked });
    return save(held, { body: Object.keys(changed).length ? { policy: changed } : {}, title: t("tab.rules") }, redraw);
  });
  fill(body, limits);
  const path = `/spaces/${encodeURIComponent(held.id)}/checkin`;
  const grace = el("input", { type: "number", name: "grace", min: 0, max: 1440, placeholder: t("off"), inputmode: "numeric" });
  ask("GET", `/api/v1${path}`).then((answer) => { grace.value = answer.body.grace_minutes || ""; }, (problem) => toast(problem.message, { kind: "bad" }));
  body.append(settings([el("h2", { text: t("checkin") }), field(t("grace"), grace, t("grace_hint"))], async () => {
    await ask("POST", `/api/v1/admin${path}`, { body: { grace_minutes: Number(grace.value) || 0 } });
    toast(t("saved"));
  }));
}
