// The page of a call: filters of the timeline, opening and copying SIP messages, and staying up to date while it lasts.
"use strict";

(() => {
  const KEY = "cordboard.timeline.hidden";

  function hiddenKinds() {
    try {
      return new Set(JSON.parse(sessionStorage.getItem(KEY) || "[]"));
    } catch {
      return new Set();
    }
  }

  function setUpFilters() {
    const box = document.querySelector("#timeline .cb-filters");
    if (!box) return;
    const hidden = hiddenKinds();
    const show = () => {
      for (const button of box.querySelectorAll("button")) {
        const on = !hidden.has(button.dataset.kind);
        button.setAttribute("aria-pressed", String(on));
        button.classList.toggle("cb-on", on);
      }
      for (const line of document.querySelectorAll("#timeline li[data-kind]")) {
        line.hidden = hidden.has(line.dataset.kind);
      }
    };
    box.addEventListener("click", (event) => {
      const kind = event.target.closest("button")?.dataset.kind;
      if (!kind) return;
      if (!hidden.delete(kind)) hidden.add(kind);
      sessionStorage.setItem(KEY, JSON.stringify([...hidden]));
      show();
    });
    box.hidden = false;
    show();
  }

  async function copy(text) {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const area = document.createElement("textarea"); // pages of plain http have no clipboard
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }

  function setUpLadder() {
    const ladder = document.querySelector(".cb-ladder");
    if (!ladder) return;
    for (const button of ladder.querySelectorAll("[data-copy]")) {
      button.hidden = false;
      button.addEventListener("click", async () => {
        await copy(button.closest(".cb-message").querySelector("pre").textContent);
        button.textContent = "Copied";
      });
    }
    const all = document.querySelector("[data-open-all]");
    all.hidden = false;
    all.addEventListener("click", () => {
      const messages = [...ladder.querySelectorAll("details")];
      const open = messages.some((message) => !message.open);
      for (const message of messages) message.open = open;
      all.textContent = open ? "Close all" : "Open all";
    });
  }

  // Somebody who reads, types or listens is not interrupted.
  function busy() {
    const focused = document.activeElement;
    const typing = focused && focused.matches("input, textarea, select");
    const playing = [...document.querySelectorAll("audio")].some((audio) => !audio.paused || audio.currentTime > 0);
    const written = [...document.querySelectorAll("#notes .cb-input")].some((input) => input.value);
    const selected = String(document.getSelection() || "") !== "";
    return typing || playing || written || selected || document.querySelector("#content-main details[open]") !== null;
  }

  function setUpReload() {
    const seconds = Number(document.getElementById("content-main")?.dataset.reload || 0);
    if (!seconds) return;
    setInterval(() => {
      if (!document.hidden && !busy()) location.reload();
    }, seconds * 1000);
  }

  setUpFilters();
  setUpLadder();
  setUpReload();
})();
