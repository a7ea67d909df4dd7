// The number of unheard voicemail messages beside the sidebar's link to them.
(() => {
  "use strict";

  const PATH = "/calls/voicemailmessage/";

  const show = (link, { unheard, most }) => {
    let badge = link.querySelector(".cb-unheard");
    if (!unheard) return badge?.remove();
    if (!badge) {
      badge = document.createElement("span");
      badge.className = "cb-unheard";
      link.append(badge);
    }
    badge.textContent = unheard < most ? String(unheard) : `${most - 1}+`;
    badge.title = unheard === 1 ? "1 message that nobody has heard" : `${badge.textContent} messages that nobody has heard`;
  };

  const look = async () => {
    const links = document.querySelectorAll(`#nav-sidebar-apps a[href$="${PATH}"]`);
    if (!links.length || document.hidden) return;
    const answer = await fetch(`${new URL(links[0].href).pathname}unheard/`, { headers: { Accept: "application/json" } });
    if (!answer.ok || answer.redirected) return;
    const found = await answer.json();
    links.forEach((link) => show(link, found));
  };

  const start = () => {
    const again = () => look().catch(() => {});
    again();
    document.addEventListener("cb:unheard", again);
    document.addEventListener("visibilitychange", again); // somebody comes back to this tab
  };

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
