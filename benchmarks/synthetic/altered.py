"""Real healthy machines with faults made on purpose: machines and rooms that no training and no synthesiser knows.

Only normal clips are read. Each is heard as it is and with some faults; a few sets are also mixed with real noise
(MIMII fan id_00, normal clips 4 and 5: not the noise that measures, and not heard in training). A reference is half of
the recordings; the others are tested, as they are and with their faults.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from audio_pipeline.pretraining.alterations import bell, hiss, knocking, tone
from benchmarks.encoders.columns import unit_power
from benchmarks.synthetic.ladder import REAL_NOISE, SAMPLE_RATE

Samples = NDArray[np.float32]
Curve = NDArray[np.float64]
KINDS = (
    "tone",
    "series",
    "knocking",
    "hiss",
    "resonance",
    "speed",
    "stroke_gain",
    "stroke_filter",
    "drop",
    "extra",
    "beat",
)
_MIMII = ("fan/id_04", "pump/id_00", "pump/id_04", "slider/id_00", "slider/id_04", "valve/id_00", "valve/id_04")
_SEED = 77
_FEW = 12  # clips of a machine up to which each has twice as many faults, and more references are drawn


@dataclass(frozen=True)
class AlteredSite:
    """One machine.

    Attributes
    ----------
    clips
        float32[samples] each, at unit power.
    fault
        str[clips]: empty where healthy.
    recording
        int64[clips]: a clip and its faulty versions share it.
    """

    name: str
    clips: list[Samples]
    fault: NDArray[np.str_]
    recording: NDArray[np.int64]

    @property
    def kind(self) -> str:
        """What is compared together: like `MIMII valve/id_00`, whatever noise was added."""
        return self.name.split(",")[0]

    @property
    def healthy(self) -> NDArray[np.bool_]:
        """bool[clips]."""
        return np.asarray(self.fault == "")

    def halves(self, count: int = 2) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
        """Reference and tested clips, bool[clips] each, for `count` choices of reference (of few clips, twice)."""
        normals = np.flatnonzero(self.healthy)
        for seed in range(2 * count if len(normals) <= _FEW else count):
            known = np.random.default_rng(seed).permutation(normals)[: len(normals) // 2]
            tested = ~np.isin(self.recording, self.recording[known])
            yield np.isin(np.arange(len(self.fault)), known), tested


def altered_sites(data: Path) -> Iterator[AlteredSite]:
    """Every machine of the data folder that has normal clips, the training's own excepted."""
    noise = [channel for name in REAL_NOISE for channel in sf.read(data / name, dtype="float32", always_2d=True)[0].T]
    for number, (name, paths, snr) in enumerate(_machines(data)):
        rng = np.random.default_rng([_SEED, number])
        clips, faults, recordings = [], [], []
        for recording, path in enumerate(paths):
            healthy = unit_power(sf.read(path, dtype="float32", always_2d=True)[0].T[0][:160_000])
            kinds = rng.permutation(KINDS)[: 6 if len(paths) <= _FEW else 3]
            for kind in ["", *kinds]:
                # What noise will hide has to be louder to be heard at all.
                clip = with_fault(healthy, kind, rng, 0.0 if snr is None else -0.8 * snr) if kind else healthy
                if snr is not None:
                    stretch = unit_power(noise[int(rng.integers(len(noise)))])
                    stretch = np.roll(stretch, int(rng.integers(len(stretch))))[: len(clip)]
                    clip = clip + stretch * np.float32(10 ** (-(snr + rng.standard_normal()) / 20))
                clips.append(unit_power(clip))
                faults.append(kind)
                recordings.append(recording)
        yield AlteredSite(name, clips, np.array(faults), np.array(recordings))


def _machines(data: Path) -> Iterator[tuple[str, list[Path], float | None]]:
    """Name, normal clips, and the signal-to-noise ratio (dB) at which noise is added, if any."""
    for folder in (
        "fan/id_04",
        "pump/id_00",
        "pump/id_04",
        "slider/id_00",
        "slider/id_04",
        "valve/id_00",
        "valve/id_04",
    ):
        yield f"MIMII {folder}", sorted((data / "mimii_m6dB" / folder / "normal").iterdir()), None
    for domain in ("source", "target"):
        valves = sorted((data / "dcase_valve" / "valve" / "test").glob(f"*_{domain}_*normal*"))
        yield f"DCASE valve, {domain}", valves, None
        yield f"DCASE valve, {domain}, -3 dB", valves, -3.0
    fans = sorted((data / "dcase2020_id00" / "train").glob("*.*"))[::3]
    yield "DCASE 2020 fan", fans, None
    yield "DCASE 2020 fan, -6 dB", fans, -6.0
    flights: dict[str, Path] = {}
    for path in sorted((data / "uav_propeller" / "uav" / "normal").iterdir()):
        flights.setdefault(path.name.rsplit("_t", 1)[0], path)
    for snr in (-9.0, -12.0, -15.0, -18.0):
        yield f"UAV, {snr:g} dB", list(flights.values()), snr


