"""Faults made on purpose in real recordings: what a fault does to a sound, without a model of the machine."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

from audio_pipeline.pretraining.corpus import SAMPLE_RATE

Samples = NDArray[np.float32]
_SEAM = 320  # samples that fade into each other where a recording goes round: 20 ms, else its end clicks


def crop(samples: Samples, count: int, rng: np.random.Generator) -> Samples:
    """A stretch of `count` samples at random; a shorter recording goes round."""
    start = int(rng.integers(len(samples)))
    if len(samples) > count:
        start = start % (len(samples) - count)
        return samples[start : start + count]
    if len(samples) == count or len(samples) < 2 * _SEAM:
        return np.resize(np.roll(samples, -start), count)
    rising = np.linspace(0, 1, _SEAM, dtype=np.float32)
    round_ = samples[:-_SEAM].copy()
    round_[:_SEAM] = samples[:_SEAM] * rising + samples[-_SEAM:] * (1 - rising)
    return np.resize(np.roll(round_, -start), count)


def altered(samples: Samples, ailment: np.random.Generator, take: np.random.Generator) -> Samples:
    """The recording with one fault.

    Parameters
    ----------
    ailment
        Draws the fault: the same state gives the same fault.
    take
        Draws its phase and noise: another one for each recording of the fault.
    """
    kind = ailment.choice(["speed", "resonance", "tone", "knocking", "hiss"])
    level = float(np.sqrt(np.mean(samples**2)) * 10 ** (ailment.uniform(-18, 0) / 20))
    hertz = float(np.exp(ailment.uniform(np.log(150), np.log(6500))))
    if kind == "speed":
        faster = SAMPLE_RATE * ailment.choice([0.95, 0.97, 1.03, 1.05])
        return crop(soxr.resample(samples, SAMPLE_RATE, faster), len(samples), take)
    if kind == "resonance":
        gain_db = ailment.choice([-1, 1]) * ailment.uniform(4, 12)
        bump = bell(len(samples), hertz, ailment.uniform(0.15, 0.6))
        return np.asarray(np.fft.irfft(np.fft.rfft(samples) * 10 ** (gain_db * bump / 20), len(samples)), np.float32)
    if kind == "tone":
        added = tone(len(samples), hertz, ailment, take)
    elif kind == "knocking":
        added = 2 * knocking(len(samples), hertz, ailment, take)
    else:
        added = hiss(len(samples), hertz, ailment, take)
    return np.asarray(samples + level * added, np.float32)


def tone(count: int, hertz: float, ailment: np.random.Generator, take: np.random.Generator) -> NDArray[np.float64]:
    """A tone, more or less modulated, of unit amplitude."""
    t = np.arange(count) / SAMPLE_RATE
    phase = take.uniform(0, 2 * np.pi)
    swing = 1 + ailment.uniform(0, 1) * np.sin(2 * np.pi * ailment.uniform(1, 40) * t + phase)
    return np.asarray(swing * np.sin(2 * np.pi * hertz * t + phase))


def knocking(count: int, hertz: float, ailment: np.random.Generator, take: np.random.Generator) -> NDArray[np.float64]:
    """Ringing impulses at a rate, of unit power."""
    rate, damping = ailment.uniform(1, 60), ailment.uniform(200, 1500)
    t = np.arange(800) / SAMPLE_RATE
    ring = np.exp(-damping * t) * np.sin(2 * np.pi * hertz * t)
    at = (np.arange(take.uniform(0, 1), count / SAMPLE_RATE * rate) / rate * SAMPLE_RATE).astype(int)
    train = np.zeros(count)
    train[at[at < count]] = 1 + 0.2 * take.standard_normal(np.count_nonzero(at < count))
    knocks = np.convolve(train, ring)[:count]
    return np.asarray(knocks / (np.sqrt(np.mean(knocks**2)) + 1e-9))


def hiss(count: int, hertz: float, ailment: np.random.Generator, take: np.random.Generator) -> NDArray[np.float64]:
    """Noise in a band, of unit power."""
    shaped = np.fft.rfft(take.standard_normal(count)) * bell(count, hertz, ailment.uniform(0.3, 1.5))
    hiss = np.fft.irfft(shaped, count)
    return np.asarray(hiss / (np.sqrt(np.mean(hiss**2)) + 1e-9))


def bell(count: int, centre: float, octaves: float) -> NDArray[np.float64]:
    """A bell around `centre` Hz over the real spectrum of `count` samples."""
    hertz = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    return np.asarray(np.exp(-((np.log2((hertz + 1) / centre) / octaves) ** 2)))
