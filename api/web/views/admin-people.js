// People: who there is, and one of them: blocked or not, administrator or not, where logged in, what booked.

import { ask } from "../lib/cluster.js";
import { el } from "../lib/dom.js";
import { user } from "../lib/session.js";
import { dayName } from "../lib/time.js";
import { toast } from "../lib/ui.js";
import { button, choice, field, fill, form, frame, here, href, load, showOnce, span, t } from "./admin-common.js";

const PAUSE_MS = 250; // after the last letter of a search
const pathOf = (id, act = "") => `/api/v1/admin/users/${encodeURIComponent(id)}${act && `/${act}`}`;

const chips = (who) => [
  who.role === "admin" && el("span", { class: "chip", text: `★ ${t("administrator")}` }),
  who.blocked_at && el("span", { class: "chip bad", text: `✕ ${t("blocked")}` }),
  who.password_change_needed && el("span", { class: "chip warn", text: `! ${t("oneTime")}` }),
];

function list(container) {
  const body = frame(container, "people", t("people"));
  const [search, role, blocked] = [el("input", { type: "search", maxlength: 64, autocomplete: "off" }), choice([["", t("all")], ["user", t("users")], ["admin", t("administrators")]], ""), choice([["", t("all")], ["yes", t("blocked")], ["no", t("notBlocked")]], "")];
  const rows = el("ul", { class: "admin-list card" });
  const foot = el("div", { class: "row" });
  let asked = new AbortController();
  const draw = (cursor) => load(foot, async () => {
    if (!cursor) { asked.abort(); asked = new AbortController(); }
    const given = { search: search.value.trim(), role: role.value, blocked: blocked.value, cursor };
    const query = new URLSearchParams(Object.entries(given).filter(([, value]) => value));
    const page = (await ask("GET", `/api/v1/admin/users?${query}`, { signal: asked.signal })).body;
    if (!cursor) fill(rows);
    rows.append(...page.items.map((who) => el("li", {}, el("a", { href: href("people", { id: who.id }), text: who.login }), ...chips(who),
      el("span", { class: "note", text: `${dayName(who.created_at)} · ${t("sessions_", { count: who.sessions })}` }))));
    rows.hidden = !rows.children.length;
    fill(foot, page.next ? button(t("more"), () => draw(page.next)) : rows.hidden && el("p", { text: t("nobody") }));
  });
  let timer;
  search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(draw, PAUSE_MS); });
  [role, blocked].forEach((each) => each.addEventListener("change", () => draw()));
  body.append(el("div", { class: "row admin-filters" }, field(t("search"), search), field(t("role"), role), field(t("standing"), blocked)), rows, foot);
  draw();
  return () => { clearTimeout(timer); asked.abort(); };
}

async function person(container, id) {
  const body = frame(container, "people", "…", el("a", { class: "button", href: href("audit", { subject: id }), text: t("audit") }));
  const draw = () => load(body, async () => {
    const [{ body: who }, { body: page }] = await Promise.all([ask("GET", pathOf(id)), ask("GET", `${pathOf(id, "bookings")}?when=upcoming&status=confirmed&limit=200`)]);
    fill(container.querySelector("h1"), who.login, chips(who));
    const values = { login: who.login, sessions: t("sessions_", { count: who.sessions }), bookings: t("bookings_", { count: page.items.length }) };
    const act = (name, work, danger) => button(t(name), async () => {
      const done = await form({ title: t(`${name}Title`, values), content: [el("p", { text: t(`${name}Hint`, values) })], send: t(name), danger, work });
      if (done) { if (typeof done === "object") await showOnce(t("oneTimeTitle"), t("oneTimeHint", values), done.one_time_password); else toast(t("saved")); }
      await draw();
    }, danger ? "danger" : "");
    const post = (name) => async () => (await ask("POST", pathOf(id, name))).body || true;
    fill(body, 
      el("section", { class: "card" }, el("p", { text: t("since", { when: here(who.created_at), ...values }) }),
        el("div", { class: "row" },
          who.blocked_at ? act("unblock", post("unblock")) : act("block", post("block"), true), act("reset", post("reset-password")),
          who.role === "admin" ? act("demote", post("demote")) : act("promote", post("promote")), who.sessions > 0 && act("endSessions", post("end-sessions"))),
        user()?.id === id && el("p", { class: "warn", text: t("yourself") })),
      el("section", { class: "card" }, el("h2", { text: t("bookings") }),
        page.items.length ? el("ul", { class: "admin-list" }, ...page.items.map((each) => booking(each, who, draw))) : el("p", { text: t("noBookings") })));
  });
  await draw();
}

function booking(each, who, draw) {
  const values = { login: who.login, seat: each.seat_label, when: span(each) };
  const cancel = async () => {
    const why = el("input", { maxlength: 200, autofocus: true });
    const done = await form({
      title: t("cancelBooking"), danger: true, send: t("cancelBooking"), content: [el("p", { text: t("cancelHint", values) }), field(t("reason"), why, t("reasonHint"))],
      work: async () => (await ask("POST", `/api/v1/bookings/${encodeURIComponent(each.id)}/cancel`, { body: { reason: why.value } })).body,
    });
    if (done) await draw();
  };
  return el("li", { data: { booking: each.id } }, el("b", { text: `${each.space_id} · ${each.seat_label}` }), el("span", { text: values.when }),
    button(t("cancelBooking"), cancel, "quiet", { "aria-label": `${t("cancelBooking")}: ${each.seat_label}, ${values.when}` }));
}

export default {
  path: "admin/people",
  title: "admin.people",
  needs: "admin",
  hidden: true,
  show(container, { id }) {
    if (!id) return list(container);
    person(container, id);
    return undefined;
  },
};
