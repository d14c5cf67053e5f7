// The log-in dialog: log in, or register and be logged in. Opened from the header, and at the moment when somebody is needed.

import { el } from "../lib/dom.js";
import { Dismissed, logIn, register } from "../lib/session.js";
import { busy, dialog, problemText, toast } from "../lib/ui.js";
import { say } from "../lib/words.js";

const MIN_LOGIN = 3;
const MAX_LOGIN = 64;
const MIN_PASSWORD = 8;
const MAX_PASSWORD = 128;

/** Open it; resolves once somebody is logged in, rejects with Dismissed when it is closed without. */
export function openLogIn(reason = "") {
  return new Promise((resolve, reject) => {
    let [done, registering] = [false, false];
    const login = el("input", { name: "username", required: true, minlength: MIN_LOGIN, maxlength: MAX_LOGIN, autocomplete: "username", autocapitalize: "none", autocorrect: "off", spellcheck: "false" });
    const password = el("input", { name: "password", type: "password", required: true, maxlength: MAX_PASSWORD });
    const wrong = el("p", { class: "bad", role: "alert", hidden: true });
    const passwordLabel = el("span");
    const rule = el("p", { class: "quiet", text: say("app.passwordRule") });
    const visible = el("input", { type: "checkbox", on: { change: () => { password.type = visible.checked ? "text" : "password"; } } });
    const submit = el("button", { type: "submit", class: "main" });
    const turn = el("button", { type: "button", class: "quiet", on: { click: () => { registering = !registering; draw(); } } });
    const form = el("form", { class: "stack", on: { submit: (event) => { event.preventDefault(); busy(submit, enter); } } },
      reason ? el("p", { text: reason }) : null,
      el("label", {}, el("span", { text: say("app.login") }), login),
      el("label", {}, passwordLabel, password),
      el("label", { class: "tick" }, visible, say("app.showPassword")),
      rule, wrong, submit, turn);
    const box = dialog({ title: say("app.welcome"), content: form });

    function draw() {
      box.querySelector("h2").textContent = say(registering ? "app.welcomeNew" : "app.welcome");
      submit.textContent = say(registering ? "app.register" : "app.logIn");
      turn.textContent = say(registering ? "app.haveAccount" : "app.noAccount");
      passwordLabel.textContent = say(registering ? "app.newPassword" : "app.password");
      password.autocomplete = registering ? "new-password" : "current-password";
      password.minLength = registering ? MIN_PASSWORD : 1;
      rule.hidden = !registering;
      wrong.hidden = true;
      login.focus();
    }

    async function enter() {
      wrong.hidden = true;
      try {
        await (registering ? register : logIn)(login.value, password.value);
      } catch (error) {
        wrong.textContent = problemText(error);
        wrong.hidden = false;
        return;
      }
      done = true;
      if (registering) toast(say("app.registered", { login: login.value }));
      box.close();
    }

    box.addEventListener("close", () => { if (done) resolve(); else reject(new Dismissed()); });
    draw();
  });
}
