// Occupancy: a heat map of weekdays and hours, and bars by day, seat and space. Each cell says its number, so that the colour only
// repeats it; the map is a table, and the same rows can be had as CSV.

import { ask } from "../lib/cluster.js";
import { el } from "../lib/dom.js";
import { dayName } from "../lib/time.js";
import { button, choice, DAYS, field, fill, frame, load, t, weekday } from "./admin-common.js";
import { save } from "./history-csv.js";

const REPORT = "/api/v1/admin/reports/occupancy";
const LEVELS = 5; // of colour
const BACK_DAYS = 27; // four weeks, with today

const percent = (share) => `${Math.round(share * 100)}%`;
const level = (share) => (share === null ? "none" : String(Math.min(LEVELS, Math.ceil(share * LEVELS))));
const hoursOf = (minutes) => t("hours", { count: Math.round(minutes / 6) / 10 });

function heat(rows) {
  const cell = (weekday, hour) => rows.find((row) => row.weekday === weekday && row.hour === hour);
  const hours = Array.from({ length: 24 }, (_, hour) => hour).filter((hour) => rows.some((row) => row.hour === hour && (row.open_minutes || row.taken_minutes)));
  return el("table", { class: "admin-heat" }, el("caption", { text: t("heatCaption") }),
    el("thead", {}, el("tr", {}, el("td", {}), DAYS.map((_, at) => el("th", { scope: "col", text: weekday(at, "short"), title: weekday(at) })))),
    el("tbody", {}, hours.map((hour) => el("tr", {}, el("th", { scope: "row", text: `${String(hour).padStart(2, "0")}:00` }), DAYS.map((_, at) => {
      const { share, taken_minutes: taken, open_minutes: open } = cell(at + 1, hour);
      return el("td", { data: { level: level(share) }, text: share === null ? "·" : percent(share), title: `${hoursOf(taken)} / ${hoursOf(open)}` });
    })))));
}

function bars(rows, by) {
  return el("table", { class: "admin-bars" }, el("thead", {}, el("tr", {}, ...["by." + by, "share", "taken", "open"].map((each) => el("th", { scope: "col", text: t(each) })))),
    el("tbody", {}, rows.map((row) => el("tr", {}, el("th", { scope: "row", text: by === "day" ? dayName(row.key) : row.label }),
      el("td", {}, el("meter", { min: 0, max: 1, value: row.share || 0, "aria-label": row.label }), el("span", { text: row.share === null ? "·" : percent(row.share) })),
      el("td", { text: hoursOf(row.taken_minutes) }), el("td", { text: hoursOf(row.open_minutes) })))));
}

export default {
  path: "admin/reports",
  title: "admin.reports",
  needs: "admin",
  hidden: true,
  show(container, parameters) {
    const body = frame(container, "reports", t("reports"));
    load(body, async () => {
      const { items } = (await ask("GET", "/api/v1/admin/spaces")).body;
      const dayOf = (milliseconds) => new Date(milliseconds).toISOString().slice(0, 10);
      const space = choice(items.map((each) => [each.space.id, each.space.name]), parameters.space);
      const by = choice(["weekday-hour", "day", "seat", "space"].map((each) => [each, t(`by.${each}`)]), parameters.by || "weekday-hour");
      const [from, to] = [-BACK_DAYS, 0].map((days, at) => el("input", { type: "date", required: true, value: parameters[["from", "to"][at]] || dayOf(Date.now() + days * 86_400_000) }));
      const shown = el("section", { class: "card" });
      const query = () => new URLSearchParams({ from: from.value, to: to.value, by: by.value, ...(by.value === "space" ? {} : { space_id: space.value }) });
      const csv = button("CSV", async () => save((await ask("GET", `${REPORT}?${query()}&format=csv`)).body, "text/csv", `occupancy-${by.value}-${from.value}-${to.value}.csv`), "");
      const draw = () => load(shown, async () => {
        if (!from.value || !to.value) return;
        const report = (await ask("GET", `${REPORT}?${query()}`)).body;
        const total = t("total", { share: report.open_minutes ? percent(report.taken_minutes / report.open_minutes) : "·", taken: hoursOf(report.taken_minutes), open: hoursOf(report.open_minutes) });
        fill(shown, el("p", { text: report.timezone ? `${total} · ${report.timezone}` : total }),
          el("div", { class: "admin-wide", tabindex: 0, role: "region", "aria-label": t("reports") }, by.value === "weekday-hour" ? heat(report.rows) : bars(report.rows, by.value)));
      });
      [space, by, from, to].forEach((each) => each.addEventListener("change", draw));
      fill(body, el("div", { class: "row admin-filters" }, field(t("space"), space), field(t("from"), from), field(t("to"), to), field(t("cut"), by), csv), shown);
      await draw();
    });
  },
};
