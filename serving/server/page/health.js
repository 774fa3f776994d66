// Health and latency at a glance, every few seconds while somebody can see it.

import { ask, server } from "./api.js";
import { $, el } from "./dom.js";

const EVERY = 3000; // milliseconds

/** Looks from now on; calls `looked` with the server's status each time. */
export function watchHealth(looked) {
  draw(null);
  server.addEventListener("gone", () => trouble("The server does not answer. Trying again every 3 seconds."));
  server.addEventListener("back", () => trouble(""));
  async function look() {
    try {
      const status = document.hidden ? null : await ask("GET", "status");
      if (status) {
        draw(status);
        looked(status);
      }
    } catch {
      draw(null); // what was wrong is said above
    }
    setTimeout(look, EVERY);
  }
  return look();
}

function trouble(words) {
  $("trouble").textContent = words;
}

function draw(status) {
  $("health").replaceChildren(el("dl", {}, (status ? facts(status) : unknown()).map(fact)));
}

function unknown() {
  return ["Version", "Processes", "Store", "p50", "p99", "Fallbacks"].map((name) => ({ name, value: "–" }));
}

function facts(status) {
  const { labels, processes, milliseconds, fallbacks, versions } = status;
  const served = Object.entries(labels).map(([label, number]) => `${number} ${label}`);
  const ready = processes.filter((one) => one.ready).length;
  const restarts = processes.reduce((sum, one) => sum + one.restarts, 0);
  const failed = versions.filter((one) => one.code !== "OK");
  const lists = Object.values(fallbacks).reduce((sum, one) => sum + one, 0);
  const reasons = Object.entries(fallbacks).map(([reason, many]) => `${many} ${reason}`).join(", ");
  const refused = failed.map((one) => `${one.number} ${one.code}: ${one.message}`).join("\n");
  return [
    {
      name: "Version", value: served.join(", ") || "none",
      more: refused ? `${failed[0].number} refused` : shares(status),
      well: served.length > 0 && !refused, title: refused,
    },
    {
      name: "Processes", value: `${ready}/${processes.length} ready`, more: restarts ? `${restarts} restarts` : "",
      well: ready > 0 && ready === processes.length,
    },
    { name: "Store", value: status.store ? "answers" : "down", well: status.store, title: status.store_trouble },
    { name: "p50", value: time(milliseconds.p50) },
    { name: "p99", value: time(milliseconds.p99) },
    { name: "Fallbacks", value: String(lists), more: reasons, well: lists === 0 },
  ];
}

const shares = ({ canary_share: share, labels }) => (labels.canary ? `canary ${Math.round(share * 100)} %` : "");
const time = (milliseconds) => (milliseconds === undefined ? "–" : `${milliseconds.toFixed(1)} ms`);

/** well: not given where a number speaks for itself. */
function fact({ name, value, more, well, title }) {
  const mark = () => el("span", { class: well ? "well" : "unwell", "aria-hidden": "true" }, well ? "✓" : "!");
  const said = [well === undefined ? null : mark(), value, more ? el("small", {}, more) : null];
  return el("div", { title: title || null }, el("dt", {}, name), el("dd", {}, said));
}
