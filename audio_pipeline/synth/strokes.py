"""Strokes: when they come, how strong, and what they sound like.

A stroke is an impact that rings the body's modes (a sum of decaying sines, the modal response of a linear structure to
an impulse: Ewins, "Modal testing", 2000), with the rustle of the contact itself.
Not here: which machine strikes when (`valves.py`, `sliders.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft

from audio_pipeline.synth.signals import SAMPLE_RATE, Signal, Times, draw_modes, log_uniform, ring, train
from audio_pipeline.synth.take import Take


@dataclass(frozen=True)
class Strokes:
    """Strokes in order of time: when (s, clip time), how strong, which sort of stroke; arrays of one length."""

    at: Times
    strength: Times
    sort: NDArray[np.int64]

    def where(self, chosen: NDArray[np.bool_]) -> Strokes:
        """Some of them."""
        return Strokes(self.at[chosen], self.strength[chosen], self.sort[chosen])

    def scaled(self, factor: float | Times) -> Strokes:
        """The same, stronger or weaker; negative takes them away."""
        return replace(self, strength=self.strength * factor)

    def later(self, by_s: float | Times) -> Strokes:
        """The same, shifted."""
        return replace(self, at=self.at + by_s)

    def __add__(self, other: Strokes) -> Strokes:
        return Strokes(
            np.concatenate([self.at, other.at]),
            np.concatenate([self.strength, other.strength]),
            np.concatenate([self.sort, other.sort]),
        )


def in_window(take: Take, strokes: Strokes, window: tuple[float, float]) -> Strokes:
    """Those that a fault present from window[0] to window[1] (s) touches as a whole.

    A fault that is there when the clip begins or ends was there before and is after: strokes ring into the clip.
    """
    since = -np.inf if window[0] <= 0 else window[0] + 0.02
    until = np.inf if window[1] >= take.count / SAMPLE_RATE else window[1] - 0.03
    return strokes.where((strokes.at > since) & (strokes.at < until))


def struck_as(take: Take, strokes: Strokes, bursts: tuple[Signal, ...]) -> Signal:
    """The strokes' impacts: each sort rings as its burst."""
    spectrum = np.zeros(take.size // 2 + 1, np.complex64)
    for sort, burst in enumerate(bursts):
        mine = strokes.where(strokes.sort == sort)
        impulses = train(take.size, mine.at * SAMPLE_RATE + take.lead, mine.strength)
        spectrum += rfft(impulses) * rfft(burst, take.size)
    return np.asarray(irfft(spectrum, take.size), np.float32)


def near(take: Take, strokes: Strokes, from_s: float, to_s: float) -> Signal:
    """1 within a stretch around each stroke, with soft edges."""
    t = (np.arange(take.size, dtype=np.float32) - take.lead) / SAMPLE_RATE
    presence = np.zeros(take.size, np.float32)
    for at in strokes.at:
        first, last = (round((at + edge) * SAMPLE_RATE) + take.lead for edge in (from_s, to_s))
        first, last = max(first, 0), min(last, take.size)
        if last > first:
            place = (t[first:last] - np.float32(at + from_s)) / np.float32(to_s - from_s)
            presence[first:last] = np.maximum(presence[first:last], np.sin(np.pi * np.clip(place, 0, 1)) ** 0.5)
    return presence


def draw_burst(rng: np.random.Generator, low_hz: float, high_hz: float) -> Signal:
    """Draw the ringing of one sort of impact: modes, and the rustle of the contact itself."""
    sound = ring(draw_modes(rng, low_hz, high_hz, (2, 8), (0.002, 0.03)), 0.2)
    rustle = rng.standard_normal(len(sound), dtype=np.float32)
    rustle *= np.exp(-np.arange(len(sound)) / np.float32(log_uniform(rng, 0.0008, 0.012) * SAMPLE_RATE))
    sound = sound + np.float32(rng.uniform(0, 0.5)) * rustle
    return np.asarray(sound / np.abs(sound).max(), np.float32)
