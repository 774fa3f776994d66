// Items: search one, and see those nearest to it.

import { ask, latest, query } from "./api.js";
import { combobox } from "./combobox.js";
import { $, digits, el, failure } from "./dom.js";

const MOST = 10;
const next = latest();

/** Lets the field search, or says why there is nothing to search for. */
export function searchItems(catalogue) {
  $("item").disabled = !catalogue.neighbours;
  const words = catalogue.neighbours ? "Search an item, or press Similar on one." : "This version knows no neighbours.";
  if (!$("neighbours").hasChildNodes()) $("neighbours").replaceChildren(el("p", { class: "empty" }, words));
}

combobox($("item"), {
  search: async (text, signal) => {
    if (!text) return [];
    const { items } = await ask("GET", query("items", { text, most: 20 }), undefined, signal);
    return items.map(({ item, title }) => ({ value: item, label: title, note: title === item ? null : item }));
  },
  pick: ({ value, label }) => neighboursOf({ item: value, title: label }),
  none: "No item has this id, or this in its title.",
});

/** Shows what is nearest to an item; on a narrow screen, where it stands elsewhere, goes there. */
export async function neighboursOf(one, go = false) {
  const signal = next(), box = $("neighbours");
  box.setAttribute("aria-busy", "true");
  try {
    const { items } = await ask("POST", "similar", { item: one.item, k: MOST }, signal);
    if (signal.aborted) return;
    const none = el("p", { class: "empty" }, "None.");
    box.replaceChildren(of(one), items.length ? el("ol", { class: "near" }, items.map(row)) : none);
  } catch (error) {
    if (signal.aborted) return;
    box.replaceChildren(of(one), failure(error, () => neighboursOf(one)));
  }
  box.removeAttribute("aria-busy");
  if (go) goThere();
}

function goThere() {
  const heading = $("near-heading"), { top, bottom } = heading.getBoundingClientRect();
  if (top < 0 || bottom > innerHeight) {
    heading.scrollIntoView();
    heading.focus();
  }
}

function of({ item, title }) {
  const id = title === item ? null : el("small", { class: "id" }, item);
  return el("p", { class: "of" }, "Nearest to ", el("strong", {}, title), id);
}

function row(one) {
  const bar = el("span", { class: "bar", "aria-hidden": "true" });
  bar.style.setProperty("--length", Math.max(0, one.score));
  return el("li", {}, link(one), el("span", { class: "cosine" }, digits(one.score), bar));
}

/** A title that leads to the item's neighbours. */
export function link(one, go = false) {
  const given = { type: "button", class: "plain", "aria-label": `Neighbours of ${one.title}` };
  return el("button", { ...given, click: () => neighboursOf(one, go) }, one.title);
}
