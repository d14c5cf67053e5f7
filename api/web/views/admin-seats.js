// The seats of a space: several at once, what is known of each, out of service for a time, retired and back.

import { el } from "../lib/dom.js";
import { dayName } from "../lib/time.js";
import { toast } from "../lib/ui.js";
import { ATTRIBUTES, attributesText, button, change, changedOf, check, clockInput, field, fill, form, instantOf, Mistake, moment, save, t } from "./admin-common.js";
import { seatIds } from "./admin-spaces.js";

const pathOf = (seat) => `/seats/${encodeURIComponent(seat.id)}`;

const zoneField = (held, value) => field(t("zone"), el("span", {},
  el("input", { name: "zone", value, maxlength: 100, list: "admin-seat-zones", autocomplete: "off", "aria-label": t("zone") }),
  el("datalist", { id: "admin-seat-zones" }, ...held.space.zones.map((each) => el("option", { value: each })))));

const attributeField = (chosen) => el("fieldset", {}, el("legend", { text: t("attributes") }),
  ATTRIBUTES.map((each) => check(t(each), el("input", { type: "checkbox", name: "attribute", value: each, checked: chosen.includes(each) }))));

async function add(held, redraw) {
  const count = await form({
    title: t("addSeats"), send: t("add"),
    content: [
      field(t("seats"), el("input", { name: "seats", required: true, autofocus: true, placeholder: "B1-B12", autocapitalize: "none" }), t("rangeHint")),
      zoneField(held, ""), attributeField([]), el("p", { class: "note", role: "status" }),
    ],
    work: async (shape) => {
      const given = new FormData(shape);
      const [ids, zone, attributes] = [seatIds(given.get("seats")), given.get("zone"), given.getAll("attribute")];
      const there = [...held.space.seats, ...held.retired_seats].map((each) => each.id);
      const known = ids.filter((id) => there.includes(id));
      if (known.length) throw new Mistake(t("seatsKnown", { seats: known.join(", ") }));
      for (const [number, id] of ids.entries()) {
        shape.querySelector("[role=status]").textContent = `${number} / ${ids.length}`;
        if (!await change(held, { method: "POST", path: "/seats", body: { id, zone, attributes }, title: t("addSeats") })) break;
        held.space.seats.push({ id, label: id, zone: zone || null, attributes, x: null, y: null, outages: [] }); // it is ours, not somebody else's change
      }
      return ids.length;
    },
  });
  if (count) toast(t("saved"));
  await redraw();
}

async function edit(held, seat, redraw) {
  const done = await form({
    title: t("seatOf", { seat: seat.id }), send: t("save"),
    content: [
      field(t("label"), el("input", { name: "label", value: seat.label, required: true, maxlength: 100, autofocus: true })),
      zoneField(held, seat.zone || ""), attributeField(seat.attributes),
    ],
    work: async (shape) => {
      const given = new FormData(shape);
      const before = { label: seat.label, zone: seat.zone || "", attributes: [...seat.attributes].sort() };
      const body = changedOf(before, { label: given.get("label"), zone: given.get("zone"), attributes: given.getAll("attribute").sort() });
      return Object.keys(body).length ? change(held, { path: pathOf(seat), body, title: t("save") }) : true;
    },
  });
  if (done) await redraw();
}

/** All times at which it is out of service are one list, so what is sent is that list with one more or one less. */
async function outages(held, seat, redraw) {
  const today = new Date(Date.now() + 60_000).toISOString().slice(0, 10);
  const dateInput = (name, label) => el("input", { type: "date", name, value: today, required: true, "aria-label": label });
  const kept = seat.outages.map((each) => ({ ...each, reason: each.reason || "" }));
  const send = (list, says) => change(held, { path: pathOf(seat), body: { outages: list }, title: t("outageOf", { seat: seat.label }), says, look: true });
  const list = el("ul", { class: "admin-list" }, kept.map((each) => el("li", {},
    el("span", { text: `${moment(each.starts_at)} – ${moment(each.ends_at)}` }), el("span", { class: "note", text: each.reason }),
    button(t("takeAway"), async () => { if (await send(kept.filter((other) => other !== each), t("backInService"))) list.closest("dialog").close(); }))));
  await form({
    title: t("outageOf", { seat: seat.label }), send: t("outOfServiceThen"), danger: true,
    content: [
      kept.length > 0 && list,
      el("p", { class: "note", text: t("inZone", { zone: held.space.timezone }) }),
      el("div", { class: "row times" }, field(t("from"), dateInput("first", t("fromDate"))), field(t("at"), clockInput("08:00", t("fromTime"), { name: "opens" }))),
      el("div", { class: "row times" }, field(t("to"), dateInput("last", t("toDate"))), field(t("at"), clockInput("22:00", t("toTime"), { name: "closes" }))),
      field(t("reason"), el("input", { name: "reason", maxlength: 200 }), t("reasonHint")),
    ],
    work: (shape) => {
      const { first, last, opens, closes, reason } = Object.fromEntries(new FormData(shape));
      const zone = held.space.timezone;
      const says = t("outageHint", { seat: seat.label, when: `${dayName(first)}, ${opens} – ${dayName(last)}, ${closes}` });
      return send([...kept, { starts_at: instantOf(first, opens, zone), ends_at: instantOf(last, closes, zone), reason }], says);
    },
  });
  await redraw();
}

function row(held, seat, redraw) {
  const retire = () => save(held, { path: pathOf(seat), body: { retired: true }, title: t("retireSeat", { seat: seat.label }), says: t("retireSeatHint"), look: true }, redraw);
  return el("tr", { data: { seat: seat.id } },
    el("th", { scope: "row" }, el("b", { text: seat.label }), seat.label === seat.id ? "" : el("small", { text: seat.id })),
    el("td", { text: seat.zone || "" }), el("td", { text: attributesText(seat) }),
    el("td", {}, ...seat.outages.map((each) => el("span", { class: "chip warn", text: `⚠ ${moment(each.starts_at)}–${moment(each.ends_at)}` }))),
    el("td", {}, el("div", { class: "row end" },
      button(t("edit"), () => edit(held, seat, redraw), "quiet", { "aria-label": `${t("edit")}: ${seat.label}` }),
      button(t("outages"), () => outages(held, seat, redraw), "quiet", { "aria-label": `${t("outages")}: ${seat.label}` }),
      button(t("takeOut"), retire, "quiet", { "aria-label": `${t("retire")}: ${seat.label}` }))));
}

export default function seats(body, held, redraw) {
  const back = (seat) => button(`${seat.label} ↩`, () => save(held, { path: pathOf(seat), body: { retired: false }, title: t("restore") }, redraw), "quiet", { "aria-label": `${t("restore")}: ${seat.label}` });
  const heads = ["seat", "zone", "attributes", "outOfService"].map((each) => el("th", { scope: "col", text: t(each) }));
  fill(body, 
    el("div", { class: "row" }, button(t("addSeats"), () => add(held, redraw), "main"), el("span", { class: "note", text: `${t("seats_", { count: held.space.seats.length })} · ${t("inZone", { zone: held.space.timezone })}` })),
    el("div", { class: "card" }, el("table", { class: "admin-table" }, el("thead", {}, el("tr", {}, ...heads, el("th", { scope: "col" }, el("span", { class: "unseen", text: t("acts") })))), el("tbody", {}, ...held.space.seats.map((each) => row(held, each, redraw))))),
    held.retired_seats.length > 0 && el("section", {}, el("h2", { text: t("retiredSeats") }), el("p", { class: "note", text: t("retiredSeatsHint") }), el("div", { class: "row" }, ...held.retired_seats.map(back))));
}
