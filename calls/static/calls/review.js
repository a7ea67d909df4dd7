// The list of recordings with the keyboard: move, play, seek, write a note or a tag, without leaving the list.
"use strict";

(() => {
  const rows = [...document.querySelectorAll("#result_list tr.data-row, #result_list tbody tr")].filter(
    (row, at, all) => row.querySelector(".cb-remarks") && all.indexOf(row) === at,
  );
  const said = document.getElementById("cb-review-said");
  if (!rows.length || !said) return;
  const dialogs = { "?": "cb-review-keys", n: "cb-review-note", t: "cb-review-tag" };
  let current = -1;

  const row = () => rows[current];
  const player = () => row()?.querySelector(".cb-audio")?.player;
  const nameOf = (of) => of.querySelector(".cb-call")?.textContent.trim() || "this call";

  function go(to) {
    const next = Math.min(Math.max(to, 0), rows.length - 1);
    if (next === current) return;
    const playing = player() && !player().audio.paused;
    player()?.audio.pause();
    row()?.classList.remove("cb-current");
    row()?.removeAttribute("aria-current");
    current = next;
    row().classList.add("cb-current");
    row().setAttribute("aria-current", "true");
    row().scrollIntoView({ block: "nearest" });
    said.textContent = `${current + 1} of ${rows.length}: ${nameOf(row())}`;
    if (playing) player()?.toggle();
  }

  function open(key) {
    const dialog = document.getElementById(dialogs[key]);
    if (!dialog || (key !== "?" && !row())) return;
    const of = dialog.querySelector("[data-of]");
    if (of) of.textContent = nameOf(row());
    const trouble = dialog.querySelector(".cb-trouble");
    if (trouble) trouble.textContent = "";
    dialog.showModal();
  }

  const keys = {
    j: () => go(current + 1),
    ArrowDown: () => go(current + 1),
    k: () => go(current - 1),
    ArrowUp: () => go(current - 1),
    ArrowLeft: () => player()?.skip(-5),
    ArrowRight: () => player()?.skip(5),
    " ": () => { if (current < 0) go(0); player()?.toggle(); },
    Enter: () => { if (row()) location.href = row().querySelector(".cb-call").href; },
    n: () => open("n"),
    t: () => open("t"),
    "?": () => open("?"),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || !(event.key in keys)) return;
    if (document.querySelector("dialog[open]")) return;
    const at = event.target;
    if (at.closest("input, textarea, select, [contenteditable], [role=slider], [role=combobox], [role=listbox]")) return;
    if ((event.key === " " || event.key === "Enter") && at.closest("a, button, summary")) return;
    event.preventDefault();
    keys[event.key]();
  });

  for (const [at, found] of rows.entries()) found.addEventListener("pointerdown", () => go(at));

  function remark(of, answer) {
    const box = of.querySelector(".cb-remarks");
    const notes = box.querySelector(".cb-quiet");
    for (const chip of box.querySelectorAll(".cb-chip")) chip.remove();
    for (const tag of answer.tags) {
      const chip = document.createElement("span");
      chip.className = "cb-chip";
      chip.textContent = tag;
      notes.before(chip);
    }
    notes.textContent = answer.notes ? `${answer.notes} ${answer.notes === 1 ? "note" : "notes"}` : "";
  }

  async function send(form, url) {
    const answer = await fetch(url, { method: "POST", body: new FormData(form), headers: { Accept: "application/json" } });
    const told = answer.headers.get("Content-Type")?.includes("json") ? await answer.json() : {};
    if (!answer.ok) throw new Error(told.error || `It was not kept (HTTP ${answer.status}). Log in again in another tab?`);
    return told;
  }

  for (const [key, id] of Object.entries(dialogs)) {
    const dialog = document.getElementById(id);
    if (!dialog || key === "?") continue;
    const form = dialog.querySelector("form");
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const of = row();
      const urls = of.querySelector(".cb-remarks").dataset;
      try {
        const told = await send(form, key === "n" ? urls.noteUrl : urls.tagUrl);
        remark(of, told);
        said.textContent = told.message;
        form.reset();
        dialog.close();
      } catch (error) {
        dialog.querySelector(".cb-trouble").textContent = error.message;
      }
    });
  }

  const help = document.querySelector("[data-review-help]");
  if (help) {
    help.hidden = false;
    help.addEventListener("click", () => open("?"));
  }
})();
