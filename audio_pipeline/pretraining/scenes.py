"""What the encoder hears in training: machines, healthy and faulty, somewhere in a noisy hall.

A batch is made of *sites*. A site has one background (real factory recordings, another machine's recording, or a hall
full of synthetic machines) and one microphone curve; in it stand a few machines, each heard several times healthy and
several times with one fault. Everything follows from the seed and the step's number, so that an interrupted training
goes on exactly.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.pretraining.alterations import Samples, altered, crop
from audio_pipeline.pretraining.corpus import SAMPLE_RATE, Corpus
from audio_pipeline.pretraining.machines import any_machine, sound, with_fault
from audio_pipeline.synth import KINDS, Fault, draw_machine, render


@dataclass(frozen=True)
class Recipe:
    """How scenes are drawn. The defaults made the shipped encoder.

    Attributes
    ----------
    machine_pool
        How many different machines there are in all.
    real_share
        Share of machines that are real recordings, their faults made by changing the recording.
    physical_share
        Of the others, share of physically modelled ones (`audio_pipeline.synth`); the rest are mixtures of anything.
    severity
        Of the modelled machines' faults.
    background_shares
        Real factory, other machines' recordings, synthetic: adds up to 1.
    snr_db
        A machine's signal-to-noise ratio is uniform in here.
    """

    sites: int = 4
    machines: int = 4
    healthy: int = 3
    faulty: int = 2
    seconds: tuple[float, ...] = (3.0, 4.0, 5.0)
    machine_pool: int = 1600
    real_share: float = 0.3
    physical_share: float = 0.5
    severity: tuple[float, float] = (0.3, 1.0)
    background_shares: tuple[float, float, float] = (0.4, 0.15, 0.45)
    snr_db: tuple[float, float] = (-16.0, 16.0)
    snr_jitter_db: float = 1.5
    microphone_db: float = 6.0

    @property
    def clips(self) -> int:
        """Clips in a batch."""
        return self.sites * self.machines * (self.healthy + self.faulty)


@dataclass(frozen=True)
class Scenes:
    """One batch.

    Attributes
    ----------
    audio
        float32[clips, samples], each clip at unit power.
    states
        int64[clips]: one number for each machine and state.
    sites
        int64[clips]: one number for each site.
    """

    audio: Samples
    states: NDArray[np.int64]
    sites: NDArray[np.int64]


class SceneMaker:
    """Makes batches of scenes, keeping rendered machines for reuse under other backgrounds."""

    _KEPT_S = 6.0
    _TAKES = 4  # different renderings of one machine in one state
    _BACKGROUNDS = 200
    _CACHE = 20_000  # renderings of 6 s as int16: 3.8 GB

    def __init__(self, corpus: Corpus, recipe: Recipe, seed: int) -> None:
        self._corpus = corpus
        self._recipe = recipe
        self._seed = seed
        self._takes: OrderedDict[tuple[int, ...], NDArray[np.int16]] = OrderedDict()
        self._halls: dict[int, NDArray[np.int16]] = {}

    def batch(self, step: int) -> Scenes:
        """The batch of a step."""
        recipe, rng = self._recipe, np.random.default_rng([self._seed, step])
        count = int(rng.choice(recipe.seconds) * SAMPLE_RATE)
        clips, states, sites = [], [], []
        for site in range(recipe.sites):
            background, microphone = self._background(rng), _microphone(rng, recipe.microphone_db)
            for machine in self._machines(rng):
                snr = rng.uniform(*recipe.snr_db)
                fault = int(rng.integers(1, 3))
                for state in [0] * recipe.healthy + [fault] * recipe.faulty:
                    signal = crop(self._take(machine, state, int(rng.integers(self._TAKES))), count, rng)
                    level = snr + recipe.snr_jitter_db * rng.standard_normal()
                    mixture = unit_power(signal) + unit_power(background(count)) * 10 ** (-level / 20)
                    clips.append(unit_power(microphone(mixture)))
                    states.append(machine * 3 + state)
                    sites.append(site)
        return Scenes(np.stack(clips), np.array(states), np.array(sites))

    def _machines(self, rng: np.random.Generator) -> list[int]:
        return [int(m) for m in rng.choice(self._recipe.machine_pool, self._recipe.machines, replace=False)]

    def _take(self, machine: int, state: int, take: int) -> Samples:
        key = (machine, state, take)
        if key not in self._takes:
            self._takes[key] = _to_int16(self._record(*key))
            if len(self._takes) > self._CACHE:
                self._takes.popitem(last=False)
        return np.asarray(self._takes[key], np.float32)

    def _record(self, machine: int, state: int, take: int) -> Samples:
        """A recording of 6 s: a machine's identity from its number, a fault from its state, the rest from the take."""
        identity = np.random.default_rng([self._seed, 1, machine])
        ailment = np.random.default_rng([self._seed, 2, machine, state])
        take_rng = np.random.default_rng([self._seed, 3, machine, state, take])
        if self._corpus.machines and identity.random() < self._recipe.real_share:
            recording = self._corpus.machines[int(identity.integers(len(self._corpus.machines)))][0]
            samples = crop(recording, int(self._KEPT_S * SAMPLE_RATE), take_rng)
            return altered(samples, ailment, take_rng) if state else samples
        if identity.random() < self._recipe.physical_share:
            modelled = draw_machine(KINDS[int(identity.integers(len(KINDS)))], identity)
            name = modelled.faults[int(ailment.integers(len(modelled.faults)))]
            fault = Fault(name, float(ailment.uniform(*self._recipe.severity))) if state else None
            return render(modelled, self._KEPT_S, take_rng, fault).samples
        drawn = any_machine(identity)
        return sound(with_fault(drawn, ailment) if state else drawn, self._KEPT_S, take_rng)

    def _background(self, rng: np.random.Generator) -> Callable[[int], Samples]:
        """A site's background: each call gives another stretch of it."""
        kind = rng.choice(3, p=self._recipe.background_shares)
        if kind == 0 and self._corpus.factory:
            chosen = [self._corpus.factory[i] for i in rng.integers(len(self._corpus.factory), size=3)]
        elif kind == 1 and self._corpus.machines:
            chosen = [self._corpus.machines[int(rng.integers(len(self._corpus.machines)))]]
        else:
            chosen = [self._hall(int(rng.integers(self._BACKGROUNDS)))[None].astype(np.float32)]

        def stretch(count: int) -> Samples:
            recording = chosen[int(rng.integers(len(chosen)))]
            return crop(recording[int(rng.integers(len(recording)))], count, rng)

        return stretch

    def _hall(self, number: int) -> NDArray[np.int16]:
        if number not in self._halls:
            rng = np.random.default_rng([self._seed, 4, number])
            machines = [sound(any_machine(rng), 16.0, rng) for _ in range(int(rng.integers(2, 6)))]
            self._halls[number] = _to_int16(np.sum([unit_power(m) * rng.uniform(0.2, 1) for m in machines], axis=0))
        return self._halls[number]


def unit_power(samples: Samples) -> Samples:
    """Scale to a mean square of one."""
    return np.asarray(samples / np.sqrt(np.mean(samples**2) + 1e-12), np.float32)


def _to_int16(samples: Samples) -> NDArray[np.int16]:
    return np.asarray(samples * (32_000 / (np.abs(samples).max() + 1e-9)), np.int16)


def _microphone(rng: np.random.Generator, span_db: float) -> Callable[[Samples], Samples]:
    """A smooth frequency response within ± `span_db`, the same for every clip of a site."""
    knots = rng.uniform(-span_db, span_db, 7)

    def colour(samples: Samples) -> Samples:
        spectrum = np.fft.rfft(samples)
        octave = np.log2(np.linspace(1 / 64, 1, len(spectrum))) + 6
        gain = 10 ** (np.interp(octave, np.arange(7), knots) / 20)
        return np.fft.irfft(spectrum * gain, len(samples)).astype(np.float32)

    return colour
