"""What the encoder hears in training: episodes, each one machine somewhere in a noisy hall.

An episode is what a detector meets: a machine at a site (background, microphone, signal-to-noise ratio), healthy clips
of it and clips with faults of several kinds. Everything follows from the seed and the episode's number, so that an
interrupted training goes on exactly.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.pretraining.alterations import Samples, altered, crop
from audio_pipeline.pretraining.corpus import SAMPLE_RATE, Corpus
from audio_pipeline.pretraining.machines import any_machine, sound, with_fault
from audio_pipeline.synth import Fault, draw_machine, factory_noise, render

KNOTS = 7
"""Octaves from 125 Hz to 8 kHz: where a microphone's colour is given."""
_KINDS = ("valve", "valve", "slider", "slider", "pump", "pump", "fan", "bearing", "gearbox", "propeller")
"""Machines that strike or move are harder to learn than those that run: they come twice as often."""
_TAKE_S = 5.0
_HALLS = 150
_HALL_S = 16.0
_DISTRACTED_CLIPS = 0.4  # of the clips of an episode that has a distraction
_PASSING_S = (0.1, 3.0)
_PASSING_DB = (-12.0, 6.0)  # beside the louder of machine and background
_MOST_PASSING = 3


@dataclass(frozen=True)
class Recipe:
    """How episodes are drawn.

    Attributes
    ----------
    episodes
        In one batch.
    healthy, faulty
        Clips in an episode.
    seconds
        Lengths of a clip; each batch has one of them.
    machine_pool, healthy_takes, faulty_takes
        How many different machines there are in all, and recordings of each; every faulty one has a fault of its own.
    real_share
        Share of machines that are real recordings, their faults made by changing the recording.
    physical_share
        Of the others, share of physically modelled ones (`audio_pipeline.synth`); the rest are mixtures of anything.
    severity
        Of the modelled machines' faults.
    background_shares
        Real factory, other machines' recordings, synthetic halls, mixtures of anything: adds up to 1.
    snr_db
        A machine's signal-to-noise ratio is uniform in here.
    snr_jitter_db, colour_jitter_db
        From clip to clip of one episode, deviations of the signal-to-noise ratio and of the frequency response: each
        episode draws its own in here, log-uniform.
    microphone_db
        An episode's frequency response lies within plus or minus this.
    distracted
        Share of episodes in which another machine is heard in some clips, healthy and faulty alike.
    passing
        Share of clips, healthy and faulty alike, in which something comes and goes that is heard in no other clip: real
        halls are full of that, and no reference holds it.
    swell_db
        Standard deviation of a slow rise and fall of the background within a clip: each episode draws its own in here.
    """

    episodes: int = 4
    healthy: int = 16
    faulty: int = 8
    seconds: tuple[float, ...] = (2.5, 4.0, 4.0, 10.0)
    machine_pool: int = 800
    healthy_takes: int = 16
    faulty_takes: int = 6
    real_share: float = 0.2
    physical_share: float = 0.6
    severity: tuple[float, float] = (0.15, 1.0)
    background_shares: tuple[float, float, float, float] = (0.35, 0.15, 0.25, 0.25)
    snr_db: tuple[float, float] = (-18.0, 15.0)
    snr_jitter_db: tuple[float, float] = (0.3, 3.0)
    colour_jitter_db: tuple[float, float] = (0.1, 1.5)
    microphone_db: float = 6.0
    distracted: float = 0.3
    passing: float = 0.5
    swell_db: float = 4.0


@dataclass(frozen=True)
class Episode:
    """One machine at one site.

    Attributes
    ----------
    audio
        float32[clips, samples], each clip at unit power.
    fault
        bool[clips].
    colour_db
        float32[clips, KNOTS]: the frequency response that each clip was recorded with, still to be applied (adding it
        to log spectra costs nothing, filtering does).
    """

    audio: Samples
    fault: NDArray[np.bool_]
    colour_db: Samples


