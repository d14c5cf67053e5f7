// Making and finding elements. Text is always set as text: nothing here reads HTML, so nothing that a person has typed can become it.

const SVG = "http://www.w3.org/2000/svg";

/** A line icon of 24 × 24; the names that `icon` knows. */
const ICONS = {
  bell: "M6 16V10a6 6 0 0 1 12 0v6l2 2H4zM10 21h4",
  calendar: "M5 5h14v15H5zM5 10h14M9 3v4M15 3v4",
  check: "M5 12.5l4.5 4.5L19 7.5",
  clock: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5l3.5 2",
  close: "M6 6l12 12M18 6L6 18",
  download: "M12 4v11M7.5 11L12 15.5 16.5 11M5 20h14",
  edit: "M4 20l1-4L16 5l3 3L8 19z",
  filter: "M4 6h16M7 12h10M10 18h4",
  globe: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM3 12h18M12 3c3.5 3 3.5 15 0 18M12 3c-3.5 3-3.5 15 0 18",
  left: "M14.5 6L8.5 12l6 6",
  lock: "M6 11h12v9H6zM9 11V8a3 3 0 0 1 6 0v3",
  logout: "M14 4H5v16h9M10 12h10M16.5 8.5L20 12l-3.5 3.5",
  map: "M4 6l5-2 6 2 5-2v14l-5 2-6-2-5 2zM9 4v14M15 6v14",
  moon: "M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z",
  plus: "M12 5v14M5 12h14",
  print: "M7 9V4h10v5M7 17H4V9h16v8h-3M7 14h10v6H7z",
  refresh: "M19 12a7 7 0 1 1-2-5l2 2M19 4v5h-5",
  right: "M9.5 6l6 6-6 6",
  seat: "M8 4v8h8V4M6 12h12v4H6zM8 16v4M16 16v4",
  server: "M4 5h16v6H4zM4 13h16v6H4zM7.5 8h.01M7.5 16h.01",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6l1.4 1.4M17 17l1.4 1.4M5.6 18.4L7 17M17 7l1.4-1.4",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  user: "M12 11.5a3.75 3.75 0 1 0 0-7.5 3.75 3.75 0 0 0 0 7.5zM4.5 20c.8-4 3.7-5.5 7.5-5.5s6.7 1.5 7.5 5.5",
  users: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM3 19c.5-3.5 2.8-5 6-5s5.5 1.5 6 5M16 4.5a3.5 3.5 0 0 1 0 6.5M18 14.5c1.8.8 2.8 2.3 3 4.5",
  warning: "M12 4L2.5 20h19zM12 10v4.5M12 17.5h.01",
};

export const byId = (id) => document.getElementById(id);

/** Remove whatever is inside. */
export function clear(node) {
  node.replaceChildren();
  return node;
}

/** An element: `class`, `text`, `on: {click: f}`, `data: {name: value}`; everything else is an attribute (null and false: none; true: ""). */
export function el(name, attributes = {}, ...children) {
  return furnish(document.createElement(name), attributes, children);
}

/** The same for a part of a drawing. */
export function svg(name, attributes = {}, ...children) {
  return furnish(document.createElementNS(SVG, name), attributes, children);
}

/** A drawing beside words; screen readers pass over it. */
export function icon(name) {
  return svg("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" }, svg("path", { d: ICONS[name] }));
}

function furnish(made, attributes, children) {
  for (const [attribute, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (attribute === "text") made.textContent = value;
    else if (attribute === "on") for (const [event, act] of Object.entries(value)) made.addEventListener(event, act);
    else if (attribute === "data") Object.assign(made.dataset, value);
    else made.setAttribute(attribute, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== false));
  return made;
}
