"""Fans: what they sound like, healthy and faulty.

Blades that pass a fixed point radiate at the blade-pass frequency B · n and its multiples (B blades, n turns a second;
Neise, "Review of fan noise generation mechanisms and control methods", 1992; Norton & Karczub, "Fundamentals of noise
and vibration analysis for engineers", ch. 8), over broadband flow noise that the casing colours.
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
    SAMPLE_RATE,
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
class Fan(Machine):
    """A fan or blower: blade-pass tones at B · n, flow noise modulated by the passing blades, motor hum.

    Attributes
    ----------
    shaft_hz, blades
        Turns a second; number of blades.
    tones
        Amplitude and phase of each shaft order (blade-pass orders and the unevenness between them).
    tone_level, flow_level, hum_level
        Relative levels.
    flow
        Colour of the flow noise.
    beat
        How much passing blades modulate it.
    hum_hz
        Twice the mains frequency.
    """

    kind: ClassVar[str] = "fan"
    shaft_hz: float
    blades: int
    tones: Orders
    tone_level: float
    flow: Colour
    flow_level: float
    beat: float
    hum: Orders
    hum_hz: float
    hum_level: float

    @classmethod
    def draw(cls, seed: int) -> Self:
        """Draw a fan: 8 to 60 turns a second, 3 to 16 blades."""
        rng = np.random.default_rng(seed)
        shaft, blades = log_uniform(rng, 8, 60), int(rng.integers(3, 17))
        passing = spread(draw_overtones(rng, int(rng.integers(2, 16)), rng.uniform(0.5, 2)), blades, shaft)
        return cls(
            **identity(seed, rng),
            shaft_hz=shaft,
            blades=blades,
            tones=together(passing, uneven(rng, min(int(3000 / shaft), 60), rng.uniform(-30, -8))),
            tone_level=float(amplitude(rng.uniform(-22, 2))),
            flow=draw_colour(rng, (-8, -1), 3, (1, 5), log_uniform(rng, 80, 800)),
            flow_level=1.0,
            beat=float(rng.uniform(0, 0.25)),
            hum=draw_overtones(rng, int(rng.integers(1, 9)), rng.uniform(0.4, 1.5)),
            hum_hz=float(rng.choice([100.0, 120.0])),
            hum_level=float(amplitude(rng.uniform(-35, -6))),
        )

    def play(self, take: Take) -> Parts:
        """Tones, flow, hum."""
        cycles = take.running_s * self.shaft_hz
        flow = take.noise(self.flow.curve())
        seconds = np.arange(take.size) / SAMPLE_RATE + take.chance.random()
        return {
            "tones": periodic(self.tones, cycles) * np.float32(self.tone_level),
            "flow": (flow + faults.swing(flow, cycles * self.blades, self.beat)) * np.float32(self.flow_level),
            "hum": periodic(self.hum, seconds * self.hum_hz) * np.float32(self.hum_level),
        }

    def imbalance(self, trouble: Trouble, parts: Parts) -> Signal:
        """A heavy spot: everything swells once a turn, and the casing shakes at 1, 2, 3 … n (ISO 21940, 1x)."""
        cycles = trouble.take.running_s * self.shaft_hz
        depth = 0.08 + 0.82 * trouble.severity
        shaking = draw_overtones(trouble.character, int(min(12, 600 / self.shaft_hz)) + 2, 0.8, 4)
        shake = periodic(shaking, cycles) * np.float32(trouble.size(-26, -3))
        return faults.swing(parts["flow"] + parts["tones"], cycles, depth, 0.3) + shake

    def blade_damage(self, trouble: Trouble, parts: Parts) -> Signal:
        """One blade pushes less: its pulse is missing from the train (tones at every n), the flow dips once a turn."""
        cycles = trouble.take.running_s * self.shaft_hz
        dip = faults.once_a_turn(cycles, 1.6 / self.blades) * np.float32(-0.75 * trouble.severity)
        orders = draw_overtones(trouble.character, min(int(3000 / self.shaft_hz), 90), 0.45, 5)
        pulses = periodic(orders, cycles) * np.float32(trouble.size(-22, -2))
        return np.asarray((parts["flow"] + 0.5 * parts["tones"]) * dip + pulses)

    def belt_slip(self, trouble: Trouble, parts: Parts) -> Signal:
        """The belt slips on its pulley: squeals at part of each belt turn, and the belt flaps."""
        cycles = trouble.take.running_s * self.shaft_hz * trouble.character.uniform(0.15, 0.5)
        slipping = np.maximum(slow(trouble.take.chance, trouble.take.size, 1.5) * 0.5 + 0.7, 0)
        presence = faults.once_a_turn(cycles, trouble.character.uniform(0.3, 0.9)) * slipping
        flap = faults.swing(parts["flow"], cycles, 0.3 * trouble.severity)
        return faults.squeal(trouble, presence.astype(np.float32)) + flap

    def bearing_wear(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """Worn bearing of the shaft."""
        return faults.bearing_wear(trouble, self.shaft_hz)

    def obstruction(self, trouble: Trouble, parts: Parts) -> Signal:
        """A clogged or blocked inlet: turbulence and stall, broad and gusty, at low and middle frequencies."""
        take = trouble.take
        low = log_uniform(trouble.character, 60, 500)
        turbulence = take.noise(band(low, low * trouble.character.uniform(3, 10), 1.5))
        gusts = np.exp(0.5 * slow(take.chance, take.size, trouble.character.uniform(3, 14)))
        more = parts["tones"] * np.float32(trouble.degree(-24, 5))
        return np.asarray(turbulence * gusts * np.float32(trouble.size(-24, 5)) + more)

    def rattle(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """A loose guard."""
        return faults.rattle(trouble, self.shaft_hz)

    ailments: ClassVar[Mapping[str, Ailment]] = {
        "imbalance": imbalance,
        "blade_damage": blade_damage,
        "belt_slip": belt_slip,
        "bearing_wear": bearing_wear,
        "obstruction": obstruction,
        "rattle": rattle,
    }
