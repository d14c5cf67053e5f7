// The words of the page in both languages. Each view adds its own under its own prefix; a word that is missing is an error of the page.

const LANGUAGES = ["ru", "en"];
const KEPT = "language";
const words = { ru: {}, en: {} };
const listeners = new Set();
let now = localStorage.getItem(KEPT);
if (!LANGUAGES.includes(now)) now = navigator.languages.some((each) => each.startsWith("ru")) ? "ru" : "en";
document.documentElement.lang = now;

/** `{ru: {key: "…" or {one, few, many, other}}, en: {…}}`; both languages have the same keys. */
export function addWords(added) {
  for (const code of LANGUAGES) Object.assign(words[code], added[code]);
  for (const code of LANGUAGES) {
    for (const key of Object.keys(added[code])) if (!LANGUAGES.every((other) => key in added[other])) console.error(`"${key}" is in one language only`);
  }
}

/** "ru" or "en". */
export const language = () => now;

/** Whether there are words for this. */
export const knows = (key) => key in words[now];

/** The words, with `{name}` filled in; the form that `values.count` asks for where there are several. */
export function say(key, values = {}) {
  const found = words[now][key];
  if (found === undefined) {
    console.error(`no words for "${key}"`);
    return key;
  }
  const text = typeof found === "string" ? found : found[new Intl.PluralRules(now).select(values.count)] ?? found.other;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Speak another language from now on; whoever listens draws anew. */
export function switchLanguage(code) {
  now = code;
  localStorage.setItem(KEPT, code);
  document.documentElement.lang = code;
  for (const listener of listeners) listener(code);
}

/** Be told of a new language. */
export const onLanguage = (listener) => { listeners.add(listener); };
