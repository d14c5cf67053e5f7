// Another password. Pasting works, and password managers are told which field is which; what is too weak the server says, in words of the page.

import { ask } from "../lib/cluster.js";
import { clear, el } from "../lib/dom.js";
import { user } from "../lib/session.js";
import { busy, problemText, toast } from "../lib/ui.js";
import { say } from "../lib/words.js";
import { card, labelled } from "./mine-parts.js";

const MIN_CHARACTERS = 8;
const MAX_CHARACTERS = 128;
const WEAK = { characters: "account.weakLength", bytes: "account.weakLength", login: "account.weakLogin", used: "account.weakCommon", repeat: "account.weakRepeat" }; // by a word of the reason

/** A password field with a button that shows what is typed. */
export function passwordField(autocomplete, attributes = {}) {
  const input = el("input", { type: "password", autocomplete, required: true, maxlength: 1024, autocapitalize: "none", spellcheck: "false", ...attributes });
  const show = el("button", { type: "button", class: "quiet", "aria-pressed": "false", text: say("account.show"), on: { click: () => {
    const shown = input.type === "text";
    input.type = shown ? "password" : "text";
    show.setAttribute("aria-pressed", String(!shown));
  } } });
  return { input, field: el("span", { class: "with-button" }, input, show), value: () => input.value, clear: () => { input.value = ""; } };
}

/** The card; `onChanged` is called once there is another password, for then the other sessions have ended. */
export function passwordCard(onChanged) {
  const [old, fresh] = [passwordField("current-password", { name: "old" }), passwordField("new-password", { name: "new", minlength: MIN_CHARACTERS, maxlength: MAX_CHARACTERS })];
  const notice = el("p", { class: "problem", role: "alert" });
  const change = el("button", { type: "submit", class: "main", text: say("account.change") });
  const form = el("form", { class: "stack" },
    el("input", { type: "text", name: "username", autocomplete: "username", value: user().login, readonly: true, hidden: true }), // for password managers
    labelled(say("account.oldPassword"), old.field), labelled(say("account.newPassword"), fresh.field, el("span", { class: "quiet", text: say("account.rule") })), notice, el("div", { class: "acts" }, change));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(change, async () => {
      clear(notice);
      try {
        await ask("POST", "/api/v1/me/password", { body: { old_password: old.value(), new_password: fresh.value() } });
      } catch (problem) {
        if (!["weak-password", "wrong-password"].includes(problem.code)) throw problem;
        notice.textContent = reasonOf(problem);
        (problem.code === "weak-password" ? fresh : old).input.focus();
        return;
      }
      old.clear();
      fresh.clear();
      toast(say("account.changed"));
      onChanged();
    });
  });
  return card("password", say("account.passwordTitle"), form);
}

function reasonOf(problem) {
  const detail = problem.body.errors?.[0]?.detail || "";
  const word = Object.keys(WEAK).find((each) => detail.includes(each));
  return problem.code === "weak-password" && word ? say(WEAK[word]) : problemText(problem);
}
