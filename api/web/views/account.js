// The account: where one is logged in, the password, how the page looks and speaks, what is told by mail, and one's data: a copy of it, and its end.
//
// Each card reads its own part and says its own trouble, so that one that cannot be read now leaves the others usable. With a one-time password only the
// password, the sessions and the erasing work; the API says so, and the cards say it on.

import "./account.words.js";

import { ask } from "../lib/cluster.js";
import { clear, el, icon } from "../lib/dom.js";
import { endBy, user } from "../lib/session.js";
import { localMoment, nearMoment } from "../lib/time.js";
import { busy, confirmDialog, dialog, problemText, toast } from "../lib/ui.js";
import { say } from "../lib/words.js";
import { lookCard } from "./account-look.js";
import { messagesCard } from "./account-messages.js";
import { passwordCard, passwordField } from "./account-password.js";
import { save } from "./history-csv.js";
import { card, chip, labelled, placeholder, trouble } from "./mine-parts.js";

const EXPORT = "/api/v1/me/export";
const MAX_PARTS = 50; // of an export, 2,000 bookings each

function show(container) {
  const sessions = el("div", {}, placeholder(2));
  container.append(
    el("header", { class: "view-head" }, el("h1", { text: say("account.title") }), el("p", { class: "quiet", text: say("account.who", { login: user().login, role: say(`account.${user().role}`) }) })),
    el("div", { class: "panels" }, sessionsCard(sessions), passwordCard(() => loadSessions(sessions)), lookCard(), messagesCard(), dataCard(), eraseCard()));
}

// Sessions.

function sessionsCard(list) {
  const everywhere = el("button", { type: "button", class: "danger", text: say("account.everywhere"), on: { click: () => busy(everywhere, async () => {
    if (!await confirmDialog(say("account.everywhereSure"), { danger: true, confirm: say("account.everywhere") })) return;
    await endBy(() => ask("POST", "/api/v1/auth/logout-everywhere", { body: {} }));
  }) } });
  loadSessions(list);
  return card("sessions", say("account.sessions"), el("p", { class: "quiet", text: say("account.sessionsHint") }), list, el("div", { class: "acts" }, everywhere));
}

async function loadSessions(list) {
  try {
    const { body } = await ask("GET", "/api/v1/me/sessions");
    const newest = body.items.sort((one, other) => Number(other.current) - Number(one.current) || other.refreshed_at.localeCompare(one.refreshed_at));
    clear(list).append(el("ul", { class: "items" }, newest.map((each) => sessionRow(each, list))));
  } catch (problem) {
    clear(list).append(trouble(problem, () => loadSessions(list)));
  }
}

function sessionRow(session, list) {
  const since = localMoment(session.created_at);
  const end = el("button", { type: "button", class: "danger", "aria-label": `${say("account.end")}: ${say("account.since", { when: since })}`, text: say("account.end"), on: { click: () => busy(end, async () => {
    await ask("DELETE", `/api/v1/me/sessions/${encodeURIComponent(session.id)}`);
    toast(say("account.ended"));
    await loadSessions(list);
    list.querySelector("button")?.focus();
  }) } });
  return el("li", { class: "item", data: { session: session.id } },
    el("div", { class: "what" }, el("strong", { text: say(session.current ? "account.here" : "account.elsewhere") }), el("span", { text: say("account.since", { when: since }) }),
      el("span", { class: "quiet", text: say("account.until", { seen: nearMoment(session.refreshed_at), until: nearMoment(session.expires_at) }) })),
    session.current ? chip("good", "●", say("account.current")) : el("div", { class: "acts" }, end));
}

// One's data.

function dataCard() {
  const button = el("button", { type: "button", on: { click: () => busy(button, download) } }, icon("download"), say("account.export"));
  return card("data", say("account.data"), el("p", { class: "quiet", text: say("account.dataHint") }), el("div", { class: "acts" }, button));
}

/** All parts of the export as one document, as `deskraft export` puts them together; `next` stays where there is more than MAX_PARTS. */
async function download() {
  const { body: whole } = await ask("GET", EXPORT);
  for (let part = 1; whole.next && part < MAX_PARTS; part += 1) {
    const { body } = await ask("GET", `${EXPORT}?cursor=${encodeURIComponent(whole.next)}`);
    for (const list of ["bookings", "series"]) whole[list].push(...body[list]);
    whole.next = body.next;
  }
  if (whole.next) toast(say("account.exportCut"), { kind: "bad" });
  save(`${JSON.stringify(whole, null, 2)}\n`, "application/json", "deskraft-export.json");
  toast(say("account.exported", { count: whole.bookings.length }));
}

function eraseCard() {
  const button = el("button", { type: "button", class: "danger", text: say("account.erase"), on: { click: openErase } });
  return card("erase", say("account.eraseTitle"), el("p", { class: "quiet", text: say("account.eraseHint") }), el("div", { class: "acts" }, button));
}

/** Two things have to be typed, so that it happens neither by a slip nor at a screen that was left open. */
function openErase() {
  const login = el("input", { type: "text", autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
  const password = passwordField("current-password");
  const notice = el("p", { class: "problem", role: "alert" });
  const content = el("div", { class: "stack" }, el("p", { text: say("account.eraseSure") }), labelled(say("account.typeLogin", { login: user().login }), login), labelled(say("account.password"), password.field), notice);
  const opened = dialog({ title: say("account.eraseTitle"), content, actions: [{ text: say("ui.no") }, { text: say("account.eraseDo"), kind: "danger", act: async () => {
    try {
      await endBy(() => ask("DELETE", "/api/v1/me", { body: { password: password.value() } }));
    } catch (problem) {
      notice.textContent = problemText(problem); // a toast would be behind the dialog
      return false;
    }
    toast(say("account.erased"));
    return true;
  } }] });
  const confirm = opened.querySelector("footer .danger");
  const look = () => { confirm.disabled = login.value.trim() !== user()?.login || !password.value(); };
  for (const each of [login, password.input]) each.addEventListener("input", look);
  look();
}

export default { path: "account", title: "account.title", needs: "user", inMenu: true, show }; // reached by one's name in the header
