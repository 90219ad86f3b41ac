// A clip for the eye and the ear: outline, strangeness and log-mel spectrogram on one time axis that zooms, with the
// suspicious seconds and bands drawn on. Draws what portal/listener.py sends; follows and moves the <audio> element
// that Streamlit shows in the container of class `data.player`.

const OUTLINE_H = 72, STRENGTH_H = 26, SPECTROGRAM_H = 210, AXIS_H = 22, GAP = 4;
const ODD = "239, 68, 68", BAND = { more: "#fbbf24", less: "#22d3ee", same: "#f5f5f4" };
// Dark to bright in even steps of lightness, readable for the colour-blind; sampled from the usual "magma" ramp.
const RAMP = [[0, 0, 4], [28, 16, 68], [79, 18, 123], [129, 37, 129], [181, 54, 122], [229, 80, 100], [251, 135, 97], [254, 194, 135], [252, 253, 191]];

const mel = (hertz) => 2595 * Math.log10(1 + hertz / 700);
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

function colour(level) {
  const at = (level / 255) * (RAMP.length - 1), below = Math.min(RAMP.length - 2, Math.floor(at)), part = at - below;
  return RAMP[below].map((channel, i) => Math.round(channel + part * (RAMP[below + 1][i] - channel)));
}

async function paint(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.width;
  canvas.height = image.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, image.width, image.height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    [pixels.data[i], pixels.data[i + 1], pixels.data[i + 2]] = colour(pixels.data[i]);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

class Listener {
  constructor(root) {
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.readout = root.querySelector(".readout");
    this.view = null;
    this.drag = null;
    this.hover = null;
    this.pointers = new Map();
    this.abort = new AbortController();
    const on = (target, event, act) => target.addEventListener(event, act, { signal: this.abort.signal });
    on(this.canvas, "pointerdown", (e) => this.down(e));
    on(this.canvas, "pointermove", (e) => this.move(e));
    on(this.canvas, "pointerup", (e) => this.up(e));
    on(this.canvas, "pointercancel", (e) => { this.pointers.delete(e.pointerId); this.drag = null; this.draw(); });
    on(this.canvas, "pointerleave", () => { this.hover = null; this.draw(); });
    on(this.canvas, "dblclick", () => this.show(0, this.data.duration));
    on(this.canvas, "wheel", (e) => {
      if (!(e.ctrlKey || e.metaKey)) return; // a plain wheel scrolls the page
      e.preventDefault();
      this.zoom(Math.exp(e.deltaY / 300), this.time(e));
    });
    on(this.canvas, "keydown", (e) => this.key(e));
    root.querySelector(".in").onclick = () => this.zoom(0.5);
    root.querySelector(".out").onclick = () => this.zoom(2);
    root.querySelector(".whole").onclick = () => this.show(0, this.data.duration);
    root.querySelector(".jump").onclick = () => this.jump();
    on(window.matchMedia("(prefers-color-scheme: dark)"), "change", () => requestAnimationFrame(() => this.draw()));
    this.resize = new ResizeObserver(() => this.draw());
    this.resize.observe(this.canvas);
    const follow = () => {
      if (this.abort.signal.aborted) return;
      const audio = this.audio();
      if (audio && audio.currentTime !== this.shownAt) this.keepInView(audio), this.draw();
      requestAnimationFrame(follow);
    };
    requestAnimationFrame(follow);
  }

  stop() {
    this.abort.abort();
    this.resize.disconnect();
  }

  async update(data) {
    const another = !this.data || this.data.id !== data.id;
    this.data = data;
    if (another || !this.view) this.view = { from: 0, to: data.duration };
    for (const [name, text] of Object.entries(data.labels.buttons)) {
      const button = this.root.querySelector("." + name);
      button.title = text;
      button.setAttribute("aria-label", text);
    }
    this.root.querySelector(".jump").textContent = data.labels.buttons.jump;
    this.root.querySelector(".jump").hidden = data.seconds.length === 0;
    this.canvas.setAttribute("aria-label", data.labels.alt);
    const legend = this.root.querySelector(".legend");
    legend.replaceChildren(...data.labels.legend.map(([kind, text]) => {
      const item = document.createElement("span");
      item.className = kind;
      item.textContent = text;
      return item;
    }));
    this.draw();
    if (this.painted !== data.spectrogram) {
      this.image = await paint(data.spectrogram);
      this.painted = data.spectrogram;
    }
    this.draw();
    this.canvas.dataset.drawn = data.id;
    if (data.seconds.length) this.canvas.dataset.marked = `${data.seconds[0].start_s}-${data.seconds[0].end_s}`;
    else delete this.canvas.dataset.marked;
  }

  // What is heard

  audio() {
    return document.querySelector(`.${this.data?.player} audio`);
  }

  seek(time, play = false) {
    const audio = this.audio();
    if (!audio) return;
    audio.currentTime = clamp(time, 0, this.data.duration - 0.01);
    if (play) audio.play().catch(() => {});
    this.draw();
  }

  jump() {
    const oddest = this.data.seconds.reduce((a, b) => (b.strength > a.strength ? b : a));
    this.seek(Math.max(0, oddest.start_s - 0.3), true);
  }

  keepInView(audio) {
    const { from, to } = this.view, span = to - from;
    if (!audio.paused && span < this.data.duration && (audio.currentTime > to || audio.currentTime < from)) {
      this.show(audio.currentTime, audio.currentTime + span);
    }
  }

  // What is shown

  show(from, to) {
    const span = clamp(to - from, Math.min(0.1, this.data.duration), this.data.duration);
    from = clamp(from, 0, this.data.duration - span);
    this.view = { from, to: from + span };
    this.draw();
  }

  zoom(factor, around) {
    const { from, to } = this.view, centre = around ?? this.audio()?.currentTime ?? (from + to) / 2;
    const fixed = centre >= from && centre <= to ? centre : (from + to) / 2;
    this.show(fixed - (fixed - from) * factor, fixed + (to - fixed) * factor);
  }

  time(event) {
    const box = this.canvas.getBoundingClientRect();
    return this.view.from + ((event.clientX - box.left) / box.width) * (this.view.to - this.view.from);
  }

  // Where the spectrogram begins: below the outline and, where it is known, the strangeness.
  top() {
    return OUTLINE_H + GAP + (this.data.strength.length ? STRENGTH_H + GAP : 0);
  }

  frequency(event) {
    const box = this.canvas.getBoundingClientRect(), top = this.top();
    const share = 1 - (event.clientY - box.top - top) / SPECTROGRAM_H;
    if (share < 0 || share > 1) return null;
    const low = mel(this.data.edges_hz[0]), high = mel(this.data.edges_hz.at(-1));
    return 700 * (10 ** ((low + share * (high - low)) / 2595) - 1);
  }

  down(event) {
    this.pointers.set(event.pointerId, event.clientX);
    this.canvas.setPointerCapture(event.pointerId);
    this.drag = { from: this.time(event), to: null, x: event.clientX, view: { ...this.view }, touch: event.pointerType === "touch" };
  }

  move(event) {
    this.hover = { time: this.time(event), hertz: this.frequency(event) };
    if (this.pointers.has(event.pointerId)) {
      const before = [...this.pointers.values()];
      this.pointers.set(event.pointerId, event.clientX);
      const now = [...this.pointers.values()];
      if (now.length === 2) {
        this.drag = null;
        const spread = Math.abs(now[0] - now[1]);
        if (spread > 10) this.zoom(Math.abs(before[0] - before[1]) / spread);
      } else if (this.drag?.touch) {
        const box = this.canvas.getBoundingClientRect(), span = this.drag.view.to - this.drag.view.from;
        const moved = ((event.clientX - this.drag.x) / box.width) * span;
        this.show(this.drag.view.from - moved, this.drag.view.to - moved);
      } else if (this.drag && Math.abs(event.clientX - this.drag.x) > 5) {
        this.drag.to = this.time(event);
      }
    }
    this.draw();
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    const drag = this.drag;
    this.drag = null;
    if (!drag) return;
    if (drag.to !== null) this.show(Math.min(drag.from, drag.to), Math.max(drag.from, drag.to));
    else if (Math.abs(event.clientX - drag.x) <= 5) this.seek(drag.from);
  }

  key(event) {
    const audio = this.audio(), step = (this.view.to - this.view.from) / 20;
    const acts = {
      ArrowRight: () => this.seek((audio?.currentTime ?? 0) + step),
      ArrowLeft: () => this.seek((audio?.currentTime ?? 0) - step),
      "+": () => this.zoom(0.5),
      "-": () => this.zoom(2),
      "0": () => this.show(0, this.data.duration),
      " ": () => audio && (audio.paused ? audio.play().catch(() => {}) : audio.pause()),
    };
    if (acts[event.key]) event.preventDefault(), acts[event.key]();
  }

  draw() {
    const { data, canvas, view } = this, width = canvas.clientWidth;
    if (!data || !width) return;
    const scale = window.devicePixelRatio || 1, style = getComputedStyle(canvas);
    const text = style.getPropertyValue("--st-text-color") || style.color, font = style.getPropertyValue("--st-font") || "sans-serif";
    const top = this.top(), bottom = top + SPECTROGRAM_H, height = bottom + AXIS_H;
    canvas.style.height = height + "px";
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const c = canvas.getContext("2d");
    c.scale(scale, scale);
    c.clearRect(0, 0, width, height);
    c.font = `11px ${font}`;
    const x = (time) => ((time - view.from) / (view.to - view.from)) * width;
    const strengthTop = OUTLINE_H + GAP;
    const low = mel(data.edges_hz[0]), high = mel(data.edges_hz.at(-1));
    const y = (hertz) => bottom - ((mel(hertz) - low) / (high - low)) * SPECTROGRAM_H;

    // Outline
    const columns = data.outline.length / 2, middle = OUTLINE_H / 2;
    c.fillStyle = style.getPropertyValue("--st-primary-color") || "#3b82f6";
    for (let px = 0; px < width; px++) {
      const first = Math.floor(((view.from + (px / width) * (view.to - view.from)) / data.duration) * columns);
      const last = Math.max(first + 1, Math.ceil(((view.from + ((px + 1) / width) * (view.to - view.from)) / data.duration) * columns));
      let least = 100, most = -100;
      for (let i = first; i < Math.min(last, columns); i++) {
        least = Math.min(least, data.outline[2 * i]);
        most = Math.max(most, data.outline[2 * i + 1]);
      }
      if (most >= least) c.fillRect(px, middle - (most / 100) * (middle - 2), 1, Math.max(1, ((most - least) / 100) * (middle - 2)));
    }

    // How odd, moment by moment
    if (data.strength.length) {
      c.fillStyle = `rgba(${ODD}, 0.75)`;
      c.beginPath();
      const at = (i) => x(data.strength_from + i * data.strength_step);
      c.moveTo(at(0), strengthTop + STRENGTH_H);
      data.strength.forEach((value, i) => {
        c.lineTo(at(i), strengthTop + STRENGTH_H * (1 - value));
        c.lineTo(at(i + 1), strengthTop + STRENGTH_H * (1 - value));
      });
      c.lineTo(at(data.strength.length), strengthTop + STRENGTH_H);
      c.fill();
    }

    // Spectrogram
    if (this.image) {
      const from = (view.from / data.duration) * this.image.width, to = (view.to / data.duration) * this.image.width;
      c.drawImage(this.image, from, 0, Math.max(1, to - from), this.image.height, 0, top, width, SPECTROGRAM_H);
    }

    // Suspicious seconds and bands
    for (const { start_s, end_s } of data.seconds) {
      c.fillStyle = `rgba(${ODD}, 0.28)`;
      c.fillRect(x(start_s), 0, x(end_s) - x(start_s), OUTLINE_H);
      c.fillStyle = `rgba(${ODD}, 0.10)`;
      c.fillRect(x(start_s), top, x(end_s) - x(start_s), SPECTROGRAM_H);
      c.strokeStyle = `rgb(${ODD})`;
      c.lineWidth = 1.5;
      c.strokeRect(x(start_s), 1, x(end_s) - x(start_s), bottom - 2);
    }
    for (const band of data.bands) {
      c.strokeStyle = BAND[band.direction];
      c.lineWidth = 1.5;
      c.setLineDash([6, 4]);
      c.beginPath();
      for (const edge of [band.low_hz, band.high_hz]) c.moveTo(0, y(edge)), c.lineTo(width, y(edge));
      c.stroke();
      c.setLineDash([]);
      const label = band.label, wide = c.measureText(label).width, at = clamp((y(band.low_hz) + y(band.high_hz)) / 2 + 4, top + 10, bottom - 4);
      c.fillStyle = "rgba(0, 0, 0, 0.65)";
      c.fillRect(width - wide - 12, at - 11, wide + 8, 15);
      c.fillStyle = BAND[band.direction];
      c.fillText(label, width - wide - 8, at);
    }

    // Axes
    for (const hertz of [200, 500, 1000, 2000, 4000]) {
      c.fillStyle = "rgba(255, 255, 255, 0.85)";
      c.fillText(hertz < 1000 ? `${hertz} Hz` : `${hertz / 1000} kHz`, 6, y(hertz) + 4);
      c.fillRect(0, y(hertz), 4, 1);
    }
    const span = view.to - view.from, most = Math.max(2, width / 80);
    const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300].find((s) => span / s <= most) ?? 600;
    c.fillStyle = text;
    c.textAlign = "center";
    for (let tick = Math.ceil(view.from / step) * step; tick <= view.to + 1e-9; tick += step) {
      c.fillRect(x(tick), bottom, 1, 4);
      const label = `${Number(tick.toFixed(2))} s`, half = c.measureText(label).width / 2;
      c.fillText(label, clamp(x(tick), half, width - half), bottom + 16);
    }
    c.textAlign = "left";

    // What the mouse marks, and what is being heard
    if (this.drag?.to != null) {
      c.fillStyle = "rgba(128, 160, 255, 0.3)";
      c.fillRect(Math.min(x(this.drag.from), x(this.drag.to)), 0, Math.abs(x(this.drag.to) - x(this.drag.from)), bottom);
    }
    const audio = this.audio();
    this.shownAt = audio?.currentTime;
    if (audio) {
      const at = x(audio.currentTime);
      c.fillStyle = "#fff";
      c.fillRect(at - 1.5, 0, 3, bottom);
      c.fillStyle = "#111";
      c.fillRect(at - 0.5, 0, 1, bottom);
    }
    const time = this.hover?.time ?? audio?.currentTime ?? 0, hertz = this.hover?.hertz;
    this.readout.textContent = `${clamp(time, 0, data.duration).toFixed(2)} s` + (hertz ? ` · ${hertz < 1000 ? Math.round(hertz) + " Hz" : (hertz / 1000).toFixed(2) + " kHz"}` : "");
    canvas.dataset.from = view.from.toFixed(2);
    canvas.dataset.to = view.to.toFixed(2);
  }
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".listener");
  root.listener ??= new Listener(root);
  root.listener.update(data);
  return () => {
    root.listener?.stop();
    root.listener = null;
  };
}
