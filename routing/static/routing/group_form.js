// The form of a ring group: shows what a call would get if the form were saved as it is, and what is wrong with it.
"use strict";

(() => {
  const QUIET = 350; // milliseconds without a change before the server is asked
  const panel = document.querySelector("[data-preview-url]");
  const form = panel && panel.closest("form");
  const table = document.querySelector("#members-data");
  if (!form || !panel.dataset.previewUrl) return;

  const state = document.querySelector("#cb-preview-state");
  const typed = () => new URLSearchParams(new FormData(form));
  const shownFromServer = document.querySelector("#cb-twiml").textContent !== "";
  let asked = shownFromServer ? typed().toString() : "";
  let timer = 0;
  let request = null;

  const strategyOf = () => form.elements.strategy && form.elements.strategy.value;
  const showColumns = () => table && table.classList.toggle("cb-weightless", strategyOf() !== "weighted");

  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(ask, QUIET);
  };

  async function ask() {
    const body = typed();
    if (body.toString() === asked) return;
    asked = body.toString();
    if (request) request.abort();
    request = new AbortController();
    const mine = request;
    panel.classList.add("cb-waiting");
    try {
      const answer = await fetch(panel.dataset.previewUrl, {
        method: "POST",
        body,
        headers: { Accept: "application/json" },
        signal: mine.signal,
      });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      show(await answer.json());
    } catch (error) {
      if (error.name === "AbortError") return;
      asked = "";
      say(["The preview is not up to date: the server could not be asked. Saving checks the form all the same."]);
    }
    if (mine === request) panel.classList.remove("cb-waiting");
  }

  function show(found) {
    showErrors(found.errors);
    const wrong = [...found.rows];
    if (found.missing.length) wrong.push(`Still to fill in: ${[...new Set(found.missing)].join(", ")}.`);
    if (Object.keys(found.errors).length) wrong.push("Correct the marked fields to see what a call will do.");
    say(wrong);
    document.querySelectorAll("#cb-chain, .cb-panel").forEach((part) => {
      part.classList.toggle("cb-old", found.twiml === undefined);
    });
    if (found.twiml === undefined) return;
    document.querySelector("#cb-twiml").textContent = found.twiml;
    document.querySelector("#cb-why").replaceChildren(...found.why.map((text) => element("li", text)));
    document.querySelector("#cb-chain").replaceChildren(...found.chain.map(step));
  }

  function step({ name, summary }, index) {
    const line = element("p", "", "cb-step");
    if (index) line.append(element("strong", `Group ${name}: `));
    line.append(summary);
    return line;
  }

  function say(texts) {
    state.replaceChildren(...texts.map((text) => element("span", text)));
  }

  // Errors stand where Django's own do: below the field. Those that the page came with stay.
  function showErrors(errors) {
    form.querySelectorAll(".cb-live-error").forEach((old) => {
      const field = document.getElementById(old.dataset.field);
      if (field) {
        field.removeAttribute("aria-invalid");
        field.removeAttribute("aria-describedby");
      }
      old.remove();
    });
    for (const [id, texts] of Object.entries(errors)) {
      const field = document.getElementById(id);
      const place = field && (field.closest("td") || field.closest(".grow") || field.parentElement);
      if (!place) continue;
      const line = element("p", texts.join(" "), "cb-live-error");
      line.id = `${id}-live-error`;
      line.dataset.field = id;
      field.setAttribute("aria-invalid", "true");
      field.setAttribute("aria-describedby", line.id);
      place.append(line);
    }
  }

  function element(name, text, className = "") {
    const made = document.createElement(name);
    made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  form.addEventListener("input", later);
  form.addEventListener("change", () => { showColumns(); later(); });
  // Search fields (select2) tell jQuery only; rows that are dragged or added tell nobody.
  if (window.django && django.jQuery) django.jQuery(form).on("change", later);
  if (table) new MutationObserver(later).observe(table, { childList: true });
  document.addEventListener("pointerup", later);
  showColumns();
  later();
})();
