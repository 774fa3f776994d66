// For whom: a user with features and history, or an anonymous visitor who likes something.

import { ask, latest, query } from "./api.js";
import { choice, choose } from "./choice.js";
import { chip, chooser } from "./chooser.js";
import { combobox } from "./combobox.js";
import { $, count, el, failure } from "./dom.js";
import { link } from "./items.js";

const SUGGESTED = 3, SHOWN = 30;
const next = latest();

async function users(prefix, most, signal) {
  return (await ask("GET", query("users", { prefix, most }), undefined, signal)).users;
}

/** Lets the field search. */
export function searchUsers() {
  combobox($("user"), {
    search: async (text, signal) => {
      const found = (await users(text, 20, signal)).map((user) => ({ value: user, label: user }));
      const typed = text && !found.some((one) => one.value === text);
      return typed ? [...found, { value: text, label: text, note: "as typed" }] : found;
    },
    pick: ({ value }) => choose({ user: value }),
    none: "No user is known yet.",
  });
}

/** Draws who is chosen. */
export async function drawUser(catalogue) {
  const signal = next(), user = choice.user;
  $("whom").setAttribute("aria-busy", "true");
  try {
    const parts = user === null
      ? await nobody(catalogue, signal)
      : somebody(catalogue, await ask("GET", `users/${encodeURIComponent(user)}`, undefined, signal));
    if (!signal.aborted) $("whom").replaceChildren(...parts);
  } catch (error) {
    if (!signal.aborted) $("whom").replaceChildren(failure(error, () => drawUser(catalogue)));
  } finally {
    if (!signal.aborted) $("whom").removeAttribute("aria-busy");
  }
}

async function nobody({ likes }, signal) {
  const some = await users("", SUGGESTED, signal);
  const chips = some.map((user) =>
    el("button", { type: "button", class: "chip", click: () => choose({ user }) }, user));
  return [
    el("p", { class: "who" }, el("strong", {}, "An anonymous visitor")),
    some.length ? el("div", { class: "chips" }, el("span", { class: "soft" }, "or as"), chips) : null,
    likes.length ? el("h3", {}, "What the visitor likes") : null,
    ...likes.map(liking),
    el("div", { class: "chips", id: "liked" }, likedItems()),
    likes.length ? el("p", { class: "soft" }, "Or press Like on an item of the list.") : null,
  ].filter(Boolean);
}

const liking = (one) =>
  chooser(one, `Likes ${one.name}`, of(one.name), (values) => choose({ likes: joined(one.name, values) }));

const of = (name) => choice.likes.filter((one) => one.startsWith(`${name}=`)).map((one) => one.slice(name.length + 1));

function joined(name, values) {
  return [...choice.likes.filter((one) => !one.startsWith(`${name}=`)), ...values.map((value) => `${name}=${value}`)];
}

function likedItems() {
  return Object.entries(choice.liked).map(([item, title]) =>
    chip(title, title, () => {
      const { [item]: _, ...others } = choice.liked;
      choose({ liked: others });
    }));
}

/** The liked items alone: the switches beside them may have the focus. */
export const drawLiked = () => $("liked")?.replaceChildren(...likedItems());

function somebody(catalogue, found) {
  const features = Object.entries(found.features).map(([name, value]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, Array.isArray(value) ? value.join(", ") : String(value))));
  return [
    el("p", { class: "who" }, el("strong", {}, found.user),
      el("button", { type: "button", "aria-label": "Clear the user", click: () => choose({ user: null }) }, "Clear")),
    found.known ? null : el("p", { class: "soft" }, "Nothing is known of this user."),
    features.length ? el("dl", { class: "features" }, features) : null,
    el("h3", {}, "History ", el("span", { class: "soft" }, count(found.history.length, "item"))),
    found.history.length
      ? history(catalogue, found.history)
      : el("p", { class: "empty" }, "Nothing yet. Take something from the list."),
  ].filter(Boolean);
}

function history(catalogue, taken) {
  const rows = taken.slice(0, SHOWN).map((one) => entry(catalogue, one));
  const list = el("ol", { class: "history", tabindex: "0", "aria-label": "History, latest first" }, rows);
  if (taken.length > SHOWN) {
    const rest = () => {
      list.lastChild.remove();
      list.append(...taken.slice(SHOWN).map((one) => entry(catalogue, one)));
    };
    const words = `Show ${count(taken.length - SHOWN, "older item")}`;
    list.append(el("li", {}, el("button", { type: "button", click: rest }, words)));
  }
  return list;
}

function entry(catalogue, one) {
  return el("li", {}, link(one, true), el("small", {}, moment(catalogue, one.time)));
}

function moment({ clock }, time) {
  const date = clock ? new Date(time * 1000) : null;
  return date && !Number.isNaN(date.valueOf()) ? date.toISOString().slice(0, 16).replace("T", " ") : String(time);
}
