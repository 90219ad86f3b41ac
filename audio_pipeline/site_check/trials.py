"""Faults to try: what synthetic machines' faults add to their sound, mixed into a plant's own recordings.

Only what a fault adds can be mixed in: a missing stroke cannot be taken out of a recording. The level is that of the
fault alone against the whole recording (machine and hall together), both as mean power: -10 dB is a tenth.

Here: which faults, mixing. Not here: judging (`check`), the faults' physics (`audio_pipeline.synth`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.clip import SAMPLE_RATE
from audio_pipeline.synth import Fault, draw_machine, render
from audio_pipeline.synth.machine import Machine

Samples = NDArray[np.float32]

LEVELS_DB: Final = (-25.0, -20.0, -15.0, -10.0, -5.0, 0.0)
INDIVIDUALS: Final = 4
"""Different machines that each fault is taken from: no two leaks hiss alike."""
_SEVERITY = 0.7
_TRIES = 20


@dataclass(frozen=True)
class Trial:
    """A fault to mix in: of which synthetic machine, and what a person would call it."""

    kind: str
    fault: str
    words: str


TRIALS: Final = (
    Trial("pump", "leak", "a leak that hisses"),
    Trial("fan", "belt_slip", "a slipping belt that squeals"),
    Trial("slider", "scraping", "metal that scrapes"),
    Trial("bearing", "outer_race", "a worn bearing that ticks"),
    Trial("fan", "rattle", "a loose part that rattles"),
    Trial("gearbox", "broken_tooth", "a broken tooth that knocks once a turn"),
    Trial("pump", "cavitation", "cavitation that crackles"),
    Trial("fan", "obstruction", "rubbing and turbulence that rush"),
    Trial("gearbox", "misalignment", "a misaligned shaft that hums"),
)


@dataclass(frozen=True)
class FaultResult:
    """What became of one fault.

    Parameters
    ----------
    name, words
        `kind/fault`, and in words.
    tried
        Pieces that it was mixed into, at each level.
    found
        How many of them raised an alarm, a level each.
    found_from_db
        The lowest level from which on at least four fifths were found at every level; None: at none.
    """

    name: str
    words: str
    tried: int
    found: tuple[int, ...]
    found_from_db: float | None


def changes(trial: Trial, seconds: float, seed: int) -> list[Samples]:
    """What a fault adds, on several machines: float32[n] of unit power each, n samples of `seconds`."""
    return [change(trial, seconds, seed, individual) for individual in range(INDIVIDUALS)]


def change(trial: Trial, seconds: float, seed: int, individual: int) -> Samples:
    """What a fault adds on one machine: float32[n] of unit power."""
    rng = np.random.default_rng([seed, individual, *trial.kind.encode(), *trial.fault.encode()])
    for _ in range(_TRIES):
        machine: Machine = draw_machine(trial.kind, rng)
        take = int(rng.integers(2**63))
        # The same take with and without the fault: the healthy part is the same, sample by sample.
        healthy = render(machine, seconds, np.random.default_rng(take)).samples
        ill = render(machine, seconds, np.random.default_rng(take), Fault(trial.fault, _SEVERITY)).samples
        added = ill - healthy
        power = float(np.mean(np.square(added, dtype=np.float64)))
        if power > 0:
            return np.asarray(added / np.sqrt(power), np.float32)
    raise AssertionError(f"{trial.kind}/{trial.fault} changes nothing in {_TRIES} machines")


def mixed(samples: Samples, fault: Samples, level_db: float, start: int = 0) -> Samples:
    """Mix a fault into a recording at a level relative to it, beginning at sample `start` of the fault."""
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    added = np.take(fault, np.arange(start, start + len(samples)), mode="wrap")
    own = float(np.mean(np.square(added, dtype=np.float64))) or 1.0
    return np.asarray(samples + added * np.float32(np.sqrt(power / own) * 10 ** (level_db / 20)), np.float32)


def result(trial: Trial, tried: int, found: list[int]) -> FaultResult:
    """Sum a fault up."""
    from_db = None
    for level, count in zip(reversed(LEVELS_DB), reversed(found), strict=True):
        if count < 0.8 * tried:
            break
        from_db = level
    return FaultResult(f"{trial.kind}/{trial.fault}", trial.words, tried, tuple(found), from_db)


def seconds_of(samples: Samples) -> float:
    """Length in seconds, at least what a synthetic machine can be recorded for."""
    return max(0.5, len(samples) / SAMPLE_RATE)
