// What is said while no version is loaded: where the server looks for one, and how one gets there.

import { $, el } from "./dom.js";

let said = "";

/** Shows it in place of the list, as the server's status has it. */
export function drawWaiting({ model, folder, poll, versions }) {
  const states = versions.map(state).filter(Boolean);
  const now = JSON.stringify([folder, poll, states]);
  if (now === said && $("waiting")) return; // who listens to the page is not told again
  said = now;
  $("places").replaceChildren(el("div", { id: "waiting", role: "status" },
    el("h3", {}, `No version of ${model} is loaded yet`),
    ...states.map((words) => el("p", {}, words)),
    el("p", {}, "The server looks into ", el("code", {}, folder), ` every ${poll} s. Publish a run there:`),
    el("pre", { tabindex: "0", "aria-label": "Command" }, "twinspire publish RUN"),
    el("p", { class: "soft" }, "Lists appear here by themselves as soon as it is loaded. Events are taken in meanwhile.")));
}

function state({ number, state: name, code, message }) {
  if (name === "LOADING") return `Version ${number} is being loaded.`;
  return code === "OK" ? "" : `Version ${number} was refused: ${message}`;
}
