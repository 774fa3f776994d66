// Elements. Text is only ever set as text: a title may hold anything, and nothing here reads it as HTML.

/** An element. Attributes that are functions listen to the event of that name; true is "", null and false are none. */
export function el(tag, attributes = {}, ...children) {
  const found = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") found.addEventListener(name, value);
    else if (value === true) found.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) found.setAttribute(name, value);
  }
  found.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return found;
}

/** The element with that id. */
export const $ = (id) => document.getElementById(id);

/** What failed, in the server's words, and a button that tries again. */
export function failure(error, again) {
  const button = again && el("button", { type: "button", click: again }, "Try again");
  return el("div", { class: "failure", role: "alert" }, el("p", {}, error.message), button);
}

/** Calls `task` once nothing has called for it any more for so many milliseconds. */
export function debounced(task, milliseconds) {
  let waits;
  return (...given) => {
    clearTimeout(waits);
    waits = setTimeout(task, milliseconds, ...given);
  };
}

/** A number for people: three digits that matter. */
export function digits(value) {
  const size = Math.abs(value);
  if (size >= 100) return value.toFixed(0);
  return value.toFixed(size >= 10 ? 1 : 2);
}

const numbers = new Intl.NumberFormat("en");

/** A count with its noun: "1 item", "1,349 items". */
export const count = (many, noun) => `${numbers.format(many)} ${noun}${many === 1 ? "" : "s"}`;
