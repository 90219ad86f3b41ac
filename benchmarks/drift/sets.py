"""Recordings with a known shift, and with none, as vectors; and sequences of them as monitoring sees them.

Normals of DATA/dcase2020_id00 (75 clips of 10 s, one recording each), DATA/uav_propeller (160 clips of 40 flights) and
600 clips of a synthetic fan in a synthetic hall. Shifted clips are real or synthetic normals, altered: never ones that
are in the reference of the same sequence. Not here: what is measured (`__main__`).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from audio_pipeline.clip import read
from audio_pipeline.encoder import Encoder
from audio_pipeline.synth import factory_noise
from audio_pipeline.synth.kinds import draw_machine
from audio_pipeline.synth.machine import render
from audio_pipeline.synth.noise import mix
from audio_pipeline.synth.signals import rms
from monitoring.sample import Sample

Array = NDArray[Any]
RATE = 16_000
NONE, OTHER = "none", "another machine"


@dataclass(frozen=True)
class KnownSet:
    """One machine's recordings.

    Attributes
    ----------
    vectors
        Shift → float32[N, n]; row for row the same recordings, those of another machine excepted.
    recordings
        [N]: clips of equal value are pieces of one recording.
    references
        Clips that a sequence takes as its reference.
    """

    vectors: dict[str, Array]
    recordings: Array
    references: int

    @property
    def shifts(self) -> list[str]:
        """The shifts, without `none`."""
        return [name for name in self.vectors if name != NONE]

    def sequence(self, shift: str, rng: np.random.Generator) -> tuple[Sample, Sample]:
        """Draw a reference, and production that has nothing of it; whole recordings go to one side."""
        groups = rng.permutation(np.unique(self.recordings))
        order = np.concatenate([np.flatnonzero(self.recordings == group) for group in groups])
        ours, rest = order[: self.references], order[self.references :]
        new = self.vectors[shift]
        rows = rng.permutation(len(new)) if shift == OTHER else rest[rest < len(new)]
        of = np.arange(len(rows)) if shift == OTHER else self.recordings[rows]
        return sample(self.vectors[NONE][ours], self.recordings[ours], "r"), sample(new[rows], of, "p")


def load(data: Path, encoder: Encoder) -> dict[str, KnownSet]:
    """Read, alter and embed everything; sets whose folder is not there are left out."""
    fans = synthetic(0, 600)
    vectors = altered(encoder, fans[:220], synthetic(1, 100), 3)
    sets = {"synthetic fan": KnownSet({**vectors, NONE: embed(encoder, fans)}, np.arange(600), 100)}
    _, clips = files(data, "dcase2020_id00/**/normal*.flac")
    if clips:
        others = (
            files(data, "mimii_m6dB/fan/id_04/normal/*.flac")[1] + files(data, "mimii_m6dB/pump/*/normal/*.flac")[1]
        )
        sets["DCASE 2020 fan id 00"] = KnownSet(altered(encoder, clips, others, 1), np.arange(len(clips)), 35)
    paths, clips = files(data, "uav_propeller/uav/normal/*.flac")
    if clips:
        flights = np.array([path.stem.rpartition("_t")[0] for path in paths])
        others = files(data, "unlabelled/drone_ego/*.flac")[1]
        sets["UAV flights"] = KnownSet(altered(encoder, clips, others, 2), flights, 80)
    return sets


def tilted(clip: Array) -> Array:
    """A microphone's curve: 6 dB from 50 Hz to 8 kHz, straight over the logarithm of frequency."""
    spectrum = np.fft.rfft(clip)
    octaves = np.log2(np.clip(np.fft.rfftfreq(len(clip), 1 / RATE), 50, 8000) / 50) / math.log2(160)
    return np.fft.irfft(spectrum * 10 ** (6 * (octaves - 0.5) / 20), len(clip))


def noisy(clip: Array, hall: Array, rng: np.random.Generator) -> Array:
    """A hall 5 dB below the clip."""
    start = int(rng.integers(len(hall) - len(clip)))
    noise = hall[start : start + len(clip)]
    return clip + noise * math.sqrt(np.mean(clip**2) / np.mean(noise**2) / 10**0.5)


def embed(encoder: Encoder, clips: list[Array]) -> Array:
    """One vector a clip."""
    return np.array([encoder.embed(np.asarray(clip, np.float32)[None]).vectors[0] for clip in clips])


def altered(encoder: Encoder, clips: list[Array], other: list[Array], seed: int) -> dict[str, Array]:
    """Vectors of the clips as they are, and of each shift."""
    rng = np.random.default_rng(seed)
    hall = factory_noise(60, rng)
    ways: dict[str, Callable[[Array], Array]] = {
        NONE: lambda clip: clip,
        "microphone tilted by 6 dB": tilted,
        "factory noise at +5 dB": lambda clip: noisy(clip, hall, rng),
        "speed +10 %": lambda clip: resample_poly(clip, 10, 11),
        "speed −10 %": lambda clip: resample_poly(clip, 10, 9),
    }
    found = {name: embed(encoder, [way(clip) for clip in clips]) for name, way in ways.items()}
    return {**found, OTHER: embed(encoder, other)}


def synthetic(number: int, count: int) -> list[Array]:
    """Recordings of 4 s of one synthetic fan, 6 dB above its hall."""
    origin = [0, zlib.crc32(b"fan"), number]
    machine = draw_machine("fan", np.random.default_rng([*origin, 0]))
    hall = factory_noise(40, np.random.default_rng([*origin, 1]))
    level = rms(render(machine, 4.0, np.random.default_rng([*origin, 2])).samples)
    clips = []
    for index in range(count):
        rng = np.random.default_rng([*origin, 3, index])
        sound = render(machine, 4.0, rng).samples
        start = int(rng.integers(len(hall) - len(sound)))
        clips.append(mix(sound, hall[start : start + len(sound)], 6.0, usual_rms=level))
    return clips


def files(folder: Path, pattern: str) -> tuple[list[Path], list[Array]]:
    """Clips and their paths."""
    paths = sorted(folder.glob(pattern))
    return paths, [read(path).samples for path in paths]


def sample(vectors: Array, recordings: Array, name: str) -> Sample:
    """Clips of one machine."""
    clips = np.array([f"{name}{n}" for n in range(len(vectors))])
    return Sample(
        vectors.astype(np.float32), clips, np.full(len(vectors), "m"), np.char.add(name, recordings.astype(str))
    )
