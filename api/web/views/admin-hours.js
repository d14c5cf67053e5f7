// The opening hours of the week.

import { el } from "../lib/dom.js";
import { button, changedOf, check, clockInput, DAYS, fill, save, settings, t, weekday } from "./admin-common.js";

export default function hours(body, held, redraw) {
  const rows = DAYS.map((name, number) => {
    const given = held.space.hours[name];
    const open = el("input", { type: "checkbox", checked: Boolean(given) });
    const [from, to] = [clockInput(given?.opens || "08:00", `${weekday(number)}: ${t("opens")}`), clockInput(given?.closes || "22:00", `${weekday(number)}: ${t("closes")}`)];
    const closed = el("span", { class: "note", text: t("closed") });
    const times = el("span", { class: "row" }, from, "–", to);
    const show = () => { times.hidden = !open.checked; closed.hidden = open.checked; [from, to].forEach((each) => { each.disabled = !open.checked; }); };
    open.addEventListener("change", show);
    show();
    return { name, open, from, to, show, node: el("div", { class: "admin-day" }, check(weekday(number), open), times, closed) };
  });
  const asMonday = () => rows.forEach((row) => {
    [row.open.checked, row.from.value, row.to.value] = [rows[0].open.checked, rows[0].from.value, rows[0].to.value];
    row.show();
  });
  const wish = () => Object.fromEntries(rows.map(({ name, open, from, to }) => [name, open.checked ? { opens: from.value, closes: to.value } : null]));
  const send = async () => {
    const changed = changedOf(held.space.hours, wish());
    await save(held, { body: Object.keys(changed).length ? { hours: changed } : {}, title: t("tab.hours") }, redraw);
  };
  fill(body, settings([el("p", { class: "note", text: t("inZone", { zone: held.space.timezone }) }), rows.map((row) => row.node)], send,
    [button(t("asMonday"), async () => asMonday())]));
}
