"""Pumps, centrifugal and with plungers: what they sound like, healthy and faulty.

Source: Brennen, "Hydrodynamics of pumps" (1994), for vane-pass tones and cavitation noise.
Not here: faults that several kinds share (`faults.py`); when a fault is present (`machine.render`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from audio_pipeline.synth import faults
from audio_pipeline.synth.machine import Ailment, Machine, Parts, Trouble, identity
from audio_pipeline.synth.signals import (
    Colour,
    Orders,
    Signal,
    amplitude,
    band,
    draw_colour,
    draw_overtones,
    log_uniform,
    periodic,
    slow,
    spread,
    together,
    uneven,
)
from audio_pipeline.synth.take import Take


@dataclass(frozen=True, kw_only=True, eq=False)
class Pump(Machine):
    """A centrifugal or piston pump: vane-pass or plunger pulses at z · n over flow noise, motor hum.

    Source: Brennen, "Hydrodynamics of pumps" (1994), for vane-pass tones and cavitation noise.

    Attributes
    ----------
    shaft_hz, vanes
        Turns a second; vanes or plungers.
    pulses, pulse_level
        Amplitude and phase of each shaft order.
    flow, throb
        Colour of the flow noise; how much each pulse modulates it.
    motor, motor_hz, motor_level
        Rotor-slot tones: orders of a high multiple of the shaft.
    """

    kind: ClassVar[str] = "pump"
    shaft_hz: float
    vanes: int
    pulses: Orders
    pulse_level: float
    flow: Colour
    throb: float
    motor: Orders
    motor_hz: float
    motor_level: float

    @classmethod
    def draw(cls, seed: int) -> Self:
        """Draw a pump; two in five have plungers, with sharp pulses."""
        rng = np.random.default_rng(seed)
        plungers = rng.random() < 0.4
        shaft = log_uniform(rng, 2, 16) if plungers else log_uniform(rng, 18, 60)
        vanes = int(rng.integers(1, 6)) if plungers else int(rng.integers(3, 10))
        count, fall = (40, rng.uniform(0.2, 0.9)) if plungers else (12, rng.uniform(0.6, 2))
        passing = spread(draw_overtones(rng, count, fall), vanes, shaft)
        return cls(
            **identity(seed, rng),
            shaft_hz=shaft,
            vanes=vanes,
            pulses=together(passing, uneven(rng, min(int(2000 / shaft), 80), rng.uniform(-28, -8))),
            pulse_level=float(amplitude(rng.uniform(-20, 4))),
            flow=draw_colour(rng, (-7, 1), 4, (1, 5), log_uniform(rng, 100, 1500)),
            throb=float(rng.uniform(0.05, 0.6) if plungers else rng.uniform(0, 0.2)),
            motor=draw_overtones(rng, int(rng.integers(1, 5)), 1.0),
            motor_hz=shaft * float(rng.integers(18, 45)) if not plungers else float(rng.uniform(300, 1500)),
            motor_level=float(amplitude(rng.uniform(-34, -10))),
        )

    def play(self, take: Take) -> Parts:
        """Pulses, flow, motor."""
        cycles = take.running_s * self.shaft_hz
        flow = take.noise(self.flow.curve())
        return {
            "pulses": periodic(self.pulses, cycles) * np.float32(self.pulse_level),
            "flow": flow + faults.swing(flow, cycles * self.vanes, self.throb, 0.4),
            "motor": periodic(spread(self.motor, 1, self.motor_hz), take.running_s * self.motor_hz)
            * np.float32(self.motor_level),
        }

    def cavitation(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """Vapour bubbles collapse: random sharp bursts, in clusters at the vane-pass rate, high-frequency crackle."""
        take, severity = trouble.take, trouble.severity
        vane = 0.5 + 0.5 * np.cos(2 * np.pi * take.running_s * self.shaft_hz * self.vanes)
        surge = np.exp(0.7 * slow(take.chance, take.size, 8)) * vane
        at = faults.poisson(trouble, 60 + 700 * severity)
        collapse = take.chance.exponential(1.0, len(at)) * surge[at.astype(int)]
        crackle = faults.knocks(trouble, at, collapse, -18, 6)
        vapour = take.noise(band(log_uniform(trouble.character, 800, 3000), 7900, 1.5))
        return np.asarray(crackle + vapour * surge.astype(np.float32) * np.float32(trouble.size(-24, 2)))

    def leak(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """A leaking seal hisses."""
        return faults.hiss(trouble)

    def contamination(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """Grit between impeller and casing: scrapes over part of each turn, grains knock."""
        cycles = trouble.take.running_s * self.shaft_hz
        scrape = faults.once_a_turn(cycles, trouble.character.uniform(0.15, 0.5))
        at = faults.poisson(trouble, 5 + 60 * trouble.severity)
        grains = faults.knocks(trouble, at, trouble.take.chance.exponential(1.0, len(at)), -28, 4)
        return faults.rubbing(trouble, scrape, -28, 4) + grains

    def clogging(self, trouble: Trouble, parts: Parts) -> Signal:
        """A blocked inlet: less flow, surging a few times a second, recirculation rumble, louder pulses."""
        take = trouble.take
        surge = slow(take.chance, take.size, trouble.character.uniform(2, 6))
        flow = parts["flow"] * (np.float32(trouble.severity) * (np.float32(0.35) * surge - np.float32(0.4)))
        rumble_hz = log_uniform(trouble.character, 60, 300)
        rumble = take.noise(band(rumble_hz, rumble_hz * 4, 2)) * np.float32(trouble.size(-24, 4))
        return np.asarray(flow + rumble * (1 + 0.4 * surge) + parts["pulses"] * np.float32(trouble.degree(-20, 4)))

    def bearing_wear(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """Worn bearing of the shaft."""
        return faults.bearing_wear(trouble, max(self.shaft_hz, 12.0))

    ailments: ClassVar[Mapping[str, Ailment]] = {
        "cavitation": cavitation,
        "leak": leak,
        "contamination": contamination,
        "clogging": clogging,
        "bearing_wear": bearing_wear,
    }
