// Says what the theme leaves without a name: fields in the tables of a form (by their columns' heads), and what Select2
// makes of a field (by the field's label).
(() => {
  "use strict";

  const name = (element, text) => {
    if (text && !element.hasAttribute("aria-label")) element.setAttribute("aria-label", text);
  };

  const cells = (root) => {
    for (const field of root.querySelectorAll("td :is(input, select, textarea):not([type=hidden])")) {
      if (field.labels && field.labels.length) continue;
      const cell = field.closest("td");
      const head = cell.closest("table")?.tHead?.rows[0]?.cells[cell.cellIndex];
      name(field, head?.textContent.trim().replace(/\s+/g, " "));
    }
  };

  const choices = (root) => {
    for (const made of root.querySelectorAll(".select2-container")) {
      const field = made.previousElementSibling;
      const text = field?.labels?.[0]?.textContent.trim().replace(/\s*\*$/, "") || field?.getAttribute("aria-label");
      for (const part of made.querySelectorAll("[role=combobox], [role=textbox], input")) {
        // An id that leads to an empty text counts for more than the label.
        if (text && part.hasAttribute("aria-labelledby")) part.removeAttribute("aria-labelledby");
        name(part, text);
      }
    }
  };

  const all = () => {
    cells(document);
    choices(document);
  };

  const isNew = (node) => node.nodeType === Node.ELEMENT_NODE && node.matches(".select2-container, tr, tbody");

  document.addEventListener("DOMContentLoaded", () => {
    all();
    const watch = new MutationObserver((changes) => {
      if (changes.some(({ addedNodes }) => [...addedNodes].some(isNew))) all();
    });
    for (const form of document.querySelectorAll("form")) watch.observe(form, { childList: true, subtree: true });
  });
})();
