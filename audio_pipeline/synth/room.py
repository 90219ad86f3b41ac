"""Where a machine stands and the microphone that hears it: the linear path from the casing to the samples.

Part of a machine's identity, as in a plant where both stay in place. Not here: noise (`noise.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import rfft

from audio_pipeline.synth.signals import GRID, SAMPLE_RATE, Spectrum, Times, log_uniform, on_bins
from audio_pipeline.synth.take import LEAD_S


@dataclass(frozen=True)
class Room:
    """A path: a microphone's curve, and a direct sound followed by exponentially decaying diffuse reverberation.

    The diffuse tail is Gaussian noise under exp(-6.9 t / T60) (Polack 1988; Kuttruff, Room Acoustics, ch. 4).

    Attributes
    ----------
    microphone_db
        Gain in dB at nine frequencies, an octave apart from 31.25 Hz.
    low_cut_hz
        The microphone's own high pass.
    t60_s
        Reverberation time.
    reverberant_db
        Power of the tail relative to the direct sound.
    seed
        Of the tail's fine structure.
    """

    microphone_db: tuple[float, ...]
    low_cut_hz: float
    t60_s: float
    reverberant_db: float
    seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Room:
        """Draw a path."""
        return cls(
            microphone_db=tuple(float(db) for db in rng.uniform(-4, 4, 9)),
            low_cut_hz=log_uniform(rng, 15, 120),
            t60_s=log_uniform(rng, 0.08, 0.9),
            reverberant_db=float(rng.uniform(-20, 0)),
            seed=int(rng.integers(2**63)),
        )

    def response(self, size: int) -> Spectrum:
        """Transfer function on the bins of a transform of `size` samples."""
        length = int(min(LEAD_S, self.t60_s) * SAMPLE_RATE)
        tail = np.random.default_rng(self.seed).standard_normal(length, dtype=np.float32)
        tail *= np.exp(np.arange(length) * np.float32(-6.9 / (self.t60_s * SAMPLE_RATE)))
        tail[: SAMPLE_RATE // 500] = 0.0  # nothing arrives sooner than over a detour of 2 ms
        tail *= 10 ** (self.reverberant_db / 20) / (np.sqrt(np.sum(np.square(tail))) + 1e-9)
        tail[0] = 1.0
        return np.asarray(rfft(tail, size) * on_bins(self._microphone(), size), np.complex64)

    def _microphone(self) -> Times:
        level = np.interp(np.log2(GRID / 31.25), np.arange(9), self.microphone_db)
        return np.asarray(10 ** (level / 20) / np.sqrt(1 + (self.low_cut_hz / GRID) ** 4))
