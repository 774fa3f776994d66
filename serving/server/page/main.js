// The page: what can be asked is read first, then everything is drawn, and each part again when what it shows changes.

import { ask, server } from "./api.js";
import { choice, choose, onChoice } from "./choice.js";
import { drawControls } from "./controls.js";
import { $, el, failure } from "./dom.js";
import { watchHealth } from "./health.js";
import { searchItems } from "./items.js";
import { drawList } from "./list.js";
import { drawLiked, drawUser, searchUsers } from "./users.js";
import { drawWaiting } from "./waiting.js";

let catalogue = null;
let labels = null; // which versions answer, as last seen

async function draw() {
  try {
    catalogue = await ask("GET", "catalogue");
  } catch (error) {
    await drawNothing(error);
    return ready();
  }
  $("model").textContent = catalogue.model;
  document.title = `${catalogue.model} · twinspire`;
  drawControls(catalogue);
  searchItems(catalogue);
  await Promise.all([drawUser(catalogue), drawList()]);
  ready();
}

/** In place of what was there where no version answers any more; what is there stays where it was another failure. */
async function drawNothing(error) {
  const status = error.status === 503 ? await ask("GET", "status").catch(() => null) : null;
  if (status && !serves(status)) {
    catalogue = null;
    $("model").textContent = status.model;
    drawWaiting(status);
  } else if (catalogue === null) $("places").replaceChildren(failure(error, draw));
}

const serves = (status) => Object.keys(status.labels).length > 0;

/** Draws all again where other versions answer than before, or what there is to say while none does. */
function looked(status) {
  const before = labels;
  labels = JSON.stringify(status.labels);
  if (catalogue === null && !serves(status)) drawWaiting(status);
  else if (labels !== before && (before !== null || catalogue === null)) draw();
}

/** All is shown at once: nothing moves while it comes in. */
const ready = () => document.querySelector("main").removeAttribute("aria-busy");

function changed(names) {
  if (catalogue === null) return draw();
  if (names.includes("user") || names.includes("taken")) drawUser(catalogue);
  if (names.includes("liked")) drawLiked();
  if (names.includes("user")) history.replaceState(null, "", address());
  drawList();
}

const address = () => (choice.user === null ? location.pathname : `#user=${encodeURIComponent(choice.user)}`);

/** Who is named behind the #, so that a link leads to a user. */
function linked() {
  const user = new URLSearchParams(location.hash.slice(1)).get("user");
  return user || null;
}

document.body.append(el("p", { id: "toast", role: "status" }));
choice.user = linked();
searchUsers();
onChoice(changed);
addEventListener("hashchange", () => linked() !== choice.user && choose({ user: linked() }));
server.addEventListener("back", draw);
draw().then(() => watchHealth(looked));
