// Records the microphone as it is: without the noise suppression, echo cancellation and automatic gain that browsers add
// for speech, as far as the browser obeys. Sends a WAV (16 bits, the device's own rate) to portal/recorder.py.

const TAP = `registerProcessor("tap", class extends AudioWorkletProcessor {
  process([input]) { if (input[0]) this.port.postMessage(input[0].slice()); return true; }
});`;

function wav(blocks, rate) {
  const length = blocks.reduce((sum, block) => sum + block.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * length));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * length, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true); view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  text(36, "data"); view.setUint32(40, 2 * length, true);
  let at = 44;
  for (const block of blocks) for (const sample of block) {
    view.setInt16(at, Math.round(32767 * Math.max(-1, Math.min(1, sample))), true);
    at += 2;
  }
  return new Uint8Array(view.buffer);
}

function base64(bytes) {
  let letters = "";
  for (let at = 0; at < bytes.length; at += 32768) letters += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(letters);
}

class Recorder {
  constructor(root) {
    this.root = root;
    this.button = root.querySelector(".record");
    this.button.onclick = () => {
      if (!this.starting) (this.context ? this.stop() : this.start()); // a second click while the browser asks for leave
    };
  }

  update(data, send) {
    this.data = data;
    this.send = send;
    if (!this.context) this.button.textContent = data.labels.start;
  }

  say(text) { this.root.querySelector(".said").textContent = text; }

  async start() {
    const { labels } = this.data;
    this.say("");
    this.starting = true;
    try {
      await this.open();
    } catch (error) {
      this.release();
      // Without https (or localhost) a browser has no microphones at all.
      this.say(navigator.mediaDevices ? labels[error.name] ?? labels.failed : labels.insecure);
    }
    this.starting = false;
  }

  async open() {
    const wanted = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
    this.stream = await navigator.mediaDevices.getUserMedia({ audio: wanted });
    if (this.gone) return this.release(); // another page by now: nobody could stop it any more
    const now = this.stream.getAudioTracks()[0].getSettings();
    this.cleaned = Boolean(now.echoCancellation || now.noiseSuppression || now.autoGainControl);
    this.context = new AudioContext();
    const module = URL.createObjectURL(new Blob([TAP], { type: "text/javascript" }));
    await this.context.audioWorklet.addModule(module);
    URL.revokeObjectURL(module);
    this.blocks = [];
    this.length = 0;
    const tap = new AudioWorkletNode(this.context, "tap", { numberOfOutputs: 0 });
    tap.port.onmessage = ({ data }) => this.take(data);
    this.context.createMediaStreamSource(this.stream).connect(tap);
    this.root.classList.add("running");
    this.button.textContent = this.data.labels.stop;
  }

  take(block) {
    if (!this.context) return;
    this.blocks.push(block);
    this.length += block.length;
    const seconds = this.length / this.context.sampleRate;
    this.root.querySelector(".time").textContent = `${seconds.toFixed(1)} s`;
    const canvas = this.root.querySelector(".level"), c = canvas.getContext("2d");
    const peak = block.reduce((highest, sample) => Math.max(highest, Math.abs(sample)), 0);
    this.shown = Math.max(peak, 0.97 * (this.shown ?? 0));
    const part = Math.max(0, 1 + (20 * Math.log10(Math.max(this.shown, 1e-4))) / 80);
    c.clearRect(0, 0, canvas.width, canvas.height);
    c.fillStyle = this.shown > 0.98 ? "#ef4444" : "#22c55e";
    c.fillRect(0, 0, canvas.width * part, canvas.height);
    if (seconds >= this.data.most_s) this.stop();
  }

  stop() {
    const rate = this.context.sampleRate;
    this.release();
    this.button.textContent = this.data.labels.start;
    this.send({ wav: base64(wav(this.blocks, rate)), cleaned: this.cleaned });
    this.blocks = [];
  }

  leave() {
    this.gone = true;
    this.release();
  }

  release() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.context?.close();
    this.context = this.stream = null;
    this.root.classList.remove("running");
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".recorder");
  root.recorder ??= new Recorder(root);
  root.recorder.update(data, (recording) => setTriggerValue("recorded", recording));
  return () => {
    root.recorder?.leave();
    root.recorder = null;
  };
}
