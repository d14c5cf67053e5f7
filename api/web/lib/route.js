// Where the page is: routes are hashes such as #/book?space=hq&date=2026-12-01.

/** Show a view: `go("book", {space: "hq"})`. */
export function go(path, parameters = {}) {
  location.hash = hash(path, parameters);
}

/** The address of a view, for links. */
export function hash(path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined));
  return `#/${path}${query.size ? `?${query}` : ""}`;
}

/** Note in the address what is shown now, without showing it anew; not when the person is on the way to another view. */
export function note(path, parameters) {
  if (["", path].includes(route().path)) history.replaceState(null, "", hash(path, parameters));
}

/** {path, parameters} of the address. */
export function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { path, parameters: Object.fromEntries(new URLSearchParams(query)) };
}
