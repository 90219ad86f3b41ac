// The clip that goes with an e-mail: at most 1 MB. Pure, on Buffers.

const CLIP_BYTES = 1024 * 1024;

// A WAV as it is when it is small enough, else the part around the seconds that stand out; null when it is no such WAV.
function shortened(wav, seconds) {
  if (wav.length <= CLIP_BYTES) return wav;
  const header = 44; // serve writes plain 16-bit WAV
  if (wav.toString("latin1", 0, 4) !== "RIFF" || wav.toString("latin1", 36, 40) !== "data") return null;
  const rate = wav.readUInt32LE(28); // bytes a second
  const frame = wav.readUInt16LE(32);
  const room = CLIP_BYTES - header - ((CLIP_BYTES - header) % frame);
  const strongest = (seconds || [])[0];
  const middle = strongest ? ((strongest.start_s + strongest.end_s) / 2) * rate : 0;
  const latest = wav.length - header - room;
  const wanted = Math.min(Math.max(0, Math.round(middle - room / 2)), latest);
  const start = header + wanted - (wanted % frame);
  const cut = Buffer.concat([wav.subarray(0, header), wav.subarray(start, start + room)]);
  cut.writeUInt32LE(cut.length - 8, 4);
  cut.writeUInt32LE(cut.length - header, 40);
  return cut;
}

function clipName(facts) {
  const stem = String(facts.filename || facts.prediction_id || "clip").split(/[\\/]/).pop().replace(/\.[^.]*$/, "");
  return `${stem.replace(/[^\w.-]+/g, "_").slice(0, 80) || "clip"}.wav`;
}
