"""Propellers of small aircraft: what they sound like, healthy and faulty.

Sources: Gutin (1936) for tones at B · n that fall with order; the motor whines at multiples of its pole pairs times n.
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
    Times,
    amplitude,
    band,
    draw_colour,
    draw_overtones,
    log_uniform,
    periodic,
    spread,
    together,
    uneven,
)
from audio_pipeline.synth.take import Take


@dataclass(frozen=True, kw_only=True, eq=False)
class Propeller(Machine):
    """One to four brushless motors with blades: B · n and many multiples, commutation whine, wake noise.

    The motor whines at multiples of its pole pairs times n; blade tones follow Gutin (1936) in falling with order, wake
    noise peaks at a few hundred Hz to kHz. Speeds wander as a flight controller corrects them, each for itself.

    Attributes
    ----------
    shaft_hz
        Turns a second of each rotor.
    blades, pole_pairs
        Blades a rotor; pole pairs a motor.
    tones, tone_level
        Amplitude and phase of each shaft order, the same for all rotors.
    whine_level, wake, beat
        Level of the motor's whine; colour of the wake noise and how much blades modulate it.
    """

    kind: ClassVar[str] = "propeller"
    shaft_hz: tuple[float, ...]
    blades: int
    tones: Orders
    tone_level: float
    whine: Orders
    whine_level: float
    wake: Colour
    beat: float

    @classmethod
    def draw(cls, seed: int) -> Self:
        """Draw one, two or four rotors at 50 to 190 turns a second."""
        rng = np.random.default_rng(seed)
        common = identity(seed, rng) | {"jitter": log_uniform(rng, 1e-3, 1.5e-2), "speed_spread": 0.015}
        shaft, blades = log_uniform(rng, 50, 190), int(rng.choice([2, 2, 2, 3, 4]))
        passing = spread(draw_overtones(rng, int(rng.integers(5, 30)), rng.uniform(0.5, 1.8)), blades, shaft)
        poles = int(rng.choice([6, 7, 7, 8, 11]))
        return cls(
            **common,
            shaft_hz=tuple(float(shaft * s) for s in rng.uniform(0.94, 1.06, int(rng.choice([1, 2, 4])))),
            blades=blades,
            tones=together(passing, uneven(rng, min(int(5000 / shaft), 40), rng.uniform(-32, -14))),
            tone_level=float(amplitude(rng.uniform(-8, 10))),
            whine=spread(draw_overtones(rng, int(rng.integers(1, 7)), 0.5), poles, shaft),
            whine_level=float(amplitude(rng.uniform(-26, -6))),
            wake=draw_colour(rng, (-6, 0), 3, (1, 4), log_uniform(rng, 300, 2500)),
            beat=float(rng.uniform(0, 0.35)),
        )

    def play(self, take: Take) -> Parts:
        """A part each rotor, and the wake."""
        parts: Parts = {}
        wave = together(self.tones * self.tone_level, self.whine * self.whine_level)
        for number, hertz in enumerate(self.shaft_hz):
            parts[f"rotor {number}"] = periodic(wave, self._turns(take, number) * hertz) / np.float32(
                np.sqrt(len(self.shaft_hz))
            )
        wake = take.noise(self.wake.curve())
        parts["wake"] = wake + faults.swing(wake, self._turns(take, 0) * self.shaft_hz[0] * self.blades, self.beat)
        return parts

    def _turns(self, take: Take, rotor: int) -> Times:
        """Nominal seconds that a rotor has run: the common speed and its own corrections."""
        own = np.random.default_rng([take.seed, 4, rotor])
        knots = np.linspace(0, take.size, max(4, take.size // 2000))
        drift = np.cumsum(own.standard_normal(len(knots))) * self.jitter * 0.02
        return np.asarray(take.running_s + np.interp(np.arange(take.size), knots, drift + own.random()))

    def chipped_blade(self, trouble: Trouble, parts: Parts) -> Signal:
        """A nick in one blade of one rotor: tones at every n, edge noise once a turn; the rotor speeds up slightly."""
        return self._damage(trouble, parts, lost=0.4 * trouble.severity, low_db=-24, high_db=-3)

    def cut_blade(self, trouble: Trouble, parts: Parts) -> Signal:
        """A blade's end is gone: strong 1x, uneven thrust, a faster rotor for the same lift (thrust ~ n² D⁴)."""
        return self._damage(trouble, parts, lost=0.2 + 0.8 * trouble.severity, low_db=-16, high_db=3)

    def _damage(self, trouble: Trouble, parts: Parts, lost: float, low_db: float, high_db: float) -> Signal:
        take, character = trouble.take, trouble.character
        number = int(character.integers(len(self.shaft_hz)))
        hertz = self.shaft_hz[number] * (1 + 0.08 * lost)
        cycles = self._turns(take, number) * hertz
        wave = together(self.tones * self.tone_level * (1 - 0.5 * lost), self.whine * self.whine_level)
        rotor = periodic(wave, cycles) * take.loading(f"rotor {number}") / np.float32(np.sqrt(len(self.shaft_hz)))
        shake = draw_overtones(character, min(int(6000 / hertz), 45), character.uniform(0.4, 1.2))
        uneven = periodic(shake, cycles) * np.float32(trouble.size(low_db, high_db))
        edge = take.noise(band(log_uniform(character, 600, 3000), 7900, 1.5)) * (0.4 + faults.once_a_turn(cycles, 0.6))
        wake = faults.swing(parts["wake"], cycles, min(0.7 * lost, 0.7))
        return rotor - parts[f"rotor {number}"] + uneven + edge * np.float32(trouble.size(low_db, high_db)) + wake

    def imbalance(self, trouble: Trouble, parts: Parts) -> Signal:
        """A heavy spot on one rotor: 1x modulation, and the frame shakes at n, 2n, 3n."""
        number = int(trouble.character.integers(len(self.shaft_hz)))
        cycles = self._turns(trouble.take, number) * self.shaft_hz[number]
        shake = periodic(draw_overtones(trouble.character, 6, 1.0), cycles) * np.float32(trouble.size(-20, 2))
        swung = faults.swing(parts["wake"] + parts[f"rotor {number}"], cycles, 0.05 + 0.6 * trouble.severity)
        return swung + shake

    def motor_bearing(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """Worn bearing of one motor."""
        return faults.bearing_wear(trouble, self.shaft_hz[0])

    def loose_mount(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """A motor mount rattles."""
        return faults.rattle(trouble, self.shaft_hz[0] / 2)

    ailments: ClassVar[Mapping[str, Ailment]] = {
        "chipped_blade": chipped_blade,
        "cut_blade": cut_blade,
        "imbalance": imbalance,
        "motor_bearing": motor_bearing,
        "loose_mount": loose_mount,
    }
