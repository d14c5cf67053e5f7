// Where events go: webhooks, mail and the broker; what could not be delivered, to try again or to forget.

import { ask } from "../lib/cluster.js";
import { el } from "../lib/dom.js";
import { toast } from "../lib/ui.js";
import { button, check, field, fill, form, frame, here, href, load, showOnce, t } from "./admin-common.js";

const TYPES = ["deskraft.booking", "deskraft.waiting", "deskraft.seat", "deskraft.space", "deskraft.user"];
const sinkPath = (id, more = "") => `/api/v1/admin/sinks/${encodeURIComponent(id)}${more}`;
const hookPath = (id, more = "") => `/api/v1/admin/webhooks/${encodeURIComponent(id)}${more}`;
const GLYPHS = { active: "●", paused: "❚❚", disabled: "✕" };

async function create(redraw) {
  const made = await form({
    title: t("newWebhook"), send: t("create"),
    content: [
      field(t("url"), el("input", { name: "url", type: "url", required: true, autofocus: true, placeholder: "https://example.org/hook" }), t("urlHint")),
      field(t("description"), el("input", { name: "description", maxlength: 200 })),
      el("fieldset", {}, el("legend", { text: t("types") }), TYPES.map((each) => check(t(`type.${each.slice(9)}`), el("input", { type: "checkbox", name: "type", value: each }))), el("small", { text: t("typesHint") })),
    ],
    work: async (shape) => {
      const given = new FormData(shape);
      return (await ask("POST", "/api/v1/admin/webhooks", { body: { url: given.get("url"), description: given.get("description"), types: given.getAll("type") } })).body;
    },
  });
  if (made) await showOnce(t("secret"), t("secretHint"), made.secret);
  await redraw();
}

function card(sink, hook, redraw) {
  const { id } = sink;
  const name = sink.url || t(`sink.${sink.kind}`);
  const run = (work) => async () => { await work(); await redraw(); };
  const rotate = async () => {
    const hours = el("input", { type: "number", min: 0, max: 168, value: 24, required: true });
    const made = await form({
      title: t("rotate"), send: t("rotate"), danger: true, content: [el("p", { text: t("rotateHint") }), field(t("overlap"), hours)],
      work: async () => (await ask("POST", hookPath(id, "/rotate"), { body: { overlap_hours: Number(hours.value) } })).body,
    });
    if (made) await showOnce(t("secret"), t("secretHint"), made.secret);
  };
  const test = async () => {
    const { body } = await ask("POST", hookPath(id, "/test"));
    toast(body.delivered ? t("tested", { milliseconds: body.duration_ms }) : t("testFailed", { why: body.why || body.status }), { kind: body.delivered ? "ok" : "bad" });
  };
  const remove = () => form({
    title: t("removeSink"), send: t("removeSink"), danger: true, content: [el("p", { text: t("removeSinkHint", { name, count: sink.held + sink.dead_letters }) })],
    work: async () => { await ask("DELETE", sinkPath(id)); return true; },
  });
  const act = (key, work, kind = "quiet") => button(t(key), run(work), kind, { "aria-label": `${t(key)}: ${name}` });
  return el("li", { class: "card", data: { sink: id } },
    el("h2", {}, el("span", { class: "admin-url", text: name }), el("span", { class: `chip ${sink.state === "active" ? "good" : "warn"}`, text: `${GLYPHS[sink.state]} ${t(`state.${sink.state}`)}` })),
    hook?.description && el("p", { text: hook.description }),
    el("p", { class: "note", text: [t("delivered", { count: sink.delivered }), t("held", { count: sink.held }), t("behind", { count: sink.behind }), hook && (hook.types.join(", ") || t("allTypes"))].filter(Boolean).join(" · ") }),
    sink.troubled_since && el("p", { class: "bad", text: `⚠ ${t("troubled", { when: here(sink.troubled_since), why: sink.why })}` }),
    hook?.old_secret_until && el("p", { class: "note", text: t("oldSecret", { when: here(hook.old_secret_until) }) }),
    el("div", { class: "row" },
      el("a", { class: `button ${sink.dead_letters ? "main" : ""}`, href: href("webhooks", { letters: id }), text: t("letters_", { count: sink.dead_letters }) }),
      sink.state === "active" ? act("pause", () => ask("POST", sinkPath(id, "/pause"))) : act("resume", () => ask("POST", sinkPath(id, "/resume"))),
      ...(hook ? [act("test", test), act("rotate", rotate)] : []), act("removeSink", remove)));
}

function letters(container, id) {
  const body = frame(container, "webhooks", t("letters"), el("a", { class: "button", href: href("webhooks"), text: t("back") }));
  const rows = el("ul", { class: "admin-list card" });
  const foot = el("div", { class: "row" });
  const chosen = () => [...rows.querySelectorAll("input:checked")].map((each) => each.value);
  const act = (key, path, danger) => button(t(key), async () => {
    const ids = chosen();
    const done = await form({
      title: t(key), send: t(key), danger, content: [el("p", { text: t(ids.length ? `${key}Chosen` : `${key}All`, { count: ids.length || total }) })],
      work: async () => (await ask("POST", sinkPath(id, `/dead-letters/${path}`), { body: ids.length ? { ids } : {} })).body,
    });
    if (done) { toast(t("lettersDone", { count: done.count })); await draw(); }
  }, danger ? "danger" : "main");
  const acts = el("div", { class: "row" }, act("replay", "replay"), act("drop", "drop", true));
  let total = 0;
  const draw = (cursor = "") => load(foot, async () => {
    const [page, sink] = await Promise.all([ask("GET", sinkPath(id, `/dead-letters${cursor && `?cursor=${cursor}`}`)), ask("GET", sinkPath(id))]);
    total = sink.body.dead_letters;
    if (!cursor) fill(rows);
    rows.append(...page.body.items.map((each) => el("li", {}, check(`${each.event.type} ${each.id}`, el("input", { type: "checkbox", value: each.id })),
      el("span", { class: "note", text: `${here(each.at)} · ${t("attempts", { count: each.attempts })} · ${each.why}` }), el("details", {}, el("summary", { text: t("record") }), el("pre", { text: JSON.stringify(each.event, null, 1) })))));
    rows.hidden = acts.hidden = !rows.children.length;
    fill(foot, page.body.next ? button(t("more"), () => draw(page.body.next)) : rows.hidden && el("p", { text: t("noLetters") }));
  });
  body.append(acts, rows, foot);
  draw();
}

export default {
  path: "admin/webhooks",
  title: "admin.webhooks",
  needs: "admin",
  hidden: true,
  show(container, { letters: sinkId }) {
    if (sinkId) { letters(container, sinkId); return; }
    const body = frame(container, "webhooks", t("webhooks"), button(t("newWebhook"), () => create(draw), "main"));
    const draw = () => load(body, async () => {
      const [sinks, hooks] = await Promise.all(["sinks", "webhooks"].map((each) => ask("GET", `/api/v1/admin/${each}`)));
      const known = new Map(hooks.body.items.map((each) => [each.id, each]));
      fill(body, sinks.body.items.length ? el("ul", { class: "admin-cards" }, ...sinks.body.items.map((each) => card(each, known.get(each.id), draw))) : el("p", { text: t("noSinks") }));
    });
    draw();
  },
};
