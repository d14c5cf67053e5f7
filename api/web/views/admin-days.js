// Dates with hours of their own: closures, short days, and open Sundays. Each change is looked at before it is carried out.

import { el } from "../lib/dom.js";
import { button, choice, clockInput, datesText, field, fill, hoursText, save, settings, t } from "./admin-common.js";

export default function days(body, held, redraw) {
  const send = (wish, says) => save(held, { method: "POST", path: "/days", body: wish, title: t("tab.days"), says, look: true }, redraw);
  const known = held.space.special_days.map((each) => {
    const usual = () => send({ first: each.first, last: each.last, usual: true }, t("usualHint", { dates: datesText(each) }));
    return el("li", {}, el("b", { text: datesText(each) }), el("span", { class: each.opens ? "chip" : "chip warn", text: hoursText(each) }), el("span", { class: "note", text: each.reason || "" }),
      button(t("usual"), usual, "quiet", { "aria-label": `${t("usual")}: ${datesText(each)}` }));
  });
  const [opens, closes] = [clockInput("10:00", t("opens"), { name: "opens" }), clockInput("16:00", t("closes"), { name: "closes" })];
  const times = el("div", { class: "row times" }, field(t("opens"), opens), field(t("closes"), closes));
  const kind = choice([["closed", t("closed")], ["hours", t("otherHours")]], "closed", { name: "kind" });
  const show = () => { times.hidden = kind.value === "closed"; [opens, closes].forEach((each) => { each.disabled = times.hidden; }); };
  kind.addEventListener("change", show);
  show();
  const shape = settings([
    el("h2", { text: t("newDays") }),
    el("div", { class: "row times" }, field(t("from"), el("input", { type: "date", name: "first", required: true })), field(t("to"), el("input", { type: "date", name: "last" }), t("lastHint"))),
    field(t("then_"), kind), times, field(t("reason"), el("input", { name: "reason", maxlength: 200 }), t("reasonHint")),
  ], () => {
    const given = Object.fromEntries(new FormData(shape));
    const wish = { first: given.first, last: given.last || given.first, reason: given.reason, ...(given.kind === "hours" ? { opens: given.opens, closes: given.closes } : {}) };
    return send(wish, `${datesText(wish)}: ${hoursText(wish)}`);
  });
  fill(body, el("p", { class: "note", text: t("inZone", { zone: held.space.timezone }) }),
    known.length ? el("ul", { class: "admin-list card" }, ...known) : el("p", { text: t("noDays") }), shape);
}
