// The cards of the report: filters, search, keys, and cards that are filled when they open. No library, no network.
"use strict";
(() => {
  const form = document.getElementById("filters");
  if (!form) return; // a report without explanations
  const list = document.getElementById("list");
  const count = document.getElementById("count");
  const LABEL = "label";

  const cards = [...list.querySelectorAll("details.card")].map((element) => ({
    element,
    text: element.querySelector(".text").textContent.toLowerCase(),
    predictions: JSON.parse(element.dataset.predictions), // of the label and each concept: state, gold (or null), confidence
  }));

  // A card's body waits in a template, which costs the browser no layout, until the card opens.
  const fill = (element) => element.querySelector("template")?.replaceWith(element.querySelector("template").content);
  list.addEventListener("toggle", (event) => event.target.open && fill(event.target), true);

  const currentFilter = () => Object.fromEntries(new FormData(form));

  function predictionsOf(card, variable) {
    if (variable !== "") return [card.predictions[variable]];
    return Object.entries(card.predictions).filter(([name]) => name !== LABEL).map(([, prediction]) => prediction);
  }

  function fits({ state, gold, confidence }, filter) {
    if (filter.state && state !== filter.state) return false;
    if (filter.error && (gold === null || (state === gold) !== (filter.error === "right"))) return false;
    if (!filter.confidence) return true;
    const [low, high] = filter.confidence.split(" ").map(Number);
    return confidence >= low && confidence < high;
  }

  function apply() {
    const filter = currentFilter();
    const words = filter.search.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of cards) {
      const fit =
        words.every((word) => card.text.includes(word)) &&
        predictionsOf(card, filter.variable).some((prediction) => fits(prediction, filter));
      card.element.hidden = !fit;
      shown += fit;
    }
    count.textContent = shown === cards.length ? `all ${shown} texts` : `${shown} of ${cards.length} texts`;
  }

  // Offer the states of the chosen variable.
  function offerStates(state = "") {
    const states = JSON.parse(form.variable.selectedOptions[0].dataset.states);
    form.state.replaceChildren(new Option("any state", ""), ...states.map((name) => new Option(name, name)));
    form.state.value = states.includes(state) ? state : "";
  }

  form.variable.addEventListener("change", () => offerStates(form.state.value));
  form.addEventListener("change", apply);
  form.search.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("clear").addEventListener("click", () => {
    form.reset();
    offerStates();
    apply();
  });
  document.getElementById("open").addEventListener("click", () => {
    const shown = cards.filter((card) => !card.element.hidden);
    const open = !shown.every((card) => card.element.open);
    for (const card of shown) card.element.open = open;
  });

  // A link to a card opens it, even if the filters hide it; a link with filters sets them.
  function show(id) {
    const card = cards.find((each) => `#${each.element.id}` === id);
    if (!card) return;
    card.element.hidden = false;
    card.element.open = true;
    fill(card.element);
    card.element.scrollIntoView();
    card.element.querySelector("summary").focus();
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-variable]");
    if (!link) {
      const other = event.target.closest('a[href^="#card-"]');
      if (other) setTimeout(() => show(other.hash));
      return;
    }
    form.search.value = form.confidence.value = "";
    form.variable.value = link.dataset.variable;
    form.error.value = link.dataset.error;
    offerStates(link.dataset.state);
    apply();
  });

  // Keys: / searches, Escape clears the search, j and k (or arrows) go from card to card; Enter opens by itself.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input, select, textarea");
    if (event.key === "/" && !typing) {
      event.preventDefault();
      form.search.focus();
    } else if (event.key === "Escape" && event.target === form.search) {
      form.search.value = "";
      apply();
    } else if (!typing || event.target === form.search) {
      step(event, typing);
    }
  });

  function step(event, typing) {
    const within = event.target.closest("details.card > summary");
    const down = event.key === "ArrowDown" || (event.key === "j" && !typing);
    const up = event.key === "ArrowUp" || (event.key === "k" && !typing);
    const byArrow = event.key.startsWith("Arrow");
    if (!(down || up) || (byArrow && !within && !typing)) return;
    const shown = cards.filter((card) => !card.element.hidden).map((card) => card.element.querySelector("summary"));
    const index = shown.indexOf(within) + (down ? 1 : -1);
    if (index < 0 || index >= shown.length) return;
    event.preventDefault();
    shown[index].focus();
  }

  offerStates(form.state.value); // a browser may keep the choices from before a reload
  apply();
  show(location.hash);
})();
