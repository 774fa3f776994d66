// Runs inside a copy of a page and tells the frame around it what a person would see.
"use strict";
const errors = [];
addEventListener("error", (event) => errors.push(event.message));

/** Whether the element can be scrolled to what does not fit, by itself or inside a box that can. */
function scrolls(element) {
  for (let one = element; one && one !== document.documentElement; one = one.parentElement)
    if (/auto|scroll/.test(getComputedStyle(one).overflowX)) return true;
  return false;
}

function told(element, by) {
  const text = element.textContent.trim().replace(/\s+/g, " ").slice(0, 60);
  return `${element.tagName.toLowerCase()}.${element.getAttribute("class") || ""} "${text}" by ${Math.round(by)} px`;
}

function overflowing() {
  const found = [], page = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > page)
    found.push(`the page by ${document.documentElement.scrollWidth - page} px`);
  for (const element of document.body.querySelectorAll("*")) {
    if (element.closest("script, svg") || !element.getClientRects().length || scrolls(element)) continue;
    const box = element.getBoundingClientRect();
    if (box.right > page + 1) found.push(told(element, box.right - page));
    else if (element.clientWidth && element.scrollWidth > element.clientWidth + 1)
      found.push(told(element, element.scrollWidth - element.clientWidth));
  }
  for (const drawing of document.querySelectorAll("svg")) {
    const frame = drawing.getBoundingClientRect();
    for (const text of drawing.querySelectorAll("text")) {
      const box = text.getBoundingClientRect();
      const by = Math.max(frame.left - box.left, box.right - frame.right, frame.top - box.top, box.bottom - frame.bottom);
      if (frame.width && by > 2) found.push(told(text, by));
    }
  }
  return found;
}

/** Size of what is drawn inside each figure; nothing drawn has no size. */
function figures() {
  const found = {};
  for (const figure of document.querySelectorAll(".plot")) {
    const drawing = figure.querySelector("svg"), box = drawing && drawing.getBBox();
    const seen = drawing && drawing.getBoundingClientRect();
    const area = seen && seen.width * seen.height && drawing.querySelector("path, use, rect, circle");
    found[figure.getAttribute("aria-label")] = area ? [box.width, box.height] : [0, 0];
  }
  return found;
}

addEventListener("load", () => {
  for (const closed of document.querySelectorAll("details")) closed.open = false;
  const bottoms = {};
  for (const one of document.querySelectorAll("[id]"))
    if (!one.closest("svg")) bottoms[one.id] = one.getBoundingClientRect().bottom + scrollY;
  const height = document.documentElement.scrollHeight;
  for (const closed of document.querySelectorAll("details")) closed.open = true; // what is folded in must fit as well
  const requests = performance.getEntriesByType("resource").map((entry) => entry.name);
  const seen = { figures: figures(), overflowing: overflowing(), bottoms, requests, errors, height };
  parent.postMessage(JSON.stringify(seen), "*");
});
