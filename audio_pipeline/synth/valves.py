"""Solenoid valves: what they sound like, healthy and faulty.

Strokes that ring the body (`strokes.py`), with puffs of air. The strokes of a recording follow from its seed alone, so
that a fault finds the very strokes it weakens, drops or delays.
Not here: faults that several kinds share (`faults.py`); when a fault is present (`machine.render`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from scipy.signal import lfilter

from audio_pipeline.synth import faults
from audio_pipeline.synth.machine import Ailment, Machine, Parts, Trouble, identity
from audio_pipeline.synth.signals import (
    SAMPLE_RATE,
    Colour,
    Orders,
    Signal,
    amplitude,
    band,
    draw_colour,
    draw_overtones,
    log_uniform,
    noise,
    periodic,
    train,
)
from audio_pipeline.synth.strokes import Strokes, draw_burst, in_window, near, struck_as
from audio_pipeline.synth.take import Take


@dataclass(frozen=True, kw_only=True, eq=False)
class Valve(Machine):
    """A solenoid valve: clicks in a rhythm, puffs of air, hum while held open, near silence between.

    Attributes
    ----------
    period_s, offsets, strengths
        Length of the rhythm; when within it each sort of stroke comes (as a share), and how strong.
    timing_jitter
        Scatter of a stroke's time, relative to the period.
    bursts
        float32 arrays: the ringing of each sort of stroke.
    puff_level, puff_decay_s, puff_band
        Exhaust after the last sort of stroke; level 0 where there is none.
    hum, hum_hz, hum_level
        Of the solenoid between the first and the last sort of stroke.
    backdrop, backdrop_level
        Colour and level of the noise in between.
    """

    kind: ClassVar[str] = "valve"
    period_s: float
    offsets: tuple[float, ...]
    strengths: tuple[float, ...]
    timing_jitter: float
    bursts: tuple[Signal, ...]
    puff_level: float
    puff_decay_s: float
    puff_band: tuple[float, float]
    hum: Orders
    hum_hz: float
    hum_level: float
    backdrop: Colour
    backdrop_level: float

    @classmethod
    def draw(cls, seed: int) -> Self:
        """Draw a valve: 1 to 4 strokes in a rhythm of 0.25 to 2.2 s."""
        rng = np.random.default_rng(seed)
        common = identity(seed, rng)
        period, sorts = log_uniform(rng, 0.25, 2.2), int(rng.choice([1, 2, 2, 2, 3, 4]))
        low = log_uniform(rng, 250, 2500)
        gaps = rng.uniform(0.25, 1, sorts)
        puff_low = log_uniform(rng, 800, 4000)
        return cls(
            **common,
            period_s=period,
            offsets=tuple(float(o) for o in np.concatenate([[0], np.cumsum(gaps)[:-1] / gaps.sum()])),
            strengths=tuple(float(s) for s in amplitude(rng.uniform(-12, 0, sorts))),
            timing_jitter=log_uniform(rng, 0.002, 0.03),
            bursts=tuple(draw_burst(rng, low, 7500) for _ in range(sorts)),
            puff_level=float(amplitude(rng.uniform(-26, -6)) * (rng.random() < 0.5)),
            puff_decay_s=log_uniform(rng, 0.015, 0.15),
            puff_band=(puff_low, min(7900.0, puff_low * rng.uniform(1.5, 6))),
            hum=draw_overtones(rng, int(rng.integers(1, 8)), 0.7),
            hum_hz=float(rng.choice([100.0, 120.0])),
            hum_level=float(amplitude(rng.uniform(-50, -28)) * (rng.random() < 0.4)),
            backdrop=draw_colour(rng, (-6, 0), 3, (0, 2)),
            backdrop_level=float(amplitude(rng.uniform(-62, -36))),
        )

    def play(self, take: Take) -> Parts:
        """Strokes and backdrop."""
        strokes = self.strokes(take)
        parts = {"strokes": self._strike(take, strokes)}
        parts["backdrop"] = take.noise(self.backdrop.curve()) * np.float32(self.backdrop_level)
        if self.hum_level:
            seconds = np.arange(take.size) / SAMPLE_RATE
            held = near(take, strokes.where(strokes.sort == 0), 0, self.period_s * (self.offsets[-1] or 0.3))
            parts["hum"] = periodic(self.hum, seconds * self.hum_hz) * held * np.float32(self.hum_level)
        return parts

    def strokes(self, take: Take) -> Strokes:
        """When the valve strikes in this recording."""
        rng = take.drawing("timing").chance
        period = self.period_s * (1 + self.speed_spread * rng.standard_normal())
        rounds = int((take.size / SAMPLE_RATE) / period) + 3
        begin = take.start_s - period * (1 + rng.random())
        at = begin + period * (np.arange(rounds)[:, None] + np.array(self.offsets)[None])
        at = at + self.timing_jitter * period * rng.standard_normal(at.shape)
        strength = np.array(self.strengths)[None] * amplitude(0.7 * rng.standard_normal(at.shape))
        sort = np.broadcast_to(np.arange(len(self.offsets)), at.shape)
        return Strokes(at.ravel(), strength.ravel(), sort.ravel())

    def _strike(self, take: Take, strokes: Strokes) -> Signal:
        """What strokes sound like, puffs included: linear in their strengths."""
        sound = struck_as(take, strokes, self.bursts)
        if self.puff_level:
            last = strokes.where(strokes.sort == len(self.offsets) - 1)
            impulses = train(take.size, last.at * SAMPLE_RATE + take.lead, last.strength)
            keep = np.float32(np.exp(-1 / (self.puff_decay_s * SAMPLE_RATE)))
            envelope = np.asarray(
                lfilter(np.ones(1, np.float32), np.array([1, -keep], np.float32), impulses), np.float32
            )
            air = noise(take.drawing("air").chance, take.size, band(*self.puff_band, steep=2))
            sound = np.asarray(sound + air * envelope * np.float32(self.puff_level))
        return sound

    def _changed(self, trouble: Trouble, strokes: Strokes) -> Signal:
        """Sound of strokes that are added (or, with negative strengths, taken away), as loud as the healthy ones."""
        return self._strike(trouble.take, strokes) * trouble.take.loading("strokes")

    def _affected(self, trouble: Trouble) -> Strokes:
        """The strokes within the fault's window that it touches: of one sort, or all."""
        strokes = in_window(trouble.take, self.strokes(trouble.take), trouble.window)
        sort = int(trouble.character.integers(-1, len(self.offsets)))
        return strokes if sort < 0 else strokes.where(strokes.sort == sort)

    def weak_stroke(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """Low pressure or a weak coil: the plunger arrives slowly, the impact is weaker (force ~ velocity)."""
        strokes = self._affected(trouble)
        return self._changed(trouble, strokes.scaled(trouble.degree(-0.5, -20) - 1))

    def missing_stroke(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """The valve does not move at some commands; severity is the share of them."""
        strokes = self._affected(trouble)
        strokes = strokes.where((strokes.at > 0) & (strokes.at < trouble.take.count / SAMPLE_RATE - 0.03))
        order = trouble.take.chance.permutation(len(strokes.at))
        missing = strokes.where(order < max(1, round(len(order) * (0.1 + 0.7 * trouble.severity))))
        return self._changed(trouble, missing.scaled(-1.0))

    def double_stroke(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """The plunger bounces: a second impact 12 to 90 ms after the first; severity is its strength."""
        strokes = self._affected(trouble)
        after = trouble.character.uniform(0.012, 0.09) * (
            1 + 0.1 * trouble.take.chance.standard_normal(len(strokes.at))
        )
        again = strokes.later(after).scaled(trouble.degree(-22, 1))
        third = again.later(after * 0.6).scaled(0.4 * trouble.severity)
        return self._changed(trouble, again + third)

    def leak(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """The seat leaks: hiss, in strokes and between."""
        return faults.hiss(trouble, -34, -3)

    def scraping_stroke(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """A dry or bent plunger scrapes on its way, before each impact."""
        strokes = self._affected(trouble)
        long = min(trouble.character.uniform(0.03, 0.2), 0.5 * self.period_s)
        return faults.rubbing(trouble, near(trouble.take, strokes, -long, 0.02), -22, 6)

    def late_stroke(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """The plunger sticks: strokes come late, by up to a third of the period, unevenly, and harder once loose."""
        strokes = self._affected(trouble)
        spread_s = min(0.35 * self.period_s, 0.3) * trouble.severity
        delay = spread_s * trouble.take.chance.uniform(0.3, 1, len(strokes.at))
        late = strokes.later(delay).scaled(
            amplitude(6 * trouble.severity * trouble.take.chance.uniform(0, 1, len(delay)))
        )
        return self._changed(trouble, late + strokes.scaled(-1.0))

    ailments: ClassVar[Mapping[str, Ailment]] = {
        "weak_stroke": weak_stroke,
        "missing_stroke": missing_stroke,
        "double_stroke": double_stroke,
        "leak": leak,
        "scraping_stroke": scraping_stroke,
        "late_stroke": late_stroke,
    }
