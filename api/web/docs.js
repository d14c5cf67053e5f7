// A small reader of /openapi.json: calls with their parameters, bodies and answers. Reads the node's own document only.

const element = (name, text, ...children) => {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
};

function resolve(whole, schema, depth = 0) {
  if (Array.isArray(schema)) return schema.map((each) => resolve(whole, each, depth));
  if (schema === null || typeof schema !== "object") return schema;
  if (schema.$ref) {
    if (depth > 5) return schema.$ref;
    return resolve(whole, schema.$ref.slice(2).split("/").reduce((found, step) => found[step], whole), depth + 1);
  }
  return Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, resolve(whole, value, depth)]));
}

const pretty = (whole, schema) => element("pre", "", element("code", JSON.stringify(resolve(whole, schema), null, 2)));

function call(whole, method, path, operation) {
  const box = element("details", "", element("summary", "", element("code", `${method.toUpperCase()} ${path}`), ` — ${operation.summary}`));
  if (operation.deprecated) box.append(element("p", "Deprecated: its answers tell until when it works."));
  if (operation.security) box.append(element("p", operation.security.length > 1 ? "A bearer token adds to the answer." : "Needs a bearer token."));
  if (operation.parameters.length) {
    const list = element("dl");
    for (const each of operation.parameters) list.append(element("dt", `${each.name} (${each.in}${each.required ? ", required" : ""})`), element("dd", `${each.description || ""} ${JSON.stringify(each.schema)}`));
    box.append(element("h3", "Parameters"), list);
  }
  for (const [type, content] of Object.entries(operation.requestBody?.content || {})) {
    box.append(element("h3", `Body: ${type}`));
    if (content.example) box.append(pretty(whole, content.example));
    box.append(pretty(whole, content.schema));
  }
  for (const [status, answer] of Object.entries(operation.responses)) {
    box.append(element("h3", `${status} — ${answer.description}`));
    if (Number(status) < 400) for (const content of Object.values(answer.content || {})) box.append(pretty(whole, content.schema));
  }
  return box;
}

const whole = await (await fetch("/openapi.json")).json();
const main = document.getElementById("main");
main.append(element("p", whole.info.summary), element("p", whole.info.description));
const groups = {};
for (const [path, methods] of Object.entries(whole.paths)) {
  for (const [method, operation] of Object.entries(methods)) (groups[operation.tags[0]] ||= []).push(call(whole, method, path, operation));
}
for (const [group, calls] of Object.entries(groups)) main.append(element("h2", group), ...calls);
