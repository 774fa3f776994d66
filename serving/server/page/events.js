// What a person does with an item: a user takes it, an anonymous visitor likes it.

import { ask } from "./api.js";
import { choice, choose } from "./choice.js";
import { $, debounced } from "./dom.js";

/** Posts an event of the chosen user; the list and the history are asked for again. */
export async function take({ item, title }) {
  const event = { user: choice.user, item, context: choice.context };
  if (choice.kind !== null) event.kind = choice.kind;
  try {
    const { stored } = await ask("POST", "events", { events: [event] });
    say(stored ? `Taken: ${title}` : `${title} was logged alone: the store is down, and the list does not know of it.`);
    choose({ taken: item });
  } catch (error) {
    say(`Not taken: ${error.message}`);
  }
}

/** Adds an item to what an anonymous visitor likes. */
export function like({ item, title }) {
  choose({ liked: { ...choice.liked, [item]: title } });
}

const hide = debounced(() => $("toast").classList.remove("there"), 4000);

function say(words) {
  $("toast").textContent = words;
  $("toast").classList.add("there");
  hide();
}
