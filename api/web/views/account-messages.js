// What one is told by mail: an address, proved by a code, what to hear of, and when to be reminded. A form over GET and PUT /api/v1/me/notifications.

import { ask } from "../lib/cluster.js";
import { clear, el } from "../lib/dom.js";
import { busy, confirmDialog, toast } from "../lib/ui.js";
import { language, say } from "../lib/words.js";
import { card, chip, labelled, placeholder, trouble } from "./mine-parts.js";

const PATH = "/api/v1/me/notifications";
const KINDS = ["confirmed", "moved", "cancelled", "released", "affected", "promoted"];
const REMINDERS = [0, 10, 30, 60, 120, 1440]; // minutes; another one that is set stays in the list

/** The card, which fills itself. */
export function messagesCard() {
  const body = el("div", {}, placeholder(2));
  load(body);
  return card("messages", say("messages.title"), el("p", { class: "quiet", text: say("messages.hint") }), body);
}

async function load(body) {
  try {
    draw(body, (await ask("GET", PATH)).body);
  } catch (problem) {
    clear(body).append(trouble(problem, () => load(body)));
  }
}

/** Where no mails are sent there is nothing to set, unless an address is kept from before: that can be forgotten. */
function draw(body, settings) {
  const waits = Boolean(settings.address) && !settings.confirmed;
  const state = !settings.available ? ["warn", "!", "none"] : !settings.address ? ["", "○", "off"] : waits ? ["warn", "!", "waits"] : ["good", "✓", "on"];
  clear(body).append(el("p", { role: "status" }, chip(state[0], state[1], say(`messages.${state[2]}`, { address: settings.address }))), waits ? codeForm(body) : "", settings.available || settings.address ? settingsForm(body, settings) : "");
}

function codeForm(body) {
  const code = el("input", { type: "text", name: "code", required: true, maxlength: 32, autocomplete: "one-time-code", autocapitalize: "characters", spellcheck: "false" });
  const confirm = el("button", { type: "submit", class: "main", text: say("messages.confirm") });
  return el("form", { class: "row", on: { submit: (event) => {
    event.preventDefault();
    busy(confirm, async () => {
      draw(body, (await ask("POST", `${PATH}/confirm`, { body: { code: code.value } })).body);
      toast(say("messages.addressConfirmed"));
    });
  } } }, labelled(say("messages.code"), code), confirm);
}

function settingsForm(body, settings) {
  const address = el("input", { type: "email", name: "address", maxlength: 254, autocomplete: "email", value: settings.address || "" });
  const select = (options, chosen) => el("select", {}, options.map(([value, text]) => el("option", { value, text, selected: value === chosen })));
  const tongue = select([["ru", "Русский"], ["en", "English"]], settings.address ? settings.language : language());
  const minutes = [...new Set([...REMINDERS, settings.remind_minutes])].sort((one, other) => one - other);
  const remind = select(minutes.map((each) => [each, each ? say("messages.before", { count: each }) : say("messages.never")]), settings.remind_minutes);
  const boxes = KINDS.map((kind) => el("input", { type: "checkbox", value: kind, checked: settings.kinds.includes(kind) }));
  const put = (button, values) => busy(button, async () => {
    const kinds = boxes.filter((each) => each.checked).map((each) => each.value);
    draw(body, (await ask("PUT", PATH, { body: { address: address.value.trim() || null, language: tongue.value, kinds, remind_minutes: Number(remind.value), ...values } })).body);
    toast(say(values.address === null ? "messages.forgotten" : "messages.saved"));
  });
  const save = el("button", { type: "submit", class: "main", text: say("messages.save") });
  const stop = el("button", { type: "button", class: "danger", text: say("messages.stop"), on: { click: async () => { if (await confirmDialog(say("messages.stopSure"), { danger: true, confirm: say("messages.stop") })) put(stop, { address: null }); } } });
  return el("form", { class: "stack", on: { submit: (event) => { event.preventDefault(); put(save, {}); } } },
    el("div", { class: "row" }, labelled(say("messages.address"), address), labelled(say("messages.language"), tongue), labelled(say("messages.remind"), remind)),
    el("fieldset", {}, el("legend", { text: say("messages.kinds") }), boxes.map((each) => el("label", { class: "tick" }, each, el("span", { text: say(`messages.kind.${each.value}`) })))),
    el("div", { class: "acts" }, save, settings.address ? stop : ""));
}
