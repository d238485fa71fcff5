// Keys, and what a page does between two answers of the server. Without scripts, forms and links still work.
"use strict";

const fields = () => [...document.querySelectorAll("[data-concept]")];
const writes = (element) => element.matches("textarea, select, input:not([type=radio]):not([type=checkbox])");
let shown = "label"; // which words are marked; it stays when the words are computed again
let replaced = false; // whether the part of the page that is renewed has the focus

function move(step) {
  const all = fields();
  const here = all.findIndex((field) => field.contains(document.activeElement));
  const next = all[Math.min(Math.max(here + step, 0), all.length - 1)];
  next?.querySelector("input[type=radio]:checked, input[type=radio]")?.focus();
}

function choose(number) {
  const here = fields().find((field) => field.contains(document.activeElement)) ?? fields()[0];
  const choice = here?.querySelectorAll("input[type=radio]")[number - 1];
  if (!choice) return;
  choice.focus();
  choice.click();
  if (document.querySelector("[data-label]")) move(1);
}

function press(value) {
  document.querySelector(`[data-label] button[value=${value}]`)?.click();
}

function view(name) {
  const words = document.getElementById("words");
  const choice = [...(words?.querySelectorAll("[data-view]") ?? [])].find((each) => each.dataset.view === name);
  if (!choice) return;
  shown = name;
  choice.checked = true;
  for (const part of words.querySelectorAll("[data-shows]")) part.hidden = part.dataset.shows !== name;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.key === "Escape") document.activeElement?.blur();
  if (writes(event.target)) return;
  const labels = document.querySelector("[data-label]");
  const keys = {
    j: () => move(1), k: () => move(-1),
    e: () => document.getElementById("text")?.focus(),
    c: () => { const part = document.getElementById("keep"); if (part) { part.open = true; part.querySelector("input").focus(); } },
    s: () => press("skip"), u: () => press("undo"),
    Enter: () => labels && event.target.matches("input[type=radio]") && press("save"),
  };
  if (/^[1-9]$/.test(event.key)) choose(Number(event.key));
  else if (keys[event.key]) keys[event.key]();
  else return;
  if (event.key !== "Enter" || (labels && event.target.matches("input[type=radio]"))) event.preventDefault();
});

document.addEventListener("change", (event) => {
  if (event.target.dataset.view) view(event.target.dataset.view);
});

document.addEventListener("htmx:beforeSwap", (event) => {
  replaced = event.detail.target.contains(document.activeElement);
});

// A renewed part may lack the element that had the focus. Then its first text gets the focus, or the part itself.
document.addEventListener("htmx:afterSettle", (event) => {
  const part = document.getElementById(event.detail.target.id);
  if (!replaced || !part || part.contains(document.activeElement)) return;
  part.tabIndex = -1;
  (part.querySelector("button.text") ?? part).focus();
  replaced = false;
});

document.addEventListener("htmx:afterSwap", (event) => {
  const swapped = event.detail.target.id;
  if (swapped !== "notice") document.getElementById("notice").replaceChildren();
  if (swapped === "words") view(shown);
  if (swapped === "outcome") htmx.trigger("#words", "reread");
  if (swapped === "question") document.querySelector("[data-concept] input[type=radio]")?.focus();
});

document.addEventListener("htmx:sendError", () => {
  document.getElementById("notice").textContent = "The workbench does not answer. Is it still running? Nothing that you typed is lost.";
});
