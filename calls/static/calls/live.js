// The live board: asks for what has changed, and touches only the rows that have.
"use strict";

(() => {
  const page = document.getElementById("live");
  if (!page) return;

  const POLL = 700, LOST_POLL = 2000, PATIENCE = 8000; // milliseconds
  const ENDED_SHOWN = 4000;
  const TONES = {
    "queued": "quiet", "ringing": "busy", "talking": "good", "on hold": "quiet", "in queue": "busy",
    "in conference": "live", "in application": "live", "ended": "quiet",
  };
  const may = Boolean(page.dataset.may);
  const table = page.querySelector("table.cb-live");
  const filter = page.querySelector(".cb-live-filter");
  const byId = (id) => document.getElementById(id);
  const calls = new Map(); // by SID, calls and legs: {row, tr, parts, ended}
  const waiting = new Map(); // what the browser itself knows of a change that was asked for, by SID
  let version = "", away = {}, offset = 0, more = false, running = true, lastSeen = Date.now(), timer = 0, busy = false;

  const make = (name, className, text) => {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text) element.textContent = text;
    return element;
  };
  const put = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  const url = (pattern, sid) => pattern.replace("SID", encodeURIComponent(sid));
  const clock = (milliseconds) => {
    const whole = Math.max(0, Math.floor(milliseconds / 1000));
    const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60].map(String);
    return h === "0" ? `${m}:${s.padStart(2, "0")}` : `${h}:${m.padStart(2, "0")}:${s.padStart(2, "0")}`;
  };
  const nameOf = (row) => `${row.from} → ${row.endpoint || row.to}`;

  // Rows
  const button = (icon, title, tone, act) => {
    const made = make("button", `cb-act ${tone}`);
    const symbol = make("span", "material-symbols-outlined", icon);
    symbol.setAttribute("aria-hidden", "true");
    made.type = "button";
    made.title = title;
    made.append(symbol);
    made.addEventListener("click", act);
    return made;
  };

  const build = (row) => {
    const tr = make("tr", row.parent ? "cb-live-leg" : "cb-live-call");
    const cell = (name) => { const td = make("td", `cb-live-${name}`); tr.append(td); return td; };
    const parts = { who: cell("who"), to: cell("to"), state: cell("state"), time: cell("time"), account: cell("account"), region: cell("region"), engine: cell("engine") };
    parts.link = make("a", "cb-link");
    parts.link.href = url(page.dataset.call, row.id);
    parts.sub = make("span", "cb-live-sub");
    (row.parent ? parts.to : parts.who).append(parts.link);
    parts.dialled = make("span");
    if (!row.parent) parts.to.append(parts.dialled);
    parts.to.append(parts.sub);
    parts.label = make("span", "cb-label");
    parts.note = make("span", "cb-live-sub");
    parts.state.append(parts.label, parts.note);
    if (may) {
      parts.acts = cell("acts");
      if (!row.parent) {
        parts.redirect = button("redo", "Send to …", "", () => open("redirect", row.id));
        parts.acts.append(parts.redirect);
      }
      parts.hangup = button("call_end", "Hang up", "cb-act-bad", () => open("hangup", row.id));
      parts.acts.append(parts.hangup);
    }
    return { row, tr, parts, ended: 0 };
  };

  const draw = (one) => {
    const { row, parts } = one;
    put(parts.link, row.parent ? (row.endpoint || row.to) : row.from);
    put(parts.dialled, row.to);
    put(parts.sub, row.parent ? (row.endpoint ? row.address : "") : [row.group || row.endpoint, row.inbound ? "" : "outbound"].filter(Boolean).join(" · "));
    put(parts.account, row.parent ? "" : row.account);
    put(parts.region, row.region);
    put(parts.engine, row.parent ? "" : row.engine);
    const state = one.ended ? "ended" : row.state;
    put(parts.label, row.in && !one.ended ? `${state} ${row.in}` : state);
    parts.label.className = `cb-label cb-${TONES[state] || "quiet"}`;
    one.tr.classList.toggle("cb-live-ended", Boolean(one.ended));
    if (parts.hangup) {
      parts.hangup.setAttribute("aria-label", `Hang up ${nameOf(row)}`);
      if (parts.redirect) parts.redirect.setAttribute("aria-label", `Send ${nameOf(row)} to …`);
      for (const act of [parts.hangup, parts.redirect]) if (act) act.hidden = Boolean(one.ended) || (act === parts.redirect && row.state === "queued");
    }
    tick(one);
  };

  const tick = (one) => {
    const { row, parts } = one, now = Date.now() + offset;
    const gone = away[row.engine];
    const said = one.ended ? (waiting.get(row.id) ? "Ended, as asked for." : "") : row.asked || waiting.get(row.id) || "";
    if (gone && !one.ended) {
      put(parts.time, "–");
      const told = row.parent && calls.has(row.parent) ? "" : `engine not seen for ${clock(now - gone.seen)}`;
      put(parts.note, [told, said].filter(Boolean).join(" · "));
      return;
    }
    put(parts.time, clock((one.ended || now) - row.since));
    put(parts.note, said);
  };

  const place = (one) => { // calls newest first, legs in the order they were dialled
    const { row, tr } = one, parent = row.parent && calls.get(row.parent);
    if (parent) {
      const after = [...parent.tr.parentNode.children].find((other) => other !== parent.tr && calls.get(other.dataset.sid).row.start > row.start);
      parent.tr.parentNode.insertBefore(tr, after || null);
      return;
    }
    const body = make("tbody");
    body.append(tr);
    const before = [...table.tBodies].find((other) => calls.get(other.rows[0].dataset.sid).row.start < row.start);
    table.insertBefore(body, before || null);
  };

  const remove = (sid) => {
    const one = calls.get(sid);
    if (!one || one.tr.contains(document.activeElement) || dialogOf === sid) return false;
    const body = one.tr.parentNode;
    one.tr.remove();
    calls.delete(sid);
    waiting.delete(sid);
    if (body && !body.rows.length) body.remove();
    return true;
  };

  const apply = (told, first) => {
    version = told.version;
    away = told.engines;
    more = told.more;
    running = told.running;
    offset = told.now - Date.now();
    const fresh = told.rows.filter((row) => !calls.has(row.id));
    const known = new Set(told.rows.map((row) => row.id));
    const gone = told.full ? [...calls.keys()].filter((sid) => !known.has(sid)) : told.gone;
    // Calls before their legs, which go under them.
    for (const row of told.rows.slice().sort((a, b) => (a.parent ? 1 : 0) - (b.parent ? 1 : 0) || b.start - a.start)) {
      let one = calls.get(row.id);
      if (one) { one.row = row; one.ended = 0; } else {
        one = build(row);
        one.tr.dataset.sid = row.id;
        calls.set(row.id, one);
        place(one);
        if (!first) one.tr.classList.add("cb-live-new");
      }
      draw(one);
    }
    for (const sid of gone) {
      const one = calls.get(sid);
      if (one && !one.ended) { one.ended = Date.now() + offset; draw(one); }
    }
    if (fresh.length || first) offer();
    sift();
    engines();
    announce(fresh.filter((row) => !row.parent).length, first);
  };

  const engines = () => {
    const names = !running ? [] : Object.keys(away).filter((name) => [...calls.values()].some((one) => one.row.engine === name && !one.ended));
    const missing = `Not heard of: ${names.length > 1 ? "engines" : "engine"} ${names.join(", ")}. The calls there are shown as they were last known.`;
    byId("live-engines").hidden = running && !names.length;
    put(byId("live-engines"), !running ? "No engine is running: calls are not answered. Start ./cordboard up." : names.length ? missing : "");
  };

  let announcedAt = 0, unsaid = 0;
  const announce = (fresh, first) => {
    unsaid += first ? 0 : fresh;
    const live = [...calls.values()].filter((one) => !one.ended);
    const top = live.filter((one) => !one.row.parent).length;
    put(byId("live-status"), `${top} ${top === 1 ? "call" : "calls"}, ${live.length - top} dialled ${live.length - top === 1 ? "leg" : "legs"} in progress${more ? " (the newest are shown)" : ""}`);
    if (unsaid && Date.now() - announcedAt > 5000) {
      put(byId("live-said"), `${unsaid} new ${unsaid === 1 ? "call" : "calls"}, ${top} in progress`);
      announcedAt = Date.now();
      unsaid = 0;
    }
  };

  // Filter
  const wanted = () => Object.fromEntries([...new FormData(filter)].map(([name, value]) => [name, value.trim()]));
  const offer = () => {
    for (const name of ["account", "region", "engine"]) {
      const select = filter.elements[name], have = new Set([...select.options].map((option) => option.value));
      for (const value of new Set([...calls.values()].map((one) => one.row[name]))) if (value && !have.has(value)) select.add(new Option(value, value));
    }
  };
  const sift = () => {
    const { q, ...exact } = wanted(), text = (q || "").toLowerCase();
    let shown = 0;
    const matches = ({ row }) => (!text || [row.from, row.to, row.address, row.group, row.endpoint, row.id, row.in].some((value) => value.toLowerCase().includes(text)))
      && Object.entries(exact).every(([name, value]) => !value || row[name] === value);
    for (const body of table.tBodies) {
      const hidden = ![...body.rows].some((tr) => matches(calls.get(tr.dataset.sid)));
      if (body.hidden !== hidden) body.hidden = hidden;
      shown += hidden ? 0 : 1;
    }
    byId("live-none").hidden = calls.size > 0;
    byId("live-no-match").hidden = !calls.size || shown > 0;
    table.hidden = !shown;
  };
  const filtered = () => {
    const chosen = new URLSearchParams(Object.entries(wanted()).filter(([, value]) => value));
    history.replaceState(null, "", `#${chosen}`);
    sift();
  };
  const fromAddress = () => {
    for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
      const field = filter.elements[name];
      if (!field) continue;
      if (field.options && ![...field.options].some((option) => option.value === value)) field.add(new Option(value, value));
      field.value = value;
    }
    sift();
  };
  filter.addEventListener("input", filtered);
  filter.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", fromAddress);
  byId("live-clear").addEventListener("click", () => { filter.reset(); filtered(); });

  // Asking
  const lost = (text) => { byId("live-lost").hidden = !text; put(byId("live-lost"), text); };
  const poll = async () => {
    clearTimeout(timer);
    if (busy || document.hidden) return;
    busy = true;
    let next = POLL;
    try {
      const response = await fetch(page.dataset.rows, { headers: { "If-None-Match": `"${version}"` }, cache: "no-store", redirect: "error", credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE) });
      if (response.status === 403) throw new Error("forbidden");
      if (response.status !== 304 && !response.ok) throw new Error(`HTTP ${response.status}`);
      if (response.status === 200) apply(await response.json(), false);
      lastSeen = Date.now();
      lost("");
    } catch (error) {
      lost(`Connection lost, last seen ${new Date(lastSeen).toLocaleTimeString()}. Trying again; reload the page if you have been logged out.`);
      next = LOST_POLL;
    } finally {
      busy = false;
      if (!document.hidden) timer = setTimeout(poll, next);
    }
  };
  document.addEventListener("visibilitychange", poll);
  setInterval(() => {
    if (document.hidden) return;
    const now = Date.now() + offset;
    for (const [sid, one] of calls) {
      if (!one.ended) { if (!one.tr.parentNode.hidden) tick(one); } else if (now - one.ended > ENDED_SHOWN) remove(sid);
    }
    sift();
  }, 500);

  // Changing
  let dialogOf = "";
  const open = (kind, sid) => {
    const dialog = byId(`live-${kind}`), one = calls.get(sid);
    if (!one || one.ended) return;
    dialogOf = sid;
    put(dialog.querySelector("[data-call-name]"), nameOf(one.row));
    complain(dialog, "");
    dialog.showModal();
    if (kind === "redirect") find();
  };
  const complain = (dialog, text) => {
    const where = dialog.querySelector(".cb-dialog-error");
    where.hidden = !text;
    put(where, text);
  };
  const send = async (dialog, pattern, values) => {
    const sid = dialogOf, confirm = dialog.querySelector("[data-confirm]");
    confirm.disabled = true;
    try {
      const token = page.querySelector("[name=csrfmiddlewaretoken]").value;
      const response = await fetch(url(pattern, sid), { method: "POST", headers: { "X-CSRFToken": token }, body: new URLSearchParams(values), redirect: "error", credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE) });
      const told = (response.headers.get("Content-Type") || "").includes("json") ? await response.json() : { ok: false, text: `It was not done: HTTP ${response.status}.` };
      if (!told.ok && !told.over) return complain(dialog, told.text);
      waiting.set(sid, told.text);
      byId("live-said").textContent = told.text;
      dialog.close();
      if (calls.has(sid)) tick(calls.get(sid));
      poll();
    } catch (error) {
      complain(dialog, "It was not asked for: there is no connection. Try again.");
    } finally {
      confirm.disabled = false;
    }
  };

  let asked = 0;
  const find = async () => {
    const form = byId("live-redirect").querySelector("form"), kind = form.elements.kind.value, number = ++asked;
    for (const part of form.querySelectorAll("[data-for]")) part.hidden = (part.dataset.for === "url") !== (kind === "url");
    if (kind === "url") return;
    put(form.querySelector("[data-target-name]"), kind === "group" ? "Ring group" : "Endpoint");
    try {
      const query = new URLSearchParams({ call: dialogOf, q: form.elements.find.value });
      const response = await fetch(`${page.dataset.targets}?${query}`, { credentials: "same-origin", redirect: "error", signal: AbortSignal.timeout(PATIENCE) });
      const told = await response.json();
      if (number !== asked) return; // a later one is on its way
      const found = told[kind] || [];
      form.elements.target.replaceChildren(...found.map((one, index) => new Option(one.text, one.value, false, found.length === 1 && index === 0)));
      form.elements.target.disabled = !found.length;
      put(byId("live-target-none"), found.length ? "" : `The account ${calls.get(dialogOf)?.row.account || ""} has no such ${kind === "group" ? "ring group" : "endpoint"}.`);
    } catch (error) {
      complain(byId("live-redirect"), "The list could not be fetched. Try again.");
    }
  };

  if (may) {
    const hangup = byId("live-hangup"), redirect = byId("live-redirect"), form = redirect.querySelector("form");
    hangup.querySelector("[data-confirm]").addEventListener("click", () => send(hangup, page.dataset.hangup, {}));
    redirect.querySelector("[data-confirm]").addEventListener("click", () => {
      const kind = form.elements.kind.value;
      send(redirect, page.dataset.redirect, { kind, value: kind === "url" ? form.elements.url.value.trim() : form.elements.target.value });
    });
    form.elements.kind.addEventListener("input", find);
    form.elements.find.addEventListener("input", find);
    // Enter in a field confirms; the browser's own way would press the first button, which may be the wrong one.
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.target.tagName === "BUTTON") return;
      event.preventDefault();
      redirect.querySelector("[data-confirm]").click();
    });
    for (const dialog of [hangup, redirect]) dialog.addEventListener("close", () => { dialogOf = ""; });
  }

  apply(JSON.parse(byId("live-board").textContent), true);
  fromAddress();
  timer = setTimeout(poll, POLL);
})();
