// The description of the interface, from /openapi.json.

import { ask } from "./api.js";
import { $, el, failure } from "./dom.js";
import { Schemas } from "./schema.js";
import { tryIt } from "./tryit.js";

const METHODS = ["get", "post", "put", "patch", "delete"];

async function draw() {
  const main = $("interface");
  try {
    const said = await ask("GET", "openapi.json");
    const schemas = new Schemas(said.components);
    const operations = Object.entries(said.paths).flatMap(([path, item]) =>
      METHODS.filter((method) => item[method]).map((method) => read(schemas, path, method, item[method])));
    const groups = new Map();
    for (const one of operations) groups.set(one.group, [...(groups.get(one.group) ?? []), one]);
    main.replaceChildren(...[...groups].map(([name, some]) => group(name, some)));
    open();
  } catch (error) {
    main.replaceChildren(failure(error, draw));
  }
  main.removeAttribute("aria-busy");
}

/** What is shown of an operation. */
function read(schemas, path, method, said) {
  const schema = said.requestBody?.content?.["application/json"]?.schema;
  const parameters = (said.parameters ?? []).map((one) => ({
    ...one, type: schemas.type(one.schema), limits: schemas.limits(one.schema), example: example(schemas, one),
  }));
  return {
    id: `${method}${path}`.replace(/\W+/g, "-").replace(/-$/, ""),
    method: method.toUpperCase(), path, parameters,
    group: said.tags?.[0] ?? "twinspire",
    description: said.description ?? said.summary ?? "",
    about: schemas.resolve(schema).description ?? "",
    body: schema && JSON.stringify(schemas.example(schema), null, 2),
    takes: schema ? schemas.fields(schema) : [],
    answers: Object.entries(said.responses ?? {}).map(([status, one]) => answer(schemas, status, one)),
  };
}

function example(schemas, one) {
  const found = schemas.example(one.schema, one.name);
  return typeof found === "object" ? "" : String(found);
}

function answer(schemas, status, said) {
  const schema = said.content?.["application/json"]?.schema;
  return { status, description: said.description, fields: schema ? schemas.fields(schema) : [] };
}

function group(name, operations) {
  return el("section", { "aria-label": name }, el("h2", {}, name), operations.map(operation));
}

function operation(one) {
  const summary = el("summary", {}, el("span", { class: "method" }, one.method), el("code", {}, one.path),
    el("span", { class: "soft" }, one.description.split("\n")[0]));
  const found = el("details", { id: one.id }, summary);
  const fill = () => found.open && found.childElementCount === 1 && found.append(inside(one)); // once it is looked at
  found.addEventListener("toggle", fill);
  return found;
}

function inside(one) {
  const given = one.parameters.map((each) => ({ ...each, name: `${each.name} (${each.in})` }));
  return el("div", { class: "inside" },
    el("div", {}, one.description.includes("\n") ? el("p", { class: "long" }, one.description) : null,
      one.about && el("p", {}, one.about), fields("Parameters", given), fields("Body", one.takes),
      el("h3", {}, "Answers"), one.answers.map(answers)),
    el("div", {}, el("h3", {}, "Try it"), tryIt(one)));
}

function answers({ status, description, fields: some }) {
  const summary = el("summary", {}, `${status} `, el("span", { class: "soft" }, description));
  return el("details", { class: "answers" }, summary, fields("", some));
}

function fields(title, rows) {
  if (!rows.length) return null;
  return el("div", {}, title && el("h3", {}, title), el("dl", { class: "fields" }, rows.map((one) => el("div", {},
    el("dt", {}, el("code", {}, one.name), one.required ? el("strong", {}, "required") : null),
    el("dd", {}, el("span", { class: "soft" }, [one.type, one.limits].filter(Boolean).join("; ")),
      one.description ? el("p", {}, one.description) : null)))));
}

/** Opens the operation that the address names. */
function open() {
  const found = $(decodeURIComponent(location.hash.slice(1)));
  if (found?.matches("details")) {
    found.open = true;
    found.scrollIntoView();
  }
}

addEventListener("hashchange", open);
draw();
