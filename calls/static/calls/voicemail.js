// A message that is played counts as heard: the server is told, and its label changes.
(() => {
  "use strict";

  const token = () => document.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "";

  const heard = async (player) => {
    const answer = await fetch(player.dataset.heard, { method: "POST", headers: { "X-CSRFToken": token() } });
    if (!answer.ok) return;
    delete player.dataset.heard;
    const place = player.closest("tr") ?? player.closest(".cb-headline");
    const label = place?.querySelector(".cb-label.cb-live");
    if (label) {
      label.textContent = "heard";
      label.classList.replace("cb-live", "cb-good");
    }
    document.dispatchEvent(new Event("cb:unheard"));
  };

  // Events of media do not bubble.
  document.addEventListener("play", (event) => {
    if (event.target instanceof HTMLMediaElement && event.target.dataset.heard) heard(event.target).catch(() => {});
  }, true);
})();
