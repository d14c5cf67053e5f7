// Light or dark: as the system has it, until somebody chooses. The choice is kept in the browser.

const KEPT = "theme";
const listeners = new Set();

export const THEMES = ["auto", "light", "dark"];

/** "auto", "light" or "dark". */
export const theme = () => document.documentElement.dataset.theme || "auto";

/** Whether it is dark now. */
export const isDark = () => (theme() === "auto" ? matchMedia("(prefers-color-scheme: dark)").matches : theme() === "dark");

/** Choose; whoever listens draws anew. */
export function useTheme(chosen) {
  if (chosen === "auto") {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem(KEPT);
  } else {
    document.documentElement.dataset.theme = chosen;
    localStorage.setItem(KEPT, chosen);
  }
  for (const listener of listeners) listener();
}

/** Be told of another choice. */
export const onTheme = (listener) => { listeners.add(listener); };

const kept = localStorage.getItem(KEPT);
if (THEMES.includes(kept)) document.documentElement.dataset.theme = kept;
