// Some values out of many: a switch for each, or a field that suggests them where there are too many to show.

import { combobox } from "./combobox.js";
import { el } from "./dom.js";

const FEW = 16;

/** {name, values, more} as a group; change(values) is called with what is chosen from now on. */
export function chooser({ name, values, more }, label, chosen, change) {
  const now = new Set(chosen);
  const set = (value, on) => {
    now[on ? "add" : "delete"](value);
    change([...now]);
  };
  const few = values.length <= FEW && !more;
  return el("div", { class: "chooser", role: "group", "aria-label": label },
    el("span", { class: "name" }, name),
    few
      ? el("div", { class: "chips" }, values.map((one) => toggle(one, now, set)))
      : field(name, label, values, more, now, set));
}

function toggle(value, now, set) {
  const press = () => {
    const on = !now.has(value);
    button.setAttribute("aria-pressed", String(on));
    set(value, on);
  };
  const pressed = String(now.has(value));
  const button = el("button", { type: "button", class: "chip", "aria-pressed": pressed, click: press }, value);
  return button;
}

function field(name, label, values, more, now, set) {
  const id = `choose-${label}`.replace(/\W+/g, "-");
  const input = el("input", { id, "aria-label": label, placeholder: `Search ${name}` });
  const box = el("div", { class: "combo" }, input);
  const chips = el("div", { class: "chips" });
  const draw = () => chips.replaceChildren(...[...now].map((value) => chip(value, value, () => change(value, false))));
  const change = (value, on) => {
    set(value, on);
    draw();
  };
  combobox(input, {
    search: async (text) => {
      const found = values.filter((one) => !now.has(one) && one.toLowerCase().includes(text.toLowerCase()));
      return found.slice(0, 20).map((value) => ({ value, label: value }));
    },
    pick: ({ value }) => change(value, true),
    none: more ? "Not among those shown here; Enter takes it as typed." : "There is no such value.",
    free: more,
  });
  draw();
  return el("div", { class: "field" }, box, chips);
}

/** Something chosen, and a button that takes it back. */
export function chip(text, name, remove) {
  return el("button", { type: "button", class: "chip on", "aria-label": `Remove ${name}`, click: remove }, text,
    el("span", { "aria-hidden": "true" }, " ×"));
}
