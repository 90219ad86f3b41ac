"""Gearboxes: what they sound like, healthy and faulty.

Sources: Randall, "A new method of modeling gear faults", J. Mech. Des. 104 (1982), and Norton & Karczub,
"Fundamentals of noise and vibration analysis for engineers", ch. 8, for mesh tones and their sidebands.
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
    spread,
    struck,
    train,
)
from audio_pipeline.synth.take import Take


@dataclass(frozen=True)
class Stage:
    """A pair of wheels: input turns a second, teeth of both, mesh overtones and their level."""

    shaft_hz: float
    teeth: int
    driven_teeth: int
    mesh: Orders
    level: float

    @property
    def mesh_hz(self) -> float:
        """Teeth that meet in a second: teeth · turns of either wheel."""
        return self.shaft_hz * self.teeth

    @property
    def driven_hz(self) -> float:
        """Turns a second of the driven wheel."""
        return self.mesh_hz / self.driven_teeth


@dataclass(frozen=True, kw_only=True, eq=False)
class Gearbox(Machine):
    """One to three stages: mesh tones z · n with overtones, faint sidebands at both shafts, casing noise.

    Attributes
    ----------
    stages
        From the input on; each turns with the driven wheel of the one before.
    runout
        Healthy eccentricity: depth of modulation by either shaft.
    casing, casing_level, modes
        Colour and level of the noise; modes that impacts excite (Hz, s, amplitude).
    """

    kind: ClassVar[str] = "gearbox"
    stages: tuple[Stage, ...]
    runout: tuple[float, float]
    casing: Colour
    casing_level: float
    modes: NDArray[np.float64]

    @classmethod
    def draw(cls, seed: int) -> Self:
        """Draw a gearbox: input of 8 to 60 turns a second, 11 to 40 teeth on 17 to 97."""
        rng = np.random.default_rng(seed)
        common = identity(seed, rng)
        stages, shaft = [], log_uniform(rng, 8, 60)
        for _ in range(int(rng.integers(1, 4))):
            mesh = draw_overtones(rng, int(rng.integers(2, 14)), rng.uniform(0.5, 1.8))
            stage = Stage(
                shaft,
                int(rng.integers(11, 41)),
                int(rng.integers(17, 98)),
                mesh,
                float(amplitude(rng.uniform(-14, 3))),
            )
            stages.append(stage)
            shaft = stage.driven_hz
        return cls(
            **common,
            stages=tuple(stages),
            runout=(float(rng.uniform(0.01, 0.12)), float(rng.uniform(0.01, 0.12))),
            casing=draw_colour(rng, (-7, 0), 4, (1, 5), log_uniform(rng, 100, 1500)),
            casing_level=float(amplitude(rng.uniform(-12, 6))),
            modes=draw_modes(rng, 400, 5000, (2, 6), (0.001, 0.012)),
        )

    def play(self, take: Take) -> Parts:
        """A part each stage, and the casing's noise."""
        parts: Parts = {"casing": take.noise(self.casing.curve()) * np.float32(self.casing_level)}
        for number, stage in enumerate(self.stages):
            tone = periodic(spread(stage.mesh, 1, stage.mesh_hz), take.running_s * stage.mesh_hz)
            own = faults.swing(tone, take.running_s * stage.shaft_hz, self.runout[0])
            driven = faults.swing(tone, take.running_s * stage.driven_hz, self.runout[1])
            parts[f"stage {number}"] = (tone + own + driven) * np.float32(stage.level)
        return parts

    def tooth_crack(self, trouble: Trouble, parts: Parts) -> Signal:
        """A cracked tooth gives way: once a turn the mesh tone dips and slips, and a soft knock follows."""
        number, cycles, at = self._worn_wheel(trouble)
        dip = faults.once_a_turn(cycles, 2.5 / self.stages[number].teeth, 0.0)
        slack = parts[f"stage {number}"] * dip * np.float32(-1.6 * trouble.severity)
        return slack + self._knock(trouble, at, -16, 5)

    def broken_tooth(self, trouble: Trouble, parts: Parts) -> Signal:
        """A tooth is missing: a hard knock once a turn, and the mesh tone gone for that moment."""
        number, cycles, at = self._worn_wheel(trouble)
        gap = faults.once_a_turn(cycles, 3.5 / self.stages[number].teeth, 0.0)
        return parts[f"stage {number}"] * -gap + self._knock(trouble, at, -12, 11)

    def wear(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """Worn flanks: higher multiples of the mesh rise, sidebands around them, rough noise."""
        stage = self.stages[int(trouble.character.integers(len(self.stages)))]
        take, order = trouble.take, np.arange(24)
        rough = draw_overtones(trouble.character, 23, 0.2, 5) * (order >= 2)
        tone = periodic(spread(rough, 1, stage.mesh_hz), take.running_s * stage.mesh_hz)
        sidebands = faults.swing(tone, take.running_s * stage.shaft_hz, 0.6, 0.5)
        noise = take.noise(band(log_uniform(trouble.character, 500, 3000), 7900, 2)) * np.float32(0.4)
        beat = faults.swing(noise, take.running_s * stage.mesh_hz, 0.6)
        return (tone + sidebands + noise + beat) * np.float32(trouble.size(-20, 4))

    def eccentricity(self, trouble: Trouble, parts: Parts) -> Signal:
        """A wheel off its centre: the mesh tone is modulated once a turn in level and phase (sidebands at ± n)."""
        number = int(trouble.character.integers(len(self.stages)))
        stage, take = self.stages[number], trouble.take
        hertz = stage.shaft_hz if trouble.character.random() < 0.5 else stage.driven_hz
        turn = take.running_s * hertz
        depth = 0.1 + 0.8 * trouble.severity
        sway = 0.35 * trouble.severity * np.sin(2 * np.pi * turn) / (2 * np.pi)
        swayed = periodic(spread(stage.mesh, 1, stage.mesh_hz), take.running_s * stage.mesh_hz + sway)
        swayed *= np.float32(stage.level) * take.loading(f"stage {number}")
        runout = parts[f"stage {number}"]
        plain = periodic(spread(stage.mesh, 1, stage.mesh_hz), take.running_s * stage.mesh_hz)
        plain *= np.float32(stage.level) * take.loading(f"stage {number}")
        casing = faults.swing(parts["casing"], turn, 0.5 * trouble.severity)
        return (swayed - plain) + faults.swing(runout, turn, depth, 0.2) + casing

    def misalignment(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """Shafts not in line: twice the mesh rises, modulated twice a turn; the shaft shakes at 2 n (2x)."""
        number = int(trouble.character.integers(len(self.stages)))
        stage, take = self.stages[number], trouble.take
        doubled = np.zeros(7, np.complex128)
        doubled[[2, 4, 6]] = np.array([1.0, 0.6, 0.3]) * np.exp(2j * np.pi * trouble.character.random(3))
        tone = periodic(spread(doubled, 1, stage.mesh_hz), take.running_s * stage.mesh_hz)
        tone = tone + faults.swing(tone, take.running_s * 2 * stage.shaft_hz, 0.5)
        shake = np.zeros(9, np.complex128)
        shake[[1, 2, 4, 6, 8]] = [0.3, 1.0, 0.6, 0.4, 0.3]
        shaking = periodic(spread(shake, 1, stage.shaft_hz), take.running_s * stage.shaft_hz)
        return (tone + 0.5 * shaking) * np.float32(trouble.size(-22, 2))

    def bearing_wear(self, trouble: Trouble, parts: Parts) -> Signal:  # noqa: ARG002
        """Worn bearing of the input shaft."""
        return faults.bearing_wear(trouble, self.stages[0].shaft_hz)

    def _worn_wheel(self, trouble: Trouble) -> tuple[int, Times, Times]:
        """A stage, its driving wheel's turns with the bad tooth meshing at 0, and the samples at which it meshes."""
        number = int(trouble.character.integers(len(self.stages)))
        cycles = trouble.take.running_s * self.stages[number].shaft_hz
        meetings = np.arange(np.ceil(cycles[0]), cycles[-1])
        return number, cycles, trouble.take.samples_at(meetings / self.stages[number].shaft_hz)

    def _knock(self, trouble: Trouble, at: Times, low_db: float, high_db: float) -> Signal:
        """Impacts on the casing, sized by peak: a knock is heard by its moment, not by its share of the power."""
        strengths = 1 + 0.12 * trouble.take.chance.standard_normal(len(at))
        ringing = struck(train(trouble.take.size, at, strengths), ring(self.modes, 0.1))
        return ringing * np.float32(2.0 * trouble.size(low_db, high_db))

    ailments: ClassVar[Mapping[str, Ailment]] = {
        "tooth_crack": tooth_crack,
        "broken_tooth": broken_tooth,
        "wear": wear,
        "eccentricity": eccentricity,
        "misalignment": misalignment,
        "bearing_wear": bearing_wear,
    }
