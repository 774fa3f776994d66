// What is said while no version answers: why, where the server looks for one, and how one gets there.

import { $, el } from "./dom.js";

let said = "";

/** Shows it in place of the list, as the server's status has it. */
export function drawWaiting({ model, folder, poll, versions, away, rollout_error: wrong }) {
  const states = [wrong, ...versions.map(state)].filter(Boolean);
  const now = JSON.stringify([away, folder, poll, states]);
  if (now === said && $("waiting")) return; // who listens to the page is not told again
  said = now;
  $("places").replaceChildren(el("div", { id: "waiting", role: "status" },
    el("h3", {}, heading(away, model)),
    ...states.map((words) => el("p", {}, words)),
    ...(away === "rollout" ? mend(poll) : publish(away, folder, poll)),
    el("p", { class: "soft" }, "Lists appear here by themselves as soon as one is loaded. Events are taken in meanwhile.")));
}

function heading(away, model) {
  if (away === "withdrawn") return `Every version of ${model} was withdrawn`;
  if (away === "rollout") return `No version of ${model} is served, as any may have been withdrawn`;
  return `No version of ${model} is loaded yet`;
}

const mend = (poll) => [el("p", {}, `Mend that file: the server reads it every ${poll} s.`)];

const publish = (away, folder, poll) => [
  el("p", {}, "The server looks into ", el("code", {}, folder),
    ` every ${poll} s. Publish ${away === "withdrawn" ? "another run" : "a run"} there:`),
  el("pre", { tabindex: "0", "aria-label": "Command" }, "twinspire publish RUN"),
];

function state({ number, state: name, code, message }) {
  if (name === "LOADING") return `Version ${number} is being loaded.`;
  return code === "OK" ? "" : `Version ${number} was refused: ${message}`;
}