class SceneMaker:
    """Makes episodes, keeping rendered machines for reuse under other backgrounds.

    Parameters
    ----------
    corpus
        Real recordings.
    recipe, seed
        How episodes are drawn.
    kept
        Folder in which rendered machines are kept (3.5 MB each, of use to this recipe and seed only); None: in memory.
    """

    def __init__(self, corpus: Corpus, recipe: Recipe, seed: int, kept: Path | None = None) -> None:
        self._corpus = corpus
        self._recipe = recipe
        self._seed = seed
        self._kept = kept
        self._machines: dict[int, NDArray[np.float16]] = {}
        self._halls: dict[int, NDArray[np.float16]] = {}

    def episode(self, number: int) -> Episode:
        """The episode of that number."""
        recipe, rng = self._recipe, np.random.default_rng([self._seed, 1, number])
        count = int(self._seconds(number) * SAMPLE_RATE)
        takes = self.takes(int(rng.integers(recipe.machine_pool)))
        fault = np.arange(recipe.healthy + recipe.faulty) >= recipe.healthy
        background = self._background(rng)
        distraction = self._background(rng) if rng.random() < recipe.distracted else None
        snr, snr_jitter = rng.uniform(*recipe.snr_db), _log_uniform(rng, *recipe.snr_jitter_db)
        swell_db = rng.uniform(0, recipe.swell_db)
        healthy: list[int] = []
        clips = []
        for ill in fault:
            # Every healthy recording is used before one comes again: what is tested should not have been heard.
            healthy = healthy or rng.permutation(recipe.healthy_takes).tolist()
            take = recipe.healthy_takes + int(rng.integers(recipe.faulty_takes)) if ill else healthy.pop()
            level = snr + snr_jitter * rng.standard_normal()
            noise = unit_power(background(count) * _swell(count, swell_db, rng))
            if distraction is not None and rng.random() < _DISTRACTED_CLIPS:
                noise = noise + unit_power(distraction(count)) * np.float32(10 ** (-rng.uniform(0, 10) / 20))
            if rng.random() < recipe.passing:
                noise = noise + self._passing(count, rng) * np.float32(max(1.0, 10 ** (level / 20)))
            # A machine that its fault makes louder rises over the noise: its recordings share one scale.
            signal = crop(takes[take].astype(np.float32), count, rng)
            clips.append(unit_power(signal + noise * np.float32(10 ** (-level / 20))))
        microphone = rng.uniform(-recipe.microphone_db, recipe.microphone_db, KNOTS)
        jitter = _log_uniform(rng, *recipe.colour_jitter_db) * rng.standard_normal((len(fault), KNOTS))
        return Episode(np.stack(clips), fault, (microphone + jitter).astype(np.float32))

    def _seconds(self, number: int) -> float:
        """The same for all episodes of a batch."""
        batch = number // self._recipe.episodes
        return float(np.random.default_rng([self._seed, 6, batch]).choice(self._recipe.seconds))

    def takes(self, machine: int) -> NDArray[np.float16]:
        """All recordings of a machine, float16[takes, samples], healthy ones first; these have unit power together."""
        if self._kept is None:
            if machine not in self._machines:
                self._machines[machine] = self._record(machine)
            return self._machines[machine]
        path = self._kept / f"{self._seed}-{machine}.npy"
        if not path.exists():
            self._kept.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f"{path.stem}.{os.getpid()}.npy")
            np.save(partial, self._record(machine))
            partial.replace(path)
        return np.asarray(np.load(path, mmap_mode="r"))

    def _record(self, machine: int) -> NDArray[np.float16]:
        """A machine's identity follows from its number, each fault from number and take, the rest from the take."""
        identity = np.random.default_rng([self._seed, 2, machine])
        recipe, count = self._recipe, int(_TAKE_S * SAMPLE_RATE)
        kinds = ("real", "modelled", "any")
        modelled = (1 - recipe.real_share) * recipe.physical_share
        kind = identity.choice(kinds, p=[recipe.real_share, modelled, 1 - recipe.real_share - modelled])
        record: Callable[[np.random.Generator | None, np.random.Generator], Samples]
        if kind == "real" and self._corpus.machines:
            recording = self._corpus.machines[int(identity.integers(len(self._corpus.machines)))][0]

            def record(ailment: np.random.Generator | None, take: np.random.Generator) -> Samples:
                samples = crop(recording, count, take)
                return altered(samples, ailment, take) if ailment else samples

        elif kind == "modelled":
            individual = draw_machine(str(identity.choice(_KINDS)), identity)

            def record(ailment: np.random.Generator | None, take: np.random.Generator) -> Samples:
                fault = None
                if ailment:
                    name = individual.faults[int(ailment.integers(len(individual.faults)))]
                    fault = Fault(name, float(ailment.uniform(*recipe.severity)))
                return render(individual, _TAKE_S, take, fault).samples

        else:
            drawn = any_machine(identity)

            def record(ailment: np.random.Generator | None, take: np.random.Generator) -> Samples:
                return sound(with_fault(drawn, ailment) if ailment else drawn, _TAKE_S, take)

        takes = []
        for number in range(recipe.healthy_takes + recipe.faulty_takes):
            ill = number >= recipe.healthy_takes
            ailment = np.random.default_rng([self._seed, 3, machine, number]) if ill else None
            takes.append(record(ailment, np.random.default_rng([self._seed, 4, machine, number])))
        stacked = np.stack(takes)
        usual = np.sqrt(np.mean(np.square(stacked[: recipe.healthy_takes]), dtype=np.float64)) + 1e-6
        return np.asarray(np.clip(stacked / usual, -6e4, 6e4), np.float16)

    def _background(self, rng: np.random.Generator) -> Callable[[int], Samples]:
        """A site's background: each call gives another stretch of it."""
        kind = rng.choice(4, p=self._recipe.background_shares)
        if kind == 0 and self._corpus.factory:
            chosen = list(self._corpus.factory)
        elif kind == 1 and self._corpus.machines:
            chosen = [self._corpus.machines[int(rng.integers(len(self._corpus.machines)))]]
        else:
            chosen = [self._hall(int(rng.integers(_HALLS)), modelled=kind != 3)[None].astype(np.float32)]

        def stretch(count: int) -> Samples:
            recording = chosen[int(rng.integers(len(chosen)))]
            return crop(recording[int(rng.integers(len(recording)))], count, rng)

        return stretch

    def _passing(self, count: int, rng: np.random.Generator) -> Samples:
        """What comes and goes: a few short stretches of other sounds, each its own; float32[count]."""
        heard = np.zeros(count, np.float32)
        for _ in range(int(rng.integers(1, _MOST_PASSING + 1))):
            length = min(count, int(_log_uniform(rng, *_PASSING_S) * SAMPLE_RATE))
            start = int(rng.integers(count - length + 1))
            level = np.float32(10 ** (rng.uniform(*_PASSING_DB) / 20))
            stretch = unit_power(self._background(rng)(length)) * np.hanning(length).astype(np.float32)
            heard[start : start + length] += level * stretch
        return heard

    def _hall(self, number: int, *, modelled: bool) -> NDArray[np.float16]:
        key = 2 * number + modelled
        if key not in self._halls:
            rng = np.random.default_rng([self._seed, 5, key])
            if modelled:
                hall = factory_noise(_HALL_S, rng)
            else:
                machines = [sound(any_machine(rng), _HALL_S, rng) for _ in range(int(rng.integers(2, 6)))]
                hall = np.sum([unit_power(m) * rng.uniform(0.2, 1) for m in machines], axis=0)
            self._halls[key] = unit_power(hall).astype(np.float16)
        return self._halls[key]


def unit_power(samples: Samples) -> Samples:
    """Scale to a mean square of one."""
    return np.asarray(samples / np.sqrt(np.mean(np.square(samples, dtype=np.float64)) + 1e-12), np.float32)


def _swell(count: int, deviation_db: float, rng: np.random.Generator) -> Samples:
    """A slow gain, float32[count]: a level every second, and a straight line in dB between them."""
    levels = rng.normal(0, deviation_db, count // SAMPLE_RATE + 2)
    curve = np.interp(np.arange(count) / SAMPLE_RATE, np.arange(len(levels)), levels)
    return np.asarray(10 ** (curve / 20), np.float32)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
