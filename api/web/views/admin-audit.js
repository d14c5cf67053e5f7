// The audit: what administrators did, in sentences, with the record itself behind each.

import { ask } from "../lib/cluster.js";
import { el } from "../lib/dom.js";
import { knows } from "../lib/words.js";
import { button, choice, field, frame, here, href, load, t } from "./admin-common.js";

const ENOUGH = 20; // lines that a press on "more" shall bring, where a filter finds few on a page
const MAX_PAGES = 10; // that one press asks for

/** What an act is about, by how its name begins or ends. */
const GROUPS = {
  people: /^(user-|password-|account-)/,
  spaces: /^(space-|seat-|check-in-)/,
  sinks: /^sink-/,
  cluster: /(member|disk|leadership|snapshot|backup)/,
};

function line(each) {
  const key = `did.${each.what}`;
  const values = { who: each.actor_login || "—", subject: each.subject_login || each.subject.replace("/", " · "), what: each.what };
  return el("li", { data: { what: each.what } },
    el("time", { datetime: each.at, text: here(each.at) }),
    el("span", {}, t(knows(`admin.${key}`) ? key : "did", values), each.detail && !each.detail.startsWith("{") && el("small", { text: each.detail })),
    el("details", {}, el("summary", { text: t("record") }), el("pre", { text: JSON.stringify(each, null, 1) })));
}

export default {
  path: "admin/audit",
  title: "admin.audit",
  needs: "admin",
  hidden: true,
  show(container, { subject = "" }) {
    const body = frame(container, "audit", t("audit"));
    const rows = el("ul", { class: "admin-list card admin-audit" });
    const foot = el("div", { class: "row" });
    const group = choice([["", t("all")], ...Object.keys(GROUPS).map((each) => [each, t(`group.${each}`)])], "");
    const about = el("input", { type: "search", value: subject, maxlength: 64, placeholder: "hq, hq/A1, …" });
    let number = 0; // of the drawing that counts: an older one, still on its way, draws nothing
    const draw = (cursor = "", mine = (number += 1)) => load(foot, async () => {
      if (!cursor) rows.replaceChildren();
      let [next, found] = [cursor, 0];
      for (let page = 0; page < MAX_PAGES && found < ENOUGH && next !== null; page += 1) {
        const query = new URLSearchParams(Object.entries({ subject: about.value.trim(), cursor: next }).filter(([, value]) => value));
        const answer = (await ask("GET", `/api/v1/admin/audit?${query}`)).body;
        if (mine !== number) return;
        const items = answer.items.filter((each) => !group.value || GROUPS[group.value].test(each.what));
        rows.append(...items.map(line));
        [next, found] = [answer.next, found + items.length];
      }
      rows.hidden = !rows.children.length;
      foot.replaceChildren(next ? button(t("more"), () => draw(next, mine)) : el("p", { class: "note", text: t(rows.hidden ? "auditNone" : "auditEnd") }));
    });
    const ask_ = (event) => { event.preventDefault(); location.hash = href("audit", about.value.trim() ? { subject: about.value.trim() } : {}); };
    group.addEventListener("change", () => draw());
    body.append(el("form", { class: "row admin-filters", on: { submit: ask_ } }, field(t("kind"), group), field(t("about"), about), el("button", { class: "quiet", text: t("show") })), rows, foot);
    draw();
    return () => { number += 1; };
  },
};
