"""Machines that strike: valve and slide rail. What they sound like, healthy and faulty.

A stroke is an impact that rings the body's modes (a sum of decaying sines, the modal response of a linear structure to
an impulse: Ewins, "Modal testing", 2000), with a puff of air or a rub of the moving part. The strokes of a recording
follow from the recording's number alone, so that a fault finds the very strokes it weakens, drops or delays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft
from scipy.signal import lfilter

from audio_pipeline.synth import faults
from audio_pipeline.synth.machine import Ailment, Change, Machine, Parts, Take, Trouble, identity
from audio_pipeline.synth.sounds import (
    SAMPLE_RATE,
    Colour,
    Signal,
    Times,
    amplitude,
    band,
    draw_colour,
    draw_modes,
    draw_overtones,
    log_uniform,
    noise,
    periodic,
    ring,
    slow,
    spread,
    train,
)


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

    def spans(self, before_s: float = 0.01, after_s: float = 0.2) -> tuple[tuple[float, float], ...]:
        """The stretch that each of them is heard in."""
        return tuple((float(at - before_s), float(at + after_s)) for at in self.at)


def _in_window(strokes: Strokes, window: tuple[float, float]) -> Strokes:
    return strokes.where((strokes.at > window[0] - 0.01) & (strokes.at < window[1] - 0.03))


def _sound(take: Take, strokes: Strokes, bursts: tuple[Signal, ...]) -> Signal:
    """The strokes' impacts: each sort rings as its burst."""
    spectrum = np.zeros(take.size // 2 + 1, np.complex64)
    for sort, burst in enumerate(bursts):
        mine = strokes.where(strokes.sort == sort)
        impulses = train(take.size, mine.at * SAMPLE_RATE + take.lead, mine.strength)
        spectrum += rfft(impulses) * rfft(burst, take.size)
    return np.asarray(irfft(spectrum, take.size), np.float32)


def _near(take: Take, strokes: Strokes, from_s: float, to_s: float) -> Signal:
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


def _draw_burst(rng: np.random.Generator, low_hz: float, high_hz: float) -> Signal:
    """Draw the ringing of one sort of impact: modes, and the rustle of the contact itself."""
    sound = ring(draw_modes(rng, low_hz, high_hz, (2, 8), (0.002, 0.03)), 0.2)
    rustle = rng.standard_normal(len(sound), dtype=np.float32)
    rustle *= np.exp(-np.arange(len(sound)) / np.float32(log_uniform(rng, 0.0008, 0.012) * SAMPLE_RATE))
    sound = sound + np.float32(rng.uniform(0, 0.5)) * rustle
    return np.asarray(sound / np.abs(sound).max(), np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Valve(Machine):
    """A solenoid valve: opening and closing clicks in a rhythm, puffs of air, hum while held open, near silence between.

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
    hum: NDArray[np.complex128]
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
            bursts=tuple(_draw_burst(rng, low, 7500) for _ in range(sorts)),
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
            held = _near(take, strokes.where(strokes.sort == 0), 0, self.period_s * (self.offsets[-1] or 0.3))
            parts["hum"] = periodic(self.hum, seconds * self.hum_hz) * held * np.float32(self.hum_level)
        return parts

    def strokes(self, take: Take) -> Strokes:
        """When the valve strikes in this recording."""
        rng = take.timing()
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
        sound = _sound(take, strokes, self.bursts)
        if self.puff_level:
            last = strokes.where(strokes.sort == len(self.offsets) - 1)
            impulses = train(take.size, last.at * SAMPLE_RATE + take.lead, last.strength)
            keep = np.float32(np.exp(-1 / (self.puff_decay_s * SAMPLE_RATE)))
            envelope = lfilter(np.array([1], np.float32), np.array([1, -keep], np.float32), impulses)
            air = noise(np.random.default_rng([take.number, 5]), take.size, band(*self.puff_band, steep=2))
            sound = sound + air * envelope * np.float32(self.puff_level)
        return np.asarray(sound, np.float32)

    def _changed(self, trouble: Trouble, strokes: Strokes) -> Signal:
        """Sound of strokes that are added (or, with negative strengths, taken away), as loud as the healthy ones."""
        return self._strike(trouble.take, strokes) * trouble.take.loading("strokes")

    def _affected(self, trouble: Trouble) -> Strokes:
        """The strokes within the fault's window that it touches: of one sort, or all."""
        strokes = _in_window(self.strokes(trouble.take), trouble.window)
        sort = int(trouble.character.integers(-1, len(self.offsets)))
        return strokes if sort < 0 else strokes.where(strokes.sort == sort)

    def weak_stroke(self, trouble: Trouble, parts: Parts) -> Change:  # noqa: ARG002
        """Low pressure or a weak coil: the plunger arrives slowly, the impact is weaker (force ~ velocity)."""
        strokes = self._affected(trouble)
        change = self._changed(trouble, strokes.scaled(trouble.degree(-0.5, -20) - 1))
        return Change(change, strokes.spans())

    def missing_stroke(self, trouble: Trouble, parts: Parts) -> Change:  # noqa: ARG002
        """The valve does not move at some commands; severity is the share of them."""
        strokes = self._affected(trouble)
        order = trouble.take.chance.permutation(len(strokes.at))
        missing = strokes.where(order < max(1, round(len(order) * (0.1 + 0.7 * trouble.severity))))
        return Change(self._changed(trouble, missing.scaled(-1.0)), missing.spans())

    def double_stroke(self, trouble: Trouble, parts: Parts) -> Change:  # noqa: ARG002
        """The plunger bounces: a second impact 12 to 90 ms after the first; severity is its strength."""
        strokes = self._affected(trouble)
        after = trouble.character.uniform(0.012, 0.09) * (
            1 + 0.1 * trouble.take.chance.standard_normal(len(strokes.at))
        )
        again = strokes.later(after).scaled(trouble.degree(-22, 1))
        third = again.later(after * 0.6).scaled(0.4 * trouble.severity)
        return Change(self._changed(trouble, again + third), again.spans())

    def leak(self, trouble: Trouble, parts: Parts) -> Change:  # noqa: ARG002
        """The seat leaks: hiss, in strokes and between."""
        return Change(faults.hiss(trouble, -34, -3))

    def scraping(self, trouble: Trouble, parts: Parts) -> Change:  # noqa: ARG002
        """A dry or bent plunger scrapes on its way, before each impact."""
        strokes = self._affected(trouble)
        long = min(trouble.character.uniform(0.03, 0.2), 0.5 * self.period_s)
        rub = faults.rubbing(trouble, _near(trouble.take, strokes, -long, 0.02), -22, 6)
        return Change(rub, strokes.spans(long, 0.05))

    def sticking(self, trouble: Trouble, parts: Parts) -> Change:  # noqa: ARG002
        """The plunger sticks: strokes come late, by up to a third of the period, unevenly, and harder once loose."""
        strokes = self._affected(trouble)
        spread_s = min(0.35 * self.period_s, 0.3) * trouble.severity
        delay = spread_s * trouble.take.chance.uniform(0.3, 1, len(strokes.at))
        late = strokes.later(delay).scaled(
            amplitude(6 * trouble.severity * trouble.take.chance.uniform(0, 1, len(delay)))
        )
        change = self._changed(trouble, late + strokes.scaled(-1.0))
        return Change(change, strokes.spans(0.01, 0.2 + spread_s))

    ailments: ClassVar[Mapping[str, Ailment]] = {
        "weak_stroke": weak_stroke,
        "missing_stroke": missing_stroke,
        "double_stroke": double_stroke,
        "leak": leak,
        "scraping": scraping,
        "sticking": sticking,
    }


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
    whine: NDArray[np.complex128]
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
            bursts=tuple(_draw_burst(rng, low, 6000) for _ in range(3)),
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
            "stops": _sound(take, way.stops, self.bursts),
            "motion": take.noise(self.motion.curve()) * fast * np.float32(self.motion_level),
            "whine": periodic(spread(self.whine, 1, self.whine_hz * 1.3), turned) * fast * np.float32(self.whine_level),
            "backdrop": take.noise(self.backdrop.curve()) * np.float32(self.backdrop_level),
        }

    def way(self, take: Take) -> Motion:
        """How the carriage moves in this recording: trapezoids of speed, one a stroke, of equal way."""
        rng = take.timing()
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

    def scraping(self, trouble: Trouble, parts: Parts) -> Change:  # noqa: ARG002
        """Something rubs along a stretch of the rail, both ways."""
        way = self.way(trouble.take)
        middle, width = trouble.character.uniform(0.2, 0.8), trouble.character.uniform(0.15, 0.6)
        inside = np.clip(1.5 - 3 * np.abs(way.position - middle) / width, 0, 1).astype(np.float32)
        return Change(faults.rubbing(trouble, inside * np.abs(way.speed), -20, 8))

    def rail_damage(self, trouble: Trouble, parts: Parts) -> Change:  # noqa: ARG002
        """A dent in the rail: a tick whenever the carriage passes one of one to three places."""
        way = self.way(trouble.take)
        places = trouble.character.uniform(0.1, 0.9, int(trouble.character.integers(1, 4)))
        at = np.concatenate([np.flatnonzero(np.diff(np.sign(way.position - place))) for place in places]).astype(float)
        strengths = np.abs(way.speed[at.astype(int)]) * trouble.take.chance.uniform(0.7, 1.2, len(at))
        ticks = faults.knocks(trouble, at, strengths, -4, 16)
        seconds = (at - trouble.take.lead) / SAMPLE_RATE
        return Change(ticks, tuple((float(s - 0.01), float(s + 0.1)) for s in seconds))

    def loose_belt(self, trouble: Trouble, parts: Parts) -> Change:
        """A slack belt flaps on the way (motion noise swings at 6 to 25 Hz) and the carriage bounces at its stops."""
        take = trouble.take
        flapping = take.running_s * trouble.character.uniform(6, 25)
        flap = faults.swing(parts["motion"] + parts["whine"], flapping, 0.2 + 1.2 * trouble.severity, 0.3)
        ends = self.way(take).stops
        ends = ends.where(ends.sort < 2).later(trouble.character.uniform(0.03, 0.11))
        bounce = _sound(take, ends.scaled(trouble.degree(-18, 2)), self.bursts) * take.loading("stops")
        slap_at = faults.arrivals(trouble, trouble.character.uniform(6, 25), 0.1)
        fast = np.abs(self.way(take).speed)[np.clip(slap_at, 0, take.size - 1).astype(int)]
        return Change(flap + bounce + faults.knocks(trouble, slap_at, fast, -16, 4, hard=False))

    def dry(self, trouble: Trouble, parts: Parts) -> Change:
        """Missing lubrication: squeals while it moves, and the motion grows rougher."""
        take = trouble.take
        sticky = np.maximum(0.6 + 0.6 * slow(take.chance, take.size, 4), 0)
        fast = np.abs(self.way(take).speed)
        rough = parts["motion"] * np.float32(trouble.degree(-10, 6))
        return Change(faults.squeal(trouble, (fast * sticky).astype(np.float32), -26, 4) + rough)

    def weak_stroke(self, trouble: Trouble, parts: Parts) -> Change:
        """Low pressure: the carriage arrives softly and drags; stops are weaker, motion quieter."""
        stops = _in_window(self.way(trouble.take).stops, trouble.window)
        factor = trouble.degree(-0.5, -20) - 1
        weaker = _sound(trouble.take, stops.scaled(factor), self.bursts) * trouble.take.loading("stops")
        return Change(weaker + parts["motion"] * np.float32(0.7 * factor))

    ailments: ClassVar[Mapping[str, Ailment]] = {
        "scraping": scraping,
        "rail_damage": rail_damage,
        "loose_belt": loose_belt,
        "dry": dry,
        "weak_stroke": weak_stroke,
    }
