// One space: its seats, plan, hours, exceptions, limits, and the space itself. Each tab is a module that draws from the space as
// it was read (`held`), which carries the revision that the next change names.

import { el } from "../lib/dom.js";
import { button, changedOf, choice, field, fill, frame, href, inSight, load, readSpace, save, settings, t } from "./admin-common.js";
import days from "./admin-days.js";
import hours from "./admin-hours.js";
import plan from "./admin-plan.js";
import rules from "./admin-rules.js";
import seats from "./admin-seats.js";
import { zoneInput } from "./admin-spaces.js";

/** The name, the zone, the slots; and retiring it. */
function general(body, held, redraw) {
  const { space, retired } = held;
  const slots = [...new Set([5, 10, 15, 20, 30, 60, 90, 120, 180, 240, 480, 720, 1440, space.slot_minutes])];
  const shape = settings([
    field(t("name"), el("input", { name: "name", value: space.name, required: true, maxlength: 100 })),
    field(t("timezone"), zoneInput(space.timezone), t("timezoneHint")),
    field(t("slot"), choice(slots.map((each) => [String(each), t("minutes", { count: each })]), String(space.slot_minutes), { name: "slot" }), t("slotHint")),
  ], async () => {
    const { name, timezone, slot } = Object.fromEntries(new FormData(shape));
    await save(held, { body: changedOf(space, { name, timezone, slot_minutes: Number(slot) }), title: t("save") }, redraw);
  });
  const words = retired ? "restore" : "retire";
  const retire = () => save(held, { body: { retired: !retired }, title: t(words), says: t(`${words}Hint`), look: !retired }, redraw);
  fill(body, shape, el("section", { class: "card admin-form" },
    el("h2", { text: t(words) }), el("p", { text: t(`${words}Hint`) }), el("div", { class: "row" }, button(t(words), retire, retired ? "main" : "danger"))));
}

const TABS = { seats, plan, hours, days, rules, general };

export default {
  path: "admin/space",
  title: "admin.spaces",
  needs: "admin",
  hidden: true,
  show(container, { id, tab = "seats" }) {
    const body = frame(container, "spaces", id);
    let [leave, gone] = [null, false];
    const links = Object.keys(TABS).map((each) => el("a", { href: href("space", { id, tab: each }), text: t(`tab.${each}`), "aria-current": each === tab ? "page" : null }));
    const inner = el("div", { class: "admin-tab", tabindex: -1 });
    const draw = () => load(inner, async () => {
      const held = await readSpace(id);
      if (gone) return;
      const title = container.querySelector("h1");
      fill(title, held.space.name, held.retired && el("span", { class: "chip", text: t("retired") }));
      leave?.();
      leave = (TABS[tab] || seats)(inner, held, draw);
    });
    body.append(el("nav", { class: "admin-nav admin-tabs", "aria-label": t("tabs") }, ...links), inner);
    inSight();
    draw();
    return () => { gone = true; leave?.(); };
  },
};
