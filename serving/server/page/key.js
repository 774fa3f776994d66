// The API key: asked for when the server wants one, and kept for as long as the tab is open.

import { el } from "./dom.js";

const PLACE = "twinspire-key";
let asking = null, declined = false;

/** The key; null before one was given. */
export const key = () => sessionStorage.getItem(PLACE);

/** Whether there is another key than the one just refused. Requests refused at the same time ask once; who has none
 *  is asked again on doing something, not by what the page looks up by itself. */
export function askKey(refused) {
  if (key() !== refused) return Promise.resolve(true);
  if (declined) return Promise.resolve(false);
  asking ??= shown(refused).finally(() => (asking = null));
  return asking;
}

function shown(refused) {
  const input = el("input", { id: "key", type: "password", autocomplete: "off", required: true });
  const words = refused ? "That key was refused." : "It is the server's api_key. This tab alone keeps it.";
  const form = el("form", { method: "dialog" },
    el("h2", { id: "key-heading" }, "This server asks for a key"),
    el("p", { role: refused ? "alert" : null }, words),
    el("label", { for: "key" }, "API key"),
    input,
    el("div", { class: "row" },
      el("button", { class: "main", value: "use" }, "Use it"),
      el("button", { value: "", formnovalidate: true }, "Not now")));
  const dialog = el("dialog", { "aria-labelledby": "key-heading" }, form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      const given = dialog.returnValue === "use";
      if (given) sessionStorage.setItem(PLACE, input.value);
      else decline();
      resolve(given);
    });
  });
}

function decline() {
  declined = true;
  const again = () => (declined = false);
  setTimeout(() => ["click", "keydown"].forEach((act) => addEventListener(act, again, { once: true, capture: true })));
}
