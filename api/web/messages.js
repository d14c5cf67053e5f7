// The tab "Messages": what one is told by mail. A form over GET and PUT /api/v1/me/notifications, and the code that confirms the address.

import { language, say } from "/web/words.js";

const KINDS = ["confirmed", "moved", "cancelled", "released", "affected", "promoted"];
const byId = (id) => document.getElementById(id);

/** Fill the form with what `ask` finds. */
export async function drawMessages(ask) {
  fill(await ask("GET", "/api/v1/me/notifications"));
}

function fill(settings) {
  byId("mail-address").value = settings.address || "";
  byId("mail-language").value = settings.address ? settings.language : language;
  byId("mail-remind").value = settings.remind_minutes;
  byId("mail-kinds").replaceChildren(...KINDS.map((kind) => {
    const box = document.createElement("input");
    box.type = "checkbox";
    box.value = kind;
    box.checked = settings.kinds.includes(kind);
    const label = document.createElement("label");
    label.className = "tick";
    label.append(box, say(`mail-${kind}`));
    return label;
  }));
  const waits = Boolean(settings.address) && !settings.confirmed;
  byId("mail-code-form").hidden = !waits;
  byId("mail-state").textContent = say(!settings.available ? "mailNone" : !settings.address ? "mailOff" : waits ? "mailWaits" : "mailOn", { address: settings.address });
}

/** Let the buttons work: `doing(button, work)` runs what one does, `ask` speaks to the cluster. */
export function bindMessages(doing, ask) {
  byId("mail-form").addEventListener("submit", (event) => {
    event.preventDefault();
    doing(event.submitter, async () => {
      const body = {
        address: byId("mail-address").value.trim() || null,
        language: byId("mail-language").value,
        kinds: [...byId("mail-kinds").querySelectorAll("input:checked")].map((each) => each.value),
        remind_minutes: Number(byId("mail-remind").value) || 0,
      };
      fill(await ask("PUT", "/api/v1/me/notifications", { body }));
      return say("mailSaved");
    });
  });
  byId("mail-code-form").addEventListener("submit", (event) => {
    event.preventDefault();
    doing(event.submitter, async () => {
      fill(await ask("POST", "/api/v1/me/notifications/confirm", { body: { code: byId("mail-code").value } }));
      byId("mail-code").value = "";
      return say("mailConfirmed");
    });
  });
}
