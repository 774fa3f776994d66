// The list: what each place holds, what each stage gave it, why it is there, and what has moved since the list before.

import { ask, latest } from "./api.js";
import { asked, choice } from "./choice.js";
import { clearFilters } from "./controls.js";
import { $, count, digits, el, failure } from "./dom.js";
import { like, take } from "./events.js";
import { neighboursOf } from "./items.js";

const next = latest();
let before = null; // {whom, places: by item}

/** Asks for the list again. */
export async function drawList() {
  const signal = next(), whom = choice.user;
  $("places").setAttribute("aria-busy", "true");
  try {
    const answer = await ask("POST", "recommend", asked(), signal);
    if (!signal.aborted) show(answer, whom);
  } catch (error) {
    if (signal.aborted) return;
    $("said").textContent = "";
    $("places").replaceChildren(failure(error, drawList));
    $("places").removeAttribute("aria-busy");
  }
}

function show(answer, whom) {
  const was = before?.whom === whom ? before.places : null;
  const focus = focused();
  const scales = { retrieval: scale(answer.items, "retrieval"), score: scale(answer.items, "score") };
  const rows = answer.items.map((one, row) => place(one, row, answer, was, scales));
  $("places").replaceChildren(...(rows.length ? [head(stage(answer)), el("ol", { class: "places" }, rows)] : [empty()]));
  $("places").removeAttribute("aria-busy");
  $("said").replaceChildren(...summary(answer, was));
  refocus(focus);
  before = { whom, places: new Map(answer.items.map((one, row) => [one.item, row])) };
}

/** Names the columns where there is room for them; each place has them, too, for who does not see this. */
function head(last) {
  return el("div", { class: "head", "aria-hidden": "true" },
    el("div", { class: "scores" }, el("div", {}, "retrieval"), el("div", {}, last)));
}

/** What gave the score that a list is ordered by. */
const stage = (answer) => (answer.source === "popularity" ? "popularity" : "ranker");

function summary(answer, was) {
  const took = `${(answer.seconds * 1e3).toFixed(1)} ms`;
  const parts = [count(answer.items.length, "item"), `version ${answer.version}`, took];
  const fresh = was && answer.items.filter((one) => !was.has(one.item)).length;
  if (fresh) parts.push(`${fresh} new here`);
  for (const [name, arm] of Object.entries(answer.arms)) parts.push(`${name}: arm ${arm}`);
  return [source(answer.source, answer.reason), ` ${parts.join(" · ")}`];
}

function source(name, reason) {
  return el("span", { class: "source", "data-source": name }, reason ? `${name}: ${reason}` : name);
}

function place(one, row, answer, was, scales) {
  const score = answer.source === "fallback" ? null : one.score; // such a list was never scored
  const odd = one.source !== answer.source && answer.source !== "fallback";
  const why = one.because && el("p", { class: "why" }, "because of ", el("q", {}, one.because.title));
  return el("li", { class: was && !was.has(one.item) ? "new" : null, "data-item": one.item },
    el("span", { class: "number" }, String(row + 1), moved(was, one.item, row)),
    el("div", { class: "what" },
      el("p", { class: "title" }, one.title, " ", odd ? source(one.source) : null),
      el("p", { class: "id" }, one.title === one.item ? null : one.item), why),
    el("dl", { class: "scores" },
      bar("retrieval", one.retrieval, scales.retrieval), bar(stage(answer), score, scales.score)),
    el("div", { class: "acts" },
      choice.user === null
        ? button("Like", `Like ${one.title}`, () => like(one))
        : button("Take", `Take ${one.title}`, () => take(one)),
      button("Similar", `Neighbours of ${one.title}`, () => neighboursOf(one, true))));
}

function button(text, label, click) {
  return el("button", { type: "button", "data-act": text, "aria-label": label, click }, text);
}

function moved(was, item, row) {
  if (!was) return null;
  if (!was.has(item)) return el("small", { class: "up" }, "new");
  const by = was.get(item) - row;
  if (!by) return null;
  return by > 0 ? el("small", { class: "up" }, `↑${by}`) : el("small", { class: "down" }, `↓${-by}`);
}

function scale(items, name) {
  const values = items.map((one) => one[name]).filter((value) => typeof value === "number");
  const low = Math.min(...values), range = Math.max(...values) - low;
  return (value) => (range > 0 ? 0.06 + (0.94 * (value - low)) / range : 1);
}

/** A stage's score; the length of its bar compares the places of this list. */
function bar(name, value, length) {
  const there = typeof value === "number";
  const filled = el("span", { class: "bar", "aria-hidden": "true" });
  filled.style.setProperty("--length", there ? length(value) : 0);
  return el("div", {}, el("dt", {}, name), el("dd", {}, there ? digits(value) : "–", filled));
}

function empty() {
  if (!Object.keys(choice.filters).length) return el("p", { class: "empty" }, "There is nothing to recommend.");
  return el("div", { class: "empty" }, el("p", {}, "No item passes these filters."),
    el("button", { type: "button", click: clearFilters }, "Clear the filters"));
}

function focused() {
  const button = document.activeElement?.closest?.("#places [data-act]");
  const row = button?.closest("li");
  return row && { act: button.dataset.act, item: row.dataset.item, row: [...row.parentNode.children].indexOf(row) };
}

/** Back to the same item's button; where it is gone, to what took its place: a keyboard must not start over. */
function refocus(focus) {
  if (!focus || document.activeElement !== document.body) return;
  const rows = [...$("places").querySelectorAll("li")];
  const row = rows.find((one) => one.dataset.item === focus.item) ?? rows[Math.min(focus.row, rows.length - 1)];
  row?.querySelector(`[data-act="${focus.act}"]`)?.focus();
}
