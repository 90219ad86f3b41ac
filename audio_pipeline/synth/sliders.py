"""Slide rails: what they sound like, healthy and faulty.

A carriage goes to and fro; noise and whine follow its speed, stops knock (`strokes.py`). Its way follows from the
recording's seed alone, so that a fault finds the places and stops it changes.
Not here: faults that several kinds share (`faults.py`); when a fault is present (`machine.render`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

import numpy as np

from audio_pipeline.synth import faults
from audio_pipeline.synth.machine import Ailment, Machine, Parts, Trouble, identity
from audio_pipeline.synth.signals import (
    SAMPLE_RATE,
    Colour,
    Orders,
    Signal,
    Times,
    amplitude,
    draw_colour,
    draw_overtones,
    log_uniform,
    periodic,
    slow,
    spread,
)
from audio_pipeline.synth.strokes import Strokes, draw_burst, in_window, struck_as
from audio_pipeline.synth.take import Take


class Motion(NamedTuple):
    """A carriage's way: speed relative to its nominal (float32[size]), position 0 to 1, and its stops."""

    speed: Signal
    position: Times
    stops: Strokes


@dataclass(frozen=True, kw_only=True, eq=False)
class Slider(Machine):
    """A slide rail: a carriage goes, rests, returns, rests; motion noise and drive whine follow its speed, stops knock.

    Attributes
    ----------
    phases_s
        Seconds of going, resting, returning, resting.
    timing_jitter, ramp
        Relative scatter of those; share of a stroke spent accelerating.
    bursts, strengths
        Ringing and strength of the knocks: far stop, near stop, either start.
    motion, motion_level
        Colour and level of rolling or sliding at nominal speed.
    whine, whine_hz, whine_level
        Belt teeth or screw: overtones and frequency at nominal speed.
    backdrop, backdrop_level
        Noise at rest.
    """

    kind: ClassVar[str] = "slider"
    phases_s: tuple[float, float, float, float]
    timing_jitter: float
    ramp: float
    bursts: tuple[Signal, ...]
    strengths: tuple[float, ...]
    motion: Colour
    motion_level: float
    whine: Orders
    whine_hz: float
    whine_level: float
    backdrop: Colour
    backdrop_level: float

    @classmethod
    def draw(cls, seed: int) -> Self:
        """Draw a slide rail: strokes of 0.25 to 2 s, rests of 0.03 to 0.8 s."""
        rng = np.random.default_rng(seed)
        common = identity(seed, rng)
        stroke, rest = log_uniform(rng, 0.25, 2.0), log_uniform(rng, 0.03, 0.8)
        low = log_uniform(rng, 120, 1200)
        return cls(
            **common,
            phases_s=(stroke, rest, stroke * float(rng.uniform(0.6, 1.4)), rest * float(rng.uniform(0.5, 2))),
            timing_jitter=log_uniform(rng, 0.002, 0.02),
            ramp=float(rng.uniform(0.05, 0.4)),
            bursts=tuple(draw_burst(rng, low, 6000) for _ in range(3)),
            strengths=(*(float(s) for s in amplitude(rng.uniform(-14, 4, 2))), float(amplitude(rng.uniform(-30, -8)))),
            motion=draw_colour(rng, (-6, 1), 4, (1, 5), log_uniform(rng, 150, 2000)),
            motion_level=float(amplitude(rng.uniform(-34, -14))),
            whine=draw_overtones(rng, int(rng.integers(2, 14)), rng.uniform(0.3, 1.5)),
            whine_hz=log_uniform(rng, 60, 1200),
            whine_level=float(amplitude(rng.uniform(-46, -18))),
            backdrop=draw_colour(rng, (-6, 0), 3, (0, 2)),
            backdrop_level=float(amplitude(rng.uniform(-62, -40))),
        )

    def play(self, take: Take) -> Parts:
        """Stops, motion, whine, backdrop."""
        way = self.way(take)
        fast = np.abs(way.speed)
        turned = np.cumsum(fast, dtype=np.float64) / SAMPLE_RATE * self.whine_hz
        return {
            "stops": struck_as(take, way.stops, self.bursts),
            "motion": take.noise(self.motion.curve()) * fast * np.float32(self.motion_level),
            "whine": periodic(spread(self.whine, 1, self.whine_hz * 1.3), turned) * fast * np.float32(self.whine_level),
            "backdrop": take.noise(self.backdrop.curve()) * np.float32(self.backdrop_level),
        }

    def way(self, take: Take) -> Motion:
        """How the carriage moves in this recording: trapezoids of speed, one a stroke, of equal way."""
        rng = take.drawing("timing").chance
        total = take.size / SAMPLE_RATE
        rounds = int(total / sum(self.phases_s) * 1.1) + 3
        lengths = np.tile(self.phases_s, rounds) * (1 + self.timing_jitter * rng.standard_normal(4 * rounds))
        lengths *= 1 + self.speed_spread * rng.standard_normal()
        edges = np.concatenate([[0], np.cumsum(lengths)]) - sum(self.phases_s) * rng.random()
        start, end = edges[:-1:2], edges[1::2]
        ramp = self.ramp * (end - start) / 2
        top = 1 / (end - start - ramp) * np.where(np.arange(len(start)) % 2, -1, 1)
        knots = np.stack([start, start + ramp, end - ramp, end], 1).ravel()
        speeds = np.stack([0 * top, top, top, 0 * top], 1).ravel()
        t = np.arange(take.size) / SAMPLE_RATE
        speed = np.interp(t, knots, speeds)
        position = np.cumsum(speed) / SAMPLE_RATE
        nominal = 1 / (self.phases_s[0] * (1 - self.ramp / 2))
        sort = np.arange(len(start)) % 2
        knocking = Strokes(end + take.start_s, np.array(self.strengths)[sort], sort)
        leaving = Strokes(start + take.start_s, np.full(len(start), self.strengths[2]), np.full(len(start), 2))
        stops = knocking + leaving
        stops = stops.scaled(amplitude(0.7 * rng.standard_normal(len(stops.at))))
        return Motion((speed / nominal).astype(np.float32), position - position.min(), stops)

    def scraping(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """Something rubs along a stretch of the rail, both ways."""
        way = self.way(trouble.take)
        middle, width = trouble.character.uniform(0.2, 0.8), trouble.character.uniform(0.15, 0.6)
        inside = np.clip(1.5 - 3 * np.abs(way.position - middle) / width, 0, 1).astype(np.float32)
        return faults.rubbing(trouble, inside * np.abs(way.speed), -20, 8)

    def rail_damage(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """A dent in the rail: a tick whenever the carriage passes one of one to three places."""
        way = self.way(trouble.take)
        places = trouble.character.uniform(0.1, 0.9, int(trouble.character.integers(1, 4)))
        at = np.concatenate([np.flatnonzero(np.diff(np.sign(way.position - place))) for place in places]).astype(float)
        strengths = np.abs(way.speed[at.astype(int)]) * trouble.take.chance.uniform(0.7, 1.2, len(at))
        return faults.knocks(trouble, at, strengths, -18, 16)

    def loose_belt(self, trouble: Trouble, parts: Parts) -> Signal:
        """A slack belt flaps on the way (motion noise swings at 6 to 25 Hz) and the carriage bounces at its stops."""
        take = trouble.take
        flapping = take.running_s * trouble.character.uniform(6, 25)
        flap = faults.swing(parts["motion"] + parts["whine"], flapping, 0.2 + 1.2 * trouble.severity, 0.3)
        ends = self.way(take).stops
        ends = ends.where(ends.sort < 2).later(trouble.character.uniform(0.03, 0.11))
        bounce = struck_as(take, ends.scaled(trouble.degree(-26, 2)), self.bursts) * take.loading("stops")
        slap_at = faults.arrivals(trouble, trouble.character.uniform(6, 25), 0.1)
        fast = np.abs(self.way(take).speed)[np.clip(slap_at, 0, take.size - 1).astype(int)]
        return np.asarray(flap + bounce + faults.knocks(trouble, slap_at, fast, -26, 4, hard=False))

    def dry_rail(self, trouble: Trouble, parts: Parts) -> Signal:
        """Missing lubrication: squeals while it moves, and the motion grows rougher."""
        take = trouble.take
        sticky = np.maximum(0.6 + 0.6 * slow(take.chance, take.size, 4), 0)
        fast = np.abs(self.way(take).speed)
        rough = parts["motion"] * np.float32(trouble.degree(-20, 6))
        return faults.squeal(trouble, (fast * sticky).astype(np.float32), -26, 4) + rough

    def weak_stroke(self, trouble: Trouble, parts: Parts) -> Signal:
        """Low pressure: the carriage arrives softly and drags; stops are weaker, motion quieter."""
        stops = in_window(trouble.take, self.way(trouble.take).stops, trouble.window)
        factor = trouble.degree(-0.5, -20) - 1
        weaker = struck_as(trouble.take, stops.scaled(factor), self.bursts) * trouble.take.loading("stops")
        return np.asarray(weaker + parts["motion"] * np.float32(0.7 * factor))

    ailments: ClassVar[Mapping[str, Ailment]] = {
        "scraping": scraping,
        "rail_damage": rail_damage,
        "loose_belt": loose_belt,
        "dry_rail": dry_rail,
        "weak_stroke": weak_stroke,
    }
