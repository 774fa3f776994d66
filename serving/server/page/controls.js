// What a list is asked with: places, diversity, filters, and features of the request.

import { choice, choose } from "./choice.js";
import { chooser } from "./chooser.js";
import { $, debounced, el } from "./dom.js";

const LONGEST = 50; // a longer list is for programs

let catalogue = null;

/** Draws them for what a version takes; what is chosen stays, as far as the version knows it. */
export function drawControls(taken) {
  catalogue = taken;
  const names = catalogue.filters.map((one) => one.name);
  for (const name of Object.keys(choice.filters)) if (!names.includes(name)) delete choice.filters[name];
  choice.kind = catalogue.kinds.includes(choice.kind) ? choice.kind : (catalogue.kinds[0] ?? null);
  $("controls").replaceChildren(
    el("div", { class: "knobs" }, places(catalogue), diversity(catalogue), kind(catalogue)),
    ...catalogue.filters.map(filter),
    ...features(catalogue),
  );
}

/** Asks for any item again. */
export function clearFilters() {
  choose({ filters: {} });
  drawControls(catalogue);
}

function places({ most }) {
  const end = Math.min(most, LONGEST);
  choice.k = Math.min(choice.k, end);
  return slider("k", "Places", { min: 1, max: end, step: 1, value: choice.k }, String, (k) => choose({ k }));
}

function diversity({ relevance }) {
  const shown = choice.relevance ?? relevance ?? 1;
  if (relevance === null) choice.relevance = null;
  const words = relevance === null ? () => "fixed" : (value) => value.toFixed(2);
  const given = { min: 0, max: 1, step: 0.05, value: shown, disabled: relevance === null };
  const knob = slider("relevance", "Relevance", given, words, (value) => choose({ relevance: value }));
  knob.title = relevance === null
    ? "This version's lists are the same with any."
    : `1 lists by score alone, 0 as unlike as can be; this version's own is ${relevance}.`;
  return knob;
}

function slider(id, label, given, words, change) {
  const output = el("output", { for: id }, words(given.value));
  const told = debounced(change, 120);
  const moved = () => {
    output.textContent = words(input.valueAsNumber);
    told(input.valueAsNumber);
  };
  const input = el("input", { id, type: "range", ...given, input: moved });
  return el("div", { class: "knob" }, el("label", { for: id }, label, " ", output), input);
}

function kind({ kinds }) {
  if (!kinds.length) return null;
  const select = el("select", { id: "kind", change: () => choose({ kind: select.value }) },
    kinds.map((one) => el("option", { selected: one === choice.kind }, one)));
  return el("div", { class: "knob" }, el("label", { for: "kind" }, "Take as"), select);
}

function filter(one) {
  const chosen = choice.filters[one.name] ?? [];
  return chooser(one, `Filter ${one.name}`, chosen, (values) => {
    const { [one.name]: _, ...others } = choice.filters;
    choose({ filters: values.length ? { ...others, [one.name]: values } : others });
  });
}

function features(catalogue) {
  if (!catalogue.features.length) return [];
  const fields = catalogue.features.map((one) => {
    const id = `feature-${one.name}`, into = one.of === "user" ? "features" : "context";
    const changed = debounced(() => {
      const { [one.name]: _, ...others } = choice[into];
      const value = read(one, input.value.trim());
      choose({ [into]: value === null ? others : { ...others, [one.name]: value } });
    }, 300);
    const given = choice[into][one.name] ?? "";
    const list = one.values.length ? `${id}-values` : null;
    const placeholder = HINTS[one.kind] ?? one.kind;
    const input = el("input", { id, list, value: String(given), placeholder, autocomplete: "off", input: changed });
    const known = list && el("datalist", { id: list }, one.values.map((value) => el("option", { value })));
    return el("div", {}, el("label", { for: id }, one.name, el("small", {}, ` of the ${one.of}`)), input, known);
  });
  return [el("details", {}, el("summary", {}, "Features of this request"), el("div", { class: "fields" }, fields))];
}

const HINTS = { vector: "numbers, with commas", time: "a moment, as a number" };

/** What was typed as the feature takes it; what is no number goes as it is, and the server says so. */
function read({ kind }, text) {
  const number = (part) => (part.trim() === "" || Number.isNaN(Number(part)) ? part : Number(part));
  if (text === "") return null;
  if (kind === "number" || kind === "time") return number(text);
  return kind === "vector" ? text.split(",").map(number) : text;
}
