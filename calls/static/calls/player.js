// Plays recordings: waves to click into, keys, speed, and for two channels each side by itself.
"use strict";

(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const SPEEDS = [0.75, 1, 1.25, 1.5, 1.75, 2];
  const SIDES = ["Caller", "Callee"];
  const STEP = 5; // seconds
  let clips = 0;

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function svg(name, attributes = {}) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  function icon(name) {
    return element("span", { class: "material-symbols-outlined", "aria-hidden": "true" }, name);
  }

  function clock(seconds) {
    const whole = Math.max(0, Math.round(seconds || 0));
    return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
  }

  function wavePath(peaks) {
    return peaks.map((peak, index) => {
      const half = Math.max(0.6, (peak / 100) * 24);
      return `M${index} ${25 - half}h.7v${2 * half}h-.7z`;
    }).join("");
  }

  class Player {
    constructor(box) {
      this.box = box;
      this.audio = box.querySelector("audio");
      this.compact = "compact" in box.dataset;
      this.channels = Number(box.dataset.channels) || 1;
      this.length = Number(box.dataset.seconds) || 0;
      this.muted = [false, false];
      this.clips = [];
      this.build();
      box.player = this;
    }

    get seconds() {
      return Number.isFinite(this.audio.duration) && this.audio.duration > 0 ? this.audio.duration : this.length;
    }

    build() {
      this.audio.hidden = true;
      this.play = element("button", { type: "button", class: "cb-play", "aria-label": "Play" }, icon("play_arrow"));
      this.time = element("span", { class: "cb-clock" });
      this.waves = element("div", {
        class: "cb-waves", role: "slider", tabindex: "0", "aria-label": "Position in the recording", "aria-valuemin": "0",
      });
      this.trouble = element("span", { class: "cb-trouble", role: "status" });
      if (this.compact) {
        this.box.append(this.play, this.waves, this.time, this.trouble);
      } else {
        const controls = element("div", { class: "cb-controls" }, this.play, this.time, this.speed());
        if (this.channels === 2) controls.append(this.mute(0), this.mute(1));
        controls.append(this.trouble);
        this.box.append(controls, this.waves);
      }
      this.listen();
      this.show();
    }

    speed() {
      const select = element("select", { class: "cb-speed", "aria-label": "Speed" });
      for (const speed of SPEEDS) select.append(element("option", { value: speed }, `${speed}×`));
      select.value = "1";
      select.addEventListener("change", () => { this.audio.playbackRate = Number(select.value); });
      return select;
    }

    mute(side) {
      const name = SIDES[side].toLowerCase();
      const button = element("button", { type: "button", class: "cb-chip cb-on", "aria-pressed": "true" }, SIDES[side]);
      button.title = `Hear the ${name}`;
      button.addEventListener("click", () => {
        this.muted[side] = !this.muted[side];
        button.setAttribute("aria-pressed", String(!this.muted[side]));
        button.classList.toggle("cb-on", !this.muted[side]);
        this.waves.querySelectorAll(".cb-wave")[side]?.classList.toggle("cb-off", this.muted[side]);
        this.mix();
      });
      return button;
    }

    // Each side goes to its own ear; once one of them is muted, the other goes to both.
    mix() {
      if (!this.gains) {
        const context = new AudioContext();
        const splitter = context.createChannelSplitter(2);
        const merger = context.createChannelMerger(2);
        context.createMediaElementSource(this.audio).connect(splitter);
        this.gains = [0, 1].map((from) => [0, 1].map((to) => {
          const gain = context.createGain();
          splitter.connect(gain, from);
          gain.connect(merger, 0, to);
          return gain.gain;
        }));
        merger.connect(context.destination);
        context.resume();
      }
      for (const from of [0, 1]) {
        for (const to of [0, 1]) {
          this.gains[from][to].value = this.muted[from] ? 0 : Number(from === to || this.muted[1 - from]);
        }
      }
    }

    listen() {
      this.play.addEventListener("click", () => this.toggle());
      for (const name of ["timeupdate", "play", "pause", "ended", "loadedmetadata", "seeked"]) {
        this.audio.addEventListener(name, () => this.show());
      }
      this.audio.addEventListener("error", () => this.failed());
      this.waves.addEventListener("pointerdown", (event) => {
        this.waves.setPointerCapture(event.pointerId);
        this.seekTo(event);
      });
      this.waves.addEventListener("pointermove", (event) => { if (event.buttons) this.seekTo(event); });
      this.waves.addEventListener("keydown", (event) => this.key(event));
      if ("IntersectionObserver" in window) {
        const seen = new IntersectionObserver((entries) => {
          if (entries.some((entry) => entry.isIntersecting)) {
            seen.disconnect();
            this.draw();
          }
        });
        seen.observe(this.box);
      } else {
        this.draw();
      }
    }

    async draw() {
      try {
        const answer = await fetch(this.box.dataset.peaks, { headers: { Accept: "application/json" } });
        const shape = await answer.json();
        if (!answer.ok) throw new Error(shape.error);
        this.length = shape.seconds || this.length;
        const rows = this.compact ? [shape.peaks[0].map((_, at) => Math.max(...shape.peaks.map((row) => row[at])))] : shape.peaks;
        rows.forEach((row, side) => this.drawRow(row, side, rows.length));
        this.show();
      } catch (error) {
        this.trouble.textContent = error.message || "The waves cannot be shown.";
      }
    }

    drawRow(peaks, side, of) {
      const id = `cb-clip-${(clips += 1)}`;
      const picture = svg("svg", {
        class: "cb-wave", viewBox: `0 0 ${Math.max(1, peaks.length)} 50`, preserveAspectRatio: "none", "aria-hidden": "true",
      });
      const clip = svg("clipPath", { id });
      const heard = svg("rect", { x: 0, y: 0, width: 0, height: 50 });
      clip.append(heard);
      const path = wavePath(peaks);
      picture.append(clip, svg("path", { d: path }), svg("path", { d: path, class: "cb-heard", "clip-path": `url(#${id})` }));
      if (of === 2) this.waves.append(element("span", { class: "cb-side-name" }, SIDES[side]));
      this.waves.append(picture);
      if (this.muted[side] && of === 2) picture.classList.add("cb-off");
      this.clips.push([heard, peaks.length]);
    }

    toggle() {
      if (!this.audio.paused) return this.audio.pause();
      for (const other of document.querySelectorAll(".cb-audio")) {
        if (other !== this.box) other.player?.audio.pause();
      }
      return this.audio.play().catch(() => this.failed());
    }

    async failed() {
      this.trouble.textContent = "It cannot be played.";
      const answer = await fetch(this.audio.src, { method: "GET", headers: { Range: "bytes=0-0" } }).catch(() => null);
      if (answer && !answer.ok) this.trouble.textContent = (await answer.text()).slice(0, 300);
    }

    seek(seconds) {
      const to = Math.min(Math.max(0, seconds), this.seconds);
      if (this.audio.readyState === 0) {
        this.audio.addEventListener("loadedmetadata", () => { this.audio.currentTime = to; }, { once: true });
        this.audio.load();
      } else {
        this.audio.currentTime = to;
      }
      this.show(to);
    }

    seekTo(event) {
      const area = this.waves.getBoundingClientRect();
      this.seek(((event.clientX - area.left) / area.width) * this.seconds);
    }

    skip(seconds) {
      this.seek(this.audio.currentTime + seconds);
    }

    key(event) {
      const moves = {
        ArrowRight: STEP, ArrowUp: STEP, ArrowLeft: -STEP, ArrowDown: -STEP, PageUp: 30, PageDown: -30,
        Home: -Infinity, End: Infinity,
      };
      if (event.key in moves) this.seek(this.audio.currentTime + moves[event.key]);
      else if (event.key === " " || event.key === "Enter") this.toggle();
      else return;
      event.preventDefault();
      event.stopPropagation();
    }

    show(at = this.audio.currentTime) {
      const name = this.audio.paused ? "Play" : "Pause";
      if (this.play.getAttribute("aria-label") !== name) {
        this.play.setAttribute("aria-label", name);
        this.play.replaceChildren(icon(this.audio.paused ? "play_arrow" : "pause"));
      }
      const share = this.seconds ? at / this.seconds : 0;
      for (const [heard, width] of this.clips) heard.setAttribute("width", share * width);
      this.time.textContent = `${clock(at)} / ${clock(this.seconds)}`;
      this.waves.setAttribute("aria-valuemax", this.seconds.toFixed(1));
      this.waves.setAttribute("aria-valuenow", at.toFixed(1));
      this.waves.setAttribute("aria-valuetext", `${clock(at)} of ${clock(this.seconds)}`);
    }
  }

  for (const box of document.querySelectorAll(".cb-audio")) new Player(box);
})();
