// How the page speaks and looks. Both are kept in the browser and are nobody's business but its own.

import { el } from "../lib/dom.js";
import { theme, THEMES, useTheme } from "../lib/theme.js";
import { language, say, switchLanguage } from "../lib/words.js";
import { card, labelled } from "./mine-parts.js";

/** The card. */
export function lookCard() {
  const select = (options, chosen, onChoose) => {
    const field = el("select", {}, options.map(([value, text, lang]) => el("option", { value, text, lang, selected: value === chosen })));
    field.addEventListener("change", () => onChoose(field.value));
    return field;
  };
  return card("look", say("account.look"), el("div", { class: "row" },
    labelled(say("account.language"), select([["ru", "Русский", "ru"], ["en", "English", "en"]], language(), switchLanguage)),
    labelled(say("account.theme"), select(THEMES.map((each) => [each, say(`account.theme.${each}`)]), theme(), useTheme))));
}
