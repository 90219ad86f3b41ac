"""Rolling bearings: what they sound like, healthy and faulty.

Source: Randall & Antoni, "Rolling element bearing diagnostics — a tutorial", MSSP 25 (2011), for defect frequencies,
slip and load-zone modulation.
Not here: faults that several kinds share (`faults.py`); when a fault is present (`machine.render`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.synth import faults
from audio_pipeline.synth.machine import Ailment, Machine, Parts, Trouble, identity
from audio_pipeline.synth.signals import (
    Colour,
    Orders,
    Signal,
    Times,
    amplitude,
    band,
    draw_colour,
    draw_modes,
    draw_overtones,
    log_uniform,
    periodic,
    ring,
    slow,
    spread,
    struck,
    train,
)
from audio_pipeline.synth.take import Take


@dataclass(frozen=True)
class Geometry:
    """A rolling bearing: number of elements, their diameter over the pitch diameter, contact angle in radians.

    Defect frequencies in multiples of the shaft's turns a second, with c = d / D · cos(contact angle):
    outer race (BPFO) z/2 · (1 - c), inner race (BPFI) z/2 · (1 + c), ball spin (BSF) D/(2d) · (1 - c²),
    cage (FTF) 1/2 · (1 - c).
    """

    elements: int
    ratio: float
    angle: float

    @property
    def outer(self) -> float:
        """BPFO over the shaft's speed."""
        return self.elements / 2 * (1 - self._c)

    @property
    def inner(self) -> float:
        """BPFI over the shaft's speed."""
        return self.elements / 2 * (1 + self._c)

    @property
    def ball(self) -> float:
        """BSF over the shaft's speed; a defect strikes both races, twice as often."""
        return (1 - self._c**2) / (2 * self.ratio)

    @property
    def cage(self) -> float:
        """FTF over the shaft's speed."""
        return (1 - self._c) / 2

    @property
    def _c(self) -> float:
        return self.ratio * float(np.cos(self.angle))


