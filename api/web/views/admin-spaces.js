// All spaces, the retired ones too, and a new one.

import { ask } from "../lib/cluster.js";
import { el } from "../lib/dom.js";
import { button, clockInput, field, fill, form, frame, hoursText, href, load, Mistake, t } from "./admin-common.js";

const MAX_AT_ONCE = 200; // seats of one line such as "A1-A20"

/** The ids that a line such as "A1-A20, B2" names; "A01-A12" keeps its zeros. Throws an Error with words for people. */
export function seatIds(line) {
  const ids = line.split(/[\s,;]+/).filter(Boolean).flatMap((part) => {
    const range = /^(.*?)(\d+)[-–](.*?)(\d+)$/.exec(part);
    if (!range) return [part];
    const [, before, from, again, to] = range;
    if ((again && again !== before) || Number(to) < Number(from) || Number(to) - Number(from) >= MAX_AT_ONCE) throw new Mistake(t("badRange", { part }));
    return Array.from({ length: Number(to) - Number(from) + 1 }, (_, number) => before + String(Number(from) + number).padStart(from.length, "0"));
  });
  const wrong = ids.find((id) => !/^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/.test(id));
  if (wrong !== undefined) throw new Mistake(t("badSeat", { part: wrong }));
  const unique = [...new Set(ids)];
  if (!unique.length || unique.length > MAX_AT_ONCE) throw new Mistake(t("badCount", { max: MAX_AT_ONCE }));
  return unique;
}

/** The zones of the world, offered while one types. */
export const zoneInput = (value) => el("span", {},
  el("input", { name: "timezone", value, required: true, list: "admin-zones", autocomplete: "off", "aria-label": t("timezone") }),
  el("datalist", { id: "admin-zones" }, ...Intl.supportedValuesOf("timeZone").map((each) => el("option", { value: each }))));

async function create() {
  const made = await form({
    title: t("newSpace"), send: t("create"),
    content: [
      field(t("name"), el("input", { name: "name", required: true, maxlength: 100, autofocus: true })),
      field(t("id"), el("input", { name: "id", required: true, maxlength: 32, pattern: "[a-z][a-z0-9_\\-]*", autocapitalize: "none" }), t("idHint")),
      field(t("timezone"), zoneInput(Intl.DateTimeFormat().resolvedOptions().timeZone)),
      el("div", { class: "row times" }, field(t("opens"), clockInput("08:00", t("opens"), { name: "opens" })), field(t("closes"), clockInput("22:00", t("closes"), { name: "closes" })),
        field(t("slot"), el("input", { name: "slot", type: "number", min: 5, max: 1440, step: 5, value: 60, required: true }))),
      field(t("seats"), el("input", { name: "seats", required: true, value: "A1-A10", autocapitalize: "none" }), t("rangeHint")),
    ],
    work: async (shape) => {
      const { name, id, timezone, opens, closes, slot, seats } = Object.fromEntries(new FormData(shape));
      const body = { id, name, timezone, opens, closes, slot_minutes: Number(slot), seats: seatIds(seats).map((each) => ({ id: each })) };
      await ask("POST", "/api/v1/admin/spaces", { body });
      return id;
    },
  });
  if (made) location.hash = href("space", { id: made });
}

function card({ space, retired }) {
  const link = el("a", { href: href("space", { id: space.id }), text: space.name });
  const hours = new Set(Object.values(space.hours).map(hoursText));
  return el("li", { class: `card${retired ? " past" : ""}` },
    el("h2", {}, link, retired && el("span", { class: "chip", text: t("retired") })),
    el("p", { class: "note", text: `${space.id} · ${space.timezone}` }),
    el("p", { text: `${t("seats_", { count: space.seats.length })} · ${hours.size === 1 ? [...hours][0] : `${space.opens}–${space.closes}`} · ${t("minutes", { count: space.slot_minutes })}` }));
}

export default {
  path: "admin/spaces",
  title: "admin.nav",
  needs: "admin",
  show(container) {
    const body = frame(container, "spaces", t("spaces"), button(t("newSpace"), create, "main"));
    load(body, async () => {
      const { items } = (await ask("GET", "/api/v1/admin/spaces")).body;
      fill(body, el("ul", { class: "admin-cards" }, items.map(card)));
    });
  },
};
