// What one is told by mail: a form over GET and PUT /api/v1/me/notifications, and the code that confirms the address.

import "./messages.words.js";

import { ask } from "../lib/cluster.js";
import { clear, el } from "../lib/dom.js";
import { busy, toast } from "../lib/ui.js";
import { language, say } from "../lib/words.js";

const KINDS = ["confirmed", "moved", "cancelled", "released", "affected", "promoted"];

async function show(container) {
  const labelled = (key, field) => el("label", {}, el("span", { text: say(key) }), field);
  const told = el("p", { id: "mail-state" });
  const code = el("input", { id: "mail-code", required: true, maxlength: 32, autocomplete: "one-time-code", autocapitalize: "characters", spellcheck: "false" });
  const confirm = el("button", { type: "submit", class: "main", text: say("messages.confirm") });
  const codeForm = el("form", { class: "row", hidden: true }, labelled("messages.code", code), confirm);
  const address = el("input", { type: "email", maxlength: 254, autocomplete: "email" });
  const tongue = el("select", {}, el("option", { value: "ru", text: "Русский" }), el("option", { value: "en", text: "English" }));
  const remind = el("input", { type: "number", min: 0, max: 10080, value: 0 });
  const kinds = el("div");
  const save = el("button", { type: "submit", class: "main", text: say("messages.save") });
  const form = el("form", { class: "stack" },
    el("div", { class: "row" }, labelled("messages.address", address), labelled("messages.language", tongue), labelled("messages.remind", remind)),
    el("fieldset", {}, el("legend", { text: say("messages.kinds") }), kinds), save, el("p", { class: "quiet", text: say("messages.hint") }));
  container.append(el("h1", { text: say("messages.title") }), told, codeForm, form);

  function fill(settings) {
    address.value = settings.address || "";
    tongue.value = settings.address ? settings.language : language();
    remind.value = settings.remind_minutes;
    clear(kinds).append(...KINDS.map((kind) => {
      const box = el("input", { type: "checkbox", value: kind });
      box.checked = settings.kinds.includes(kind);
      return el("label", { class: "tick" }, box, say(`messages.kind.${kind}`));
    }));
    const waits = Boolean(settings.address) && !settings.confirmed;
    codeForm.hidden = !waits;
    told.textContent = say(`messages.${!settings.available ? "none" : !settings.address ? "off" : waits ? "waits" : "on"}`, { address: settings.address });
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(save, async () => {
      const body = {
        address: address.value.trim() || null,
        language: tongue.value,
        kinds: [...kinds.querySelectorAll("input:checked")].map((each) => each.value),
        remind_minutes: Number(remind.value) || 0,
      };
      fill((await ask("PUT", "/api/v1/me/notifications", { body })).body);
      toast(say("messages.saved"));
    });
  });
  codeForm.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(confirm, async () => {
      fill((await ask("POST", "/api/v1/me/notifications/confirm", { body: { code: code.value } })).body);
      code.value = "";
      toast(say("messages.addressConfirmed"));
    });
  });
  fill((await ask("GET", "/api/v1/me/notifications")).body);
}

export default { path: "messages", title: "messages.title", needs: "user", show };
