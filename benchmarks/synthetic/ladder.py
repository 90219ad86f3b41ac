"""The synthetic fault ladder: machines of every kind, each healthy and with each of its faults, in somebody's noise.

A site is one machine in one hall at one signal-to-noise ratio: normal clips, and a clip for each fault and severity.
Half of the sites stand in a real factory (MIMII fan id_00, normal clips 4 and 5, which pretraining does not hear), half
in a synthetic hall. Not here: features, scores.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from audio_pipeline.synth import KINDS, Fault, Machine, draw_machine, factory_noise, render

SAMPLE_RATE = 16_000
REAL_NOISE = tuple(f"mimii_fan_id00/fan/id_00/normal/{number:08d}.flac" for number in (4, 5))
"""Never 6 to 11, which the noise ladder measures with, and none that pretraining hears."""
CHOOSING_SEED = 1_000
"""Sites that things are chosen on."""
REPORTING_SEED = 2_000
"""Sites that are only reported on, in `benchmarks/encoders`."""
_HALL_S = 40.0
_LEVEL_JITTER_DB = 1.0  # of the noise, from clip to clip: people and machines come and go


@dataclass(frozen=True)
class LadderPlan:
    """What to make.

    Attributes
    ----------
    machines
        Individuals of each kind.
    normals
        Healthy clips of each individual.
    severities, repeats
        So many clips for each of the machine's faults at each severity.
    snr_db
        Taken in turn by the machines of a kind, each kind beginning with another one.
    seed
        Everything follows from it.
    """

    kinds: tuple[str, ...] = KINDS
    machines: int = 4
    normals: int = 20
    severities: tuple[float, ...] = (0.1, 0.3, 0.6, 1.0)
    repeats: int = 1
    snr_db: tuple[float, ...] = (6.0, 0.0, -6.0, -12.0)
    seconds: float = 10.0
    seed: int = CHOOSING_SEED


@dataclass(frozen=True)
class Site:
    """One machine in one place.

    Attributes
    ----------
    kind, number, snr_db, noise
        Which machine, and what it was mixed with: `factory` or `hall`.
    clips
        float32[clips, samples], each at unit power.
    fault
        str[clips]: empty where healthy.
    severity
        float64[clips]: 0 where healthy.
    """

    kind: str
    number: int
    snr_db: float
    noise: str
    clips: NDArray[np.float32]
    fault: NDArray[np.str_]
    severity: NDArray[np.float64]

    @property
    def name(self) -> str:
        """Like `valve 2, -6 dB, hall`."""
        return f"{self.kind} {self.number}, {self.snr_db:g} dB, {self.noise}"

    @property
    def healthy(self) -> NDArray[np.bool_]:
        """bool[clips]."""
        return np.asarray(self.severity == 0)

    def references(self, halves: int = 4) -> Iterator[NDArray[np.bool_]]:
        """Random halves of the healthy clips, bool[clips] each; what is not chosen is tested with the faults."""
        normals = np.flatnonzero(self.healthy)
        for seed in range(halves):
            chosen = np.zeros(len(self.clips), dtype=bool)
            chosen[np.random.default_rng(seed).permutation(normals)[: len(normals) // 2]] = True
            yield chosen

    def halves(self, count: int) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
        """Reference and tested clips, bool[clips] each: what is not reference is tested."""
        for reference in self.references(count):
            yield reference, ~reference


def sites(data: Path | None, plan: LadderPlan | None = None) -> Iterator[Site]:
    """Make the ladder's sites, one after the other.

    Parameters
    ----------
    data
        The data folder with `mimii_fan_id00`; None, or without that folder: synthetic halls only.
    plan
        What to make; the default plan if None.
    """
    plan = plan or LadderPlan()
    factory = _factory(data) if data else []
    for of_kind, kind in enumerate(plan.kinds):
        for number in range(plan.machines):
            seeds = np.random.default_rng([plan.seed, of_kind, number])
            real = bool(factory) and (number + of_kind) % 2 == 0
            noise = factory if real else [factory_noise(_HALL_S, seeds)]
            snr = plan.snr_db[(number + of_kind // 2) % len(plan.snr_db)]
            yield _site(draw_machine(kind, seeds), number, snr, noise, "factory" if real else "hall", plan, seeds)


def cached(folder: Path, data: Path | None, plan: LadderPlan | None = None) -> Iterator[Site]:
    """The same sites, kept in a folder as 16 bits after the first time, those of each plan apart."""
    plan = plan or LadderPlan()
    count = len(plan.kinds) * plan.machines
    made_of = hashlib.sha256(repr((plan, data is None)).encode()).hexdigest()[:16]
    files = [folder / f"{made_of}-{i:03d}.npz" for i in range(count)]
    if all(file.exists() for file in files):
        for file in files:
            with np.load(file) as kept:
                samples = kept["clips"].astype(np.float32) * kept["scale"][:, None]
                yield Site(
                    str(kept["kind"]),
                    int(kept["number"]),
                    float(kept["snr_db"]),
                    str(kept["noise"]),
                    samples,
                    kept["fault"],
                    kept["severity"],
                )
        return
    folder.mkdir(parents=True, exist_ok=True)
    for file, site in zip(files, sites(data, plan), strict=True):
        scale = np.abs(site.clips).max(1) / 32_000
        np.savez(
            file,
            kind=site.kind,
            number=site.number,
            snr_db=site.snr_db,
            noise=site.noise,
            clips=np.round(site.clips / scale[:, None]).astype(np.int16),
            scale=scale.astype(np.float32),
            fault=site.fault,
            severity=site.severity,
        )
        yield site


def _site(
    machine: Machine,
    number: int,
    snr: float,
    noise: list[NDArray[np.float32]],
    noise_name: str,
    plan: LadderPlan,
    rng: np.random.Generator,
) -> Site:
    usual = float(np.mean([_power(render(machine, plan.seconds, rng).samples) for _ in range(2)]))
    wanted: list[Fault | None] = [None] * plan.normals
    wanted += [
        Fault(name, severity) for name in machine.faults for severity in plan.severities for _ in range(plan.repeats)
    ]
    clips, faults, severities = [], [], []
    for fault in wanted:
        made = render(machine, plan.seconds, rng, fault)
        stretch = _stretch(noise, len(made.samples), rng)
        # The hall does not grow louder with a fault: its level follows from the machine's usual power.
        level = snr + _LEVEL_JITTER_DB * rng.standard_normal()
        mixture = made.samples + stretch * np.float32(np.sqrt(usual / _power(stretch)) * 10 ** (-level / 20))
        clips.append(mixture / np.float32(np.sqrt(_power(mixture))))
        faults.append(fault.name if fault else "")
        severities.append(fault.severity if fault else 0.0)
    return Site(machine.kind, number, snr, noise_name, np.stack(clips), np.array(faults), np.array(severities))


def _stretch(noise: list[NDArray[np.float32]], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    recording = noise[int(rng.integers(len(noise)))]
    return np.roll(recording, int(rng.integers(len(recording))))[:count]


def _factory(data: Path) -> list[NDArray[np.float32]]:
    paths = [data / name for name in REAL_NOISE]
    if not all(path.is_file() for path in paths):
        return []
    return [channel for path in paths for channel in sf.read(path, dtype="float32", always_2d=True)[0].T]


def _power(samples: NDArray[np.float32]) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64))) + 1e-12