def with_fault(samples: Samples, kind: str, rng: np.random.Generator, louder_db: float = 0.0) -> Samples:
    """The clip with one of `KINDS`, drawn at random; float32[samples]."""
    count = len(samples)
    level = float(np.sqrt(np.mean(samples.astype(float) ** 2)) * 10 ** ((rng.uniform(-18, -2) + louder_db) / 20))
    hertz = float(np.exp(rng.uniform(np.log(150), np.log(6500))))
    return np.asarray(_changed(samples, kind, rng, level, hertz, louder_db, count), np.float32)


def _changed(
    samples: Samples, kind: str, rng: np.random.Generator, level: float, hertz: float, louder_db: float, count: int
) -> Curve | Samples:
    if kind == "tone":
        return samples + level * tone(count, hertz, rng, rng)
    if kind == "series":
        base = float(np.exp(rng.uniform(np.log(60), np.log(600))))
        overtones = [tone(count, base * k, rng, rng) * rng.uniform(0.2, 1) for k in range(1, 7)]
        return np.asarray(samples + 0.6 * level * np.sum(overtones, axis=0))
    if kind == "knocking":
        return samples + level * knocking(count, hertz, rng, rng)
    if kind == "hiss":
        return samples + level * hiss(count, hertz, rng, rng)
    if kind == "resonance":
        gain = float(rng.choice([-1, 1])) * (rng.uniform(3, 10) + louder_db / 2)
        return _filtered(samples, gain * bell(count, hertz, rng.uniform(0.15, 0.6)))
    if kind == "speed":
        faster = SAMPLE_RATE * float(rng.choice([0.96, 0.98, 1.02, 1.04]))
        return np.asarray(np.resize(soxr.resample(samples, SAMPLE_RATE, faster), count))
    if kind == "beat":
        swing = np.sin(2 * np.pi * rng.uniform(0.7, 30) * np.arange(count) / SAMPLE_RATE + rng.uniform(0, 6))
        return samples * (1 + rng.uniform(0.4, 0.95) * swing)
    loud = _loudness(samples)
    if kind == "stroke_gain":
        return samples * 10 ** (loud * float(rng.choice([-1, 1])) * rng.uniform(4, 10) / 20)
    if kind == "stroke_filter":
        gain = float(rng.choice([-1, 1])) * rng.uniform(8, 20)
        return samples * (1 - loud) + loud * _filtered(samples, gain * bell(count, hertz, rng.uniform(0.3, 0.8)))
    changed = samples.astype(float)
    if kind == "drop":
        for _ in range(int(rng.integers(4, 12))):
            at = int(rng.integers(count - SAMPLE_RATE))
            second = slice(at, at + SAMPLE_RATE)
            changed[second] *= 10 ** (-loud[second] * rng.uniform(10, 30) / 20)
        return changed
    width = int(0.15 * SAMPLE_RATE)
    loudest = max(0, int(np.argmax(loud[:-width])) - width // 4)
    stroke = samples[loudest : loudest + width] * np.hanning(width)
    for _ in range(int(rng.integers(6, 30))):
        at = int(rng.integers(count - width))
        changed[at : at + width] += stroke * rng.uniform(0.6, 1.5)
    return changed


def _filtered(samples: Samples, gain_db: Curve) -> Curve:
    return np.asarray(np.fft.irfft(np.fft.rfft(samples) * 10 ** (gain_db / 20), len(samples)))


def _loudness(samples: Samples) -> Curve:
    """From 0 where a clip is as loud as mostly to 1 where it is loudest: float64[samples]."""
    curve = 0.5 * np.log(uniform_filter1d(samples.astype(float) ** 2, int(0.03 * SAMPLE_RATE)) + 1e-9)
    low, high = np.quantile(curve, [0.6, 0.99])
    return np.asarray(np.clip((curve - low) / (high - low + 1e-6), 0, 1))
