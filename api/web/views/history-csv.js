// The history as a file for spreadsheets: RFC 4180 in UTF-8, one row for a booking, with the filters that stand above the list.
//
// A spreadsheet set to Russian takes the semicolon for its separator and opens a file with commas as one column, so the separator goes by the language of the page. The mark at the
// beginning says that it is UTF-8. A text that a spreadsheet would run as a formula gets an apostrophe in front (OWASP, CSV injection).

import { ask } from "../lib/cluster.js";
import { el } from "../lib/dom.js";
import { spaceOf, spaces } from "../lib/spaces.js";
import { toast } from "../lib/ui.js";
import { language, say } from "../lib/words.js";

const PAGE = 200;
const MAX_ROWS = 20_000; // a file that is cut says so
const DANGEROUS = /^[=+\-@\t\r]/;
const COLUMNS = {
  space: (each) => spaceOf(each.space_id)?.name || each.space_id, seat: (each) => each.seat_label, starts_at: (each) => each.starts_at, ends_at: (each) => each.ends_at,
  timezone: (each) => each.timezone, status: (each) => say(`history.${each.status}`), created_at: (each) => each.created_at, cancelled_at: (each) => each.cancelled_at || "", id: (each) => each.id,
};

/** Read all that the filters leave and hand it over as a download. */
export async function saveCsv(query) {
  await spaces();
  const asked = new URLSearchParams(query);
  asked.set("limit", PAGE);
  const items = [];
  for (let next = ""; next !== null && items.length < MAX_ROWS;) {
    if (next) asked.set("cursor", next);
    const { body } = await ask("GET", `/history?${asked}`);
    items.push(...body.items);
    next = body.next;
    if (next && items.length >= MAX_ROWS) toast(say("history.csvCut", { count: items.length }), { kind: "bad" });
  }
  save(csvOf(items), "text/csv", "deskraft-history.csv");
  toast(say("history.csvSaved", { count: items.length }));
}

function csvOf(items) {
  const separator = language() === "ru" ? ";" : ",";
  const cell = (text) => {
    const safe = DANGEROUS.test(text) ? `'${text}` : text;
    return /[",;\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const rows = [Object.keys(COLUMNS).map((name) => say(`history.column.${name}`)), ...items.map((each) => Object.values(COLUMNS).map((of) => of(each)))];
  return `\uFEFF${rows.map((row) => row.map(cell).join(separator)).join("\r\n")}\r\n`;
}

/** Hand a text over as a file. */
export function save(text, type, name) {
  const address = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = el("a", { href: address, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60_000); // the browser may still be reading it
}