@dataclass(frozen=True, kw_only=True, eq=False)
class Bearing(Machine):
    """A rolling bearing on a rig: rolling noise coloured by the housing, shaft orders, a driving motor.

    Attributes
    ----------
    shaft_hz, geometry
        Turns a second; see `Geometry`.
    shaft, shaft_level
        Amplitude and phase of the shaft's orders.
    rolling, motor, motor_hz, motor_level
        Colour of the rolling noise; the motor's tone.
    housing, slip
        Modes that impacts excite (Hz, s, amplitude); relative scatter of the intervals between impacts.
    """

    kind: ClassVar[str] = "bearing"
    shaft_hz: float
    geometry: Geometry
    shaft: Orders
    shaft_level: float
    rolling: Colour
    motor: Orders
    motor_hz: float
    motor_level: float
    housing: NDArray[np.float64]
    slip: float

    @classmethod
    def draw(cls, seed: int) -> Self:
        """Draw a bearing: 10 to 65 turns a second, 7 to 16 elements."""
        rng = np.random.default_rng(seed)
        shaft = log_uniform(rng, 10, 65)
        return cls(
            **identity(seed, rng),
            shaft_hz=shaft,
            geometry=Geometry(int(rng.integers(7, 17)), float(rng.uniform(0.15, 0.35)), float(rng.uniform(0, 0.6))),
            shaft=draw_overtones(rng, int(rng.integers(2, 20)), rng.uniform(0.5, 1.5)),
            shaft_level=float(amplitude(rng.uniform(-20, 2))),
            rolling=draw_colour(rng, (-6, 2), 4, (1, 5), log_uniform(rng, 100, 2000)),
            motor=draw_overtones(rng, int(rng.integers(1, 10)), rng.uniform(0.4, 1.5)),
            motor_hz=float(rng.choice([100.0, 120.0, log_uniform(rng, 150, 1200)])),
            motor_level=float(amplitude(rng.uniform(-30, -4))),
            housing=draw_modes(rng, 900, 7000, (1, 4), (0.0008, 0.006)),
            slip=float(rng.uniform(0.004, 0.02)),
        )

    def play(self, take: Take) -> Parts:
        """Rolling, shaft, motor."""
        cycles = take.running_s * self.shaft_hz
        rolling = take.noise(self.rolling.curve())
        return {
            "rolling": rolling + faults.swing(rolling, cycles * self.geometry.cage, 0.06),
            "shaft": periodic(self.shaft, cycles) * np.float32(self.shaft_level),
            "motor": periodic(spread(self.motor, 1, self.motor_hz), take.running_s * self.motor_hz)
            * np.float32(self.motor_level),
        }

    def outer_race(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """A spall on the outer race: an impact for each element that passes it, at BPFO, always under load."""
        at = faults.arrivals(trouble, self.shaft_hz * self.geometry.outer, self.slip)
        return self._impacts(trouble, at, np.ones(len(at)))

    def inner_race(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """A spall on the inner race: impacts at BPFI, strong while it turns through the load zone, once a turn."""
        at = faults.arrivals(trouble, self.shaft_hz * self.geometry.inner, self.slip)
        return self._impacts(trouble, at, self._load_zone(trouble.take, at, 1.0))

    def ball(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """A damaged element: impacts at 2 BSF, modulated as the cage carries it through the load zone (FTF)."""
        at = faults.arrivals(trouble, self.shaft_hz * 2 * self.geometry.ball, self.slip)
        return self._impacts(trouble, at, self._load_zone(trouble.take, at, self.geometry.cage))

    def cage(self, trouble: Trouble, parts: Parts) -> Signal:
        """A broken cage: rolling noise swings at FTF, and elements knock the pocket, about once a cage turn."""
        take, rate = trouble.take, self.shaft_hz * self.geometry.cage
        swing = faults.swing(parts["rolling"], take.running_s * rate, 0.1 + 0.7 * trouble.severity, 0.4)
        at = faults.arrivals(trouble, rate, 0.06)
        return swing + faults.knocks(trouble, at, take.chance.uniform(0.4, 1.2, len(at)), -20, 9, hard=False)

    def lubrication(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """Starved of grease: metal touches metal; noise rises above 2 kHz, unsteadily, with random crackles."""
        take = trouble.take
        low = log_uniform(trouble.character, 1500, 4000)
        unsteady = np.exp(0.5 * slow(take.chance, take.size, 5))
        touch = take.noise(band(low, 7900, 2)) * unsteady * np.float32(trouble.size(-24, 5))
        at = faults.poisson(trouble, 10 + 150 * trouble.severity)
        return np.asarray(touch + faults.knocks(trouble, at, take.chance.exponential(1.0, len(at)), -30, -2))

    def _load_zone(self, take: Take, at: Times, order: float) -> Times:
        """Share of the load (Stribeck: cos^1.5 within the loaded half) where a point at `order` turns is then."""
        inside = np.clip(at, 0, take.size - 1).astype(int)
        load = np.cos(2 * np.pi * take.running_s[inside] * self.shaft_hz * order)
        return np.asarray(np.maximum(load, 0.0) ** 1.5 + 0.04)

    def _impacts(self, trouble: Trouble, at: Times, strengths: Times) -> Signal:
        """Impacts that ring the housing; severity is the depth of the spall, so the force of each impact."""
        uneven = strengths * (1 + 0.15 * trouble.take.chance.standard_normal(len(at)))
        ringing = struck(train(trouble.take.size, at, uneven), ring(self.housing, 0.05))
        return faults.sized(ringing, trouble.size(-18, 4))

    ailments: ClassVar[Mapping[str, Ailment]] = {
        "outer_race": outer_race,
        "inner_race": inner_race,
        "ball": ball,
        "cage": cage,
        "lubrication": lubrication,
    }
