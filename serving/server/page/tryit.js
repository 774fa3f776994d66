// A request that can be sent from the description, and what came back.

import { exchange } from "./api.js";
import { el } from "./dom.js";

const SHOWN = 20_000; // characters of an answer

/** operation: {method, path, parameters: [{name, in, ...}], body: an example or undefined}. */
export function tryIt({ id, method, path, parameters, body }) {
  const inputs = parameters.map((one) => [one, el("input", { id: `${id}-${one.name}`, placeholder: one.example })]);
  const text = body === undefined ? null : el("textarea", { id: `${id}-body`, spellcheck: "false", rows: lines(body) });
  if (text) text.value = body;
  const answer = el("div", { class: "answer", "aria-live": "polite" });
  const form = el("form", { submit: send },
    ...inputs.map(([one, input]) =>
      el("p", {}, el("label", { for: input.id }, one.name, el("small", {}, ` in the ${one.in}`)), input)),
    text && el("p", {}, el("label", { for: text.id }, "Body"), text),
    el("div", { class: "row" },
      el("button", { class: "main" }, "Send"),
      text && el("button", { type: "button", click: (event) => copy(event.target, text.value) }, "Copy body")),
    answer);

  async function send(event) {
    event.preventDefault();
    answer.setAttribute("aria-busy", "true");
    const started = performance.now();
    try {
      const given = text ? JSON.parse(text.value) : undefined;
      const [said, found] = await exchange(method, address(path, inputs), given);
      const words = `${said.status} ${said.statusText} · ${(performance.now() - started).toFixed(0)} ms`;
      answer.replaceChildren(el("p", { class: said.ok ? "good" : "bad" }, words),
        el("pre", { tabindex: "0", "aria-label": "Answer" }, pretty(found)));
    } catch (error) {
      const words = error instanceof SyntaxError ? `The body is not JSON: ${error.message}` : error.message;
      answer.replaceChildren(el("p", { class: "bad" }, words));
    }
    answer.removeAttribute("aria-busy");
  }
  return form;
}

function address(path, inputs) {
  const query = new URLSearchParams();
  let found = path.slice(1);
  for (const [one, input] of inputs) {
    const value = input.value || (one.in === "path" ? one.example : "");
    if (one.in === "path") found = found.replace(`{${one.name}}`, encodeURIComponent(value));
    else if (value) query.set(one.name, value);
  }
  return query.size ? `${found}?${query}` : found;
}

async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "This browser does not let a page copy";
  }
}

function pretty(text) {
  let found = text;
  try {
    found = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // it is no JSON, and shown as it is
  }
  return found.length > SHOWN ? `${found.slice(0, SHOWN)}\n… ${found.length - SHOWN} more characters` : found;
}

const lines = (text) => Math.min(text.split("\n").length + 1, 16);
