// The drawings of the cluster: its members as a ring, and lines of load. They are made once and then told what is so now, so that changes are seen to
// happen. Each has its words beside it or in its name; nothing is told by colour alone.

import { clear, el, svg } from "../lib/dom.js";

const [WIDTH, HEIGHT] = [340, 270];
const RADIUS = 94;
const SMALL_RING = 3; // three stand lower, for their middle is not that of the ring
const CROWN = "M-13 5 L-15 -7 L-7 -1 L0 -10 L7 -1 L15 -7 L13 5 Z";
const [LINE_WIDTH, LINE_HEIGHT, MARGIN] = [160, 40, 3];

/** The members around their cluster. `update(members, linked, name)` draws what is so now. */
export function ring() {
  const links = svg("g", { class: "links" });
  const nodes = svg("g");
  const box = svg("svg", { class: "ring", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" }, links, nodes);
  const drawn = { ids: "", nodes: new Map(), links: [] };

  function arrange(members) {
    clear(links);
    clear(nodes);
    drawn.nodes.clear();
    drawn.links = [];
    const size = members.length > SMALL_RING + 2 ? 26 : 34;
    const places = members.map((_, at) => {
      const angle = -Math.PI / 2 + (2 * Math.PI * at) / members.length;
      return members.length === 1 ? [WIDTH / 2, HEIGHT / 2] : [WIDTH / 2 + 1.3 * RADIUS * Math.cos(angle), HEIGHT / 2 + (members.length === SMALL_RING ? 31 : 8) + RADIUS * Math.sin(angle)];
    });
    members.forEach((member, at) => {
      const [x, y] = places[at];
      const crown = svg("path", { class: "crown", d: CROWN, transform: `translate(0 ${-size - 9})` });
      const cross = svg("path", { class: "cross", d: `M${size * 0.55} ${-size - 1} l10 10 m0 -10 l-10 10` });
      const circle = svg("circle", { r: size });
      const label = svg("text", { dy: "-.05em", text: member.id.length > 6 ? `${member.id.slice(0, 5)}…` : member.id });
      const role = svg("text", { class: "role", dy: "1.5em" });
      drawn.nodes.set(member.id, { role, node: svg("g", { class: "node", transform: `translate(${x} ${y})` }, circle, crown, cross, label, role) });
      for (const [before, other] of members.slice(0, at).entries()) {
        const line = svg("line", { x1: x, y1: y, x2: places[before][0], y2: places[before][1] });
        drawn.links.push({ line, one: member.id, other: other.id });
      }
    });
    links.append(...drawn.links.map((each) => each.line));
    nodes.append(...[...drawn.nodes.values()].map((each) => each.node));
  }

  function update(members, linked, roleName, name) {
    const ids = members.map((each) => each.id).join(" ");
    if (ids !== drawn.ids) arrange(members);
    drawn.ids = ids;
    for (const member of members) {
      const { node, role } = drawn.nodes.get(member.id);
      node.dataset.role = member.role;
      role.textContent = roleName(member);
    }
    const leads = members.find((each) => each.leads)?.id;
    const heard = (id) => members.some((each) => each.id === id && each.heard);
    for (const { line, one, other } of drawn.links) {
      const broken = !heard(one) || !heard(other) || linked(one, other) === false;
      line.dataset.link = broken ? "broken" : one === leads || other === leads ? "leads" : "idle";
    }
    box.setAttribute("aria-label", name);
  }

  return { box, update };
}

/** A line of the last readings with the newest in words beside it. `update(values, words)`; null is a gap. */
export function sparkline(title, length) {
  const area = svg("path", { class: "area" });
  const line = svg("path", { class: "line" });
  const ground = svg("path", { class: "ground", d: `M0 ${LINE_HEIGHT}H${LINE_WIDTH}` });
  const dot = svg("path", { class: "now" }); // of no length: its round end stays round when the drawing is stretched
  const box = svg("svg", { class: "sparkline", viewBox: `0 0 ${LINE_WIDTH} ${LINE_HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" }, ground, area, line, dot);
  const words = el("b", { class: "numbers" });
  const whole = el("div", { class: "reading" }, el("span", { class: "quiet", text: title }), words, box);

  function update(values, text) {
    words.textContent = text;
    const top = Math.max(1, ...values.filter((each) => each !== null)) * 1.1;
    const x = (at) => LINE_WIDTH - MARGIN - ((values.length - 1 - at) * (LINE_WIDTH - 2 * MARGIN)) / (length - 1);
    const y = (value) => LINE_HEIGHT - MARGIN - (value / top) * (LINE_HEIGHT - 2 * MARGIN);
    const pieces = [];
    values.forEach((value, at) => {
      if (value === null) return;
      if (at === 0 || values[at - 1] === null) pieces.push([]);
      pieces.at(-1).push([x(at).toFixed(1), y(value).toFixed(1)]);
    });
    line.setAttribute("d", pieces.map((piece) => `M${piece.map((each) => each.join(" ")).join("L")}`).join(""));
    area.setAttribute("d", pieces.map((piece) => `M${piece[0][0]} ${LINE_HEIGHT}L${piece.map((each) => each.join(" ")).join("L")}L${piece.at(-1)[0]} ${LINE_HEIGHT}Z`).join(""));
    const last = values.at(-1) ?? null;
    dot.setAttribute("d", last === null ? "" : `M${x(values.length - 1)} ${y(last)}h0`);
  }

  return { whole, update };
}
