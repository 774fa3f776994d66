// A text field that suggests: https://www.w3.org/WAI/ARIA/apg/patterns/combobox (editable, list, chosen by hand).

import { Failed, latest } from "./api.js";
import { debounced, el } from "./dom.js";

/** Makes one of an input inside an element that it may fill.
 *
 *  search(text, signal): options, {value, label, note}. pick(option). none: said where nothing is found.
 *  free: Enter picks what was typed where nothing is marked. */
export function combobox(input, { search, pick, none, free = false }) {
  const list = el("ul", { id: `${input.id}-options`, role: "listbox", "aria-label": "Suggestions", hidden: true });
  const said = el("p", { class: "none", role: "status", hidden: true });
  const next = latest();
  let options = [], at = -1;
  const fixed = {
    role: "combobox", "aria-autocomplete": "list", "aria-controls": list.id, autocomplete: "off", spellcheck: "false",
  };
  for (const [name, value] of Object.entries(fixed)) input.setAttribute(name, value);
  input.after(list, said);
  close();

  function close() {
    next();
    list.hidden = said.hidden = true;
    input.setAttribute("aria-expanded", "false");
    mark(-1);
  }

  function mark(row) {
    list.children[at]?.setAttribute("aria-selected", "false");
    at = row;
    const marked = list.children[at];
    marked?.setAttribute("aria-selected", "true");
    marked?.scrollIntoView({ block: "nearest" });
    if (marked) input.setAttribute("aria-activedescendant", marked.id);
    else input.removeAttribute("aria-activedescendant");
  }

  function show(found) {
    options = found;
    at = -1;
    list.replaceChildren(...found.map((option, row) =>
      el("li", { id: `${list.id}-${row}`, role: "option", "aria-selected": "false", click: () => take(option) },
        el("span", {}, option.label), option.note && el("small", {}, option.note))));
    list.hidden = !found.length;
    say(found.length ? "" : none);
    input.setAttribute("aria-expanded", String(!list.hidden));
    mark(-1);
  }

  function say(words) {
    said.textContent = words;
    said.hidden = !words;
  }

  async function look() {
    const signal = next();
    try {
      const found = await search(input.value.trim(), signal);
      if (!signal.aborted && document.activeElement === input) show(found);
    } catch (error) {
      if (signal.aborted) return;
      show([]);
      say(error instanceof Failed ? error.message : "The search failed.");
    }
  }

  function take(option) {
    close();
    input.value = "";
    pick(option);
  }

  function step(by) {
    if (list.hidden) look();
    else mark((at + by + options.length + (at < 0 && by < 0 ? 1 : 0)) % options.length);
  }

  const keys = {
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    Escape: () => (list.hidden && said.hidden ? (input.value = "") : close()),
    Enter() {
      const typed = input.value.trim();
      if (!list.hidden && at >= 0) take(options[at]);
      else if (free && typed) take({ value: typed, label: typed });
      else if (options.length && !list.hidden) take(options[0]);
      else look();
    },
  };
  input.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.isComposing) return;
    event.preventDefault();
    keys[event.key]();
  });
  input.addEventListener("input", debounced(look, 120));
  input.addEventListener("click", () => list.hidden && look());
  input.addEventListener("blur", close);
  for (const part of [list, said]) part.addEventListener("mousedown", (event) => event.preventDefault()); // keeps focus
}
