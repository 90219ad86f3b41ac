"""One recording being made: how long, how fast the machine runs meanwhile, and where chance comes from.

Not here: what machines sound like, and what a fault changes (`machine.py`).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.fft import next_fast_len

from audio_pipeline.synth.signals import SAMPLE_RATE, Signal, Times, noise

LEAD_S: Final = 0.35
"""Sound is made from this long before the clip, so that rooms and resonances already ring at its first sample."""


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the generator of that name: the same for the same seed, independent of those of other names."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


@dataclass(frozen=True, eq=False)
class Take:
    """One recording being made.

    Attributes
    ----------
    seed
        The recording's own.
    size, lead, count
        Samples made; of them before the clip's beginning; samples of the clip. What wraps around in circular
        convolution falls into the lead.
    chance
        Randomness of whoever makes sound now: the healthy machine, then its fault.
    running_s
        float64[size]: nominal seconds run. A shaft's phase is its nominal speed times this, so that all shafts of a
        machine speed up and slow down together.
    """

    seed: int
    size: int
    lead: int
    count: int
    chance: np.random.Generator
    running_s: Times

    @classmethod
    def begin(cls, seed: int, seconds: float, jitter: float, speed_spread: float) -> Take:
        """Start a recording.

        Parameters
        ----------
        seed
            The recording's own.
        seconds
            Length of the clip.
        jitter
            Relative wandering of the speed within the recording.
        speed_spread
            Relative deviation of its mean speed between recordings.
        """
        count = round(seconds * SAMPLE_RATE)
        size = next_fast_len(count + int(LEAD_S * SAMPLE_RATE), real=True)
        bare = cls(seed, size, size - count, count, stream(seed, "speed"), np.empty(0))
        speed = 1 + speed_spread * float(bare.chance.standard_normal())
        return replace(bare, running_s=bare.wandering(jitter, speed)).drawing("healthy")

    @property
    def start_s(self) -> float:
        """When sound begins to be made, in clip time: negative."""
        return -self.lead / SAMPLE_RATE

    def drawing(self, name: str) -> Take:
        """Return the same recording with its stream of that name as `chance`, from that stream's beginning.

        So nothing drawn for a fault shifts what is drawn for the healthy sound, and a fault can draw the very strokes
        again that it makes go missing.
        """
        return replace(self, chance=stream(self.seed, name))

    def loading(self, part: str) -> np.float32:
        """Gain of a healthy part in this recording: load and temperature move each by about 0.6 dB."""
        return np.float32(10 ** (0.6 * stream(self.seed, f"load {part}").standard_normal() / 20))

    def noise(self, curve: Times) -> Signal:
        """Make coloured noise of unit power over the whole take."""
        return noise(self.chance, self.size, curve)

    def samples_at(self, running_s: Times) -> Times:
        """At which sample each of these nominal seconds was reached (beyond the ends: -1)."""
        first, last = self.running_s[0], self.running_s[-1]
        at = np.interp(running_s, self.running_s, np.arange(self.size))
        return np.asarray(np.where((running_s < first) | (running_s > last), -1.0, at))

    def wandering(self, jitter: float, speed: float = 1.0) -> Times:
        """Nominal seconds run at a relative speed that wanders by `jitter`, from any beginning: float64[size]."""
        total = self.size / SAMPLE_RATE
        slow = np.linspace(0, total, max(4, int(total * 3)))
        fine = np.linspace(0, total, max(8, int(total * 40)))
        wander = np.interp(fine, slow, self.chance.standard_normal(len(slow)))
        run = np.concatenate([[0], np.cumsum(1 + jitter * wander)[:-1]]) * (fine[1] * speed)
        return np.asarray(np.interp(np.arange(self.size) / SAMPLE_RATE, fine, run) + 60 * self.chance.random())
