"""What machine sounds are built from: coloured noise, periodic waves, struck resonances, slow modulation.

Everything works on whole arrays in float32; coloured noise is drawn in the frequency domain, periodic sounds are read
from a table of one period, so that the cost does not depend on the number of overtones. Not here: which machine has
what (`fans.py`, `valves.py` and the other kinds).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft, rfft

SAMPLE_RATE: Final = 16_000
Signal = NDArray[np.float32]
Times = NDArray[np.float64]
Orders = NDArray[np.complex128]
"""Amplitude and phase of each multiple of a rotation, from order 0 (left out) on."""
Spectrum = NDArray[np.complex64]

GRID: Final = 31.25 * 2.0 ** (np.arange(-12, 97) / 12)
"""Frequencies (Hz) on which spectral shapes are stated: 16 Hz to 8 kHz, twelve an octave."""
_OCTAVE: Final = np.arange(-12, 97) / 12
_KNOTS: Final = np.arange(9)


@dataclass(frozen=True)
class Colour:
    """A spectral shape.

    Attributes
    ----------
    octaves_db
        Gain in dB at 31.25, 62.5 … 8000 Hz.
    resonances
        (Hz, width in octaves, height in dB) of each bump on it.
    """

    octaves_db: tuple[float, ...]
    resonances: tuple[tuple[float, float, float], ...] = ()

    def curve(self) -> Times:
        """Amplitude on `GRID`."""
        level = np.interp(_OCTAVE, _KNOTS, self.octaves_db)
        for hertz, width, height in self.resonances:
            level = level + height * np.exp(-(((_OCTAVE - np.log2(hertz / 31.25)) / width) ** 2))
        return np.asarray(10 ** (level / 20))


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def amplitude(level_db: ArrayLike) -> NDArray[np.float64]:
    """Decibels to amplitude."""
    return np.asarray(10.0 ** (np.asarray(level_db) / 20.0))


def draw_colour(
    rng: np.random.Generator,
    tilt_db: tuple[float, float] = (-7.0, 0.0),
    rough_db: float = 4.0,
    resonances: tuple[int, int] = (0, 4),
    knee_hz: float = 200.0,
) -> Colour:
    """Draw a colour: level up to about `knee_hz`, then a tilt in dB an octave, uneven, with some resonances."""
    above = np.maximum(_KNOTS - np.log2(max(knee_hz, 31.25) / 31.25), 0)
    levels = rng.uniform(*tilt_db) * above + rough_db * rng.standard_normal(9)
    bumps = tuple(
        (log_uniform(rng, 90, 7000), float(rng.uniform(0.04, 0.4)), float(rng.uniform(4, 18)))
        for _ in range(int(rng.integers(resonances[0], resonances[1] + 1)))
    )
    return Colour(tuple(float(level) for level in levels), bumps)


def band(low_hz: float, high_hz: float, steep: float = 6.0) -> Times:
    """Amplitude on `GRID` of a band with soft edges."""
    return np.asarray(1 / np.sqrt((1 + (low_hz / GRID) ** (2 * steep)) * (1 + (GRID / high_hz) ** (2 * steep))))


@lru_cache(maxsize=16)
def bins_hz(size: int) -> Times:
    """Frequencies of a real transform of `size` samples."""
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    hertz.flags.writeable = False
    return np.asarray(hertz)


def on_bins(curve: Times, size: int) -> Signal:
    """A shape stated on `GRID`, on the bins of a transform of `size` samples."""
    return np.interp(bins_hz(size), GRID, curve).astype(np.float32)


def noise(rng: np.random.Generator, size: int, curve: Times) -> Signal:
    """Gaussian noise of a spectral shape.

    Parameters
    ----------
    rng, size
        Source of chance; number of samples.
    curve
        Amplitude on `GRID`; only its shape counts.

    Returns
    -------
    float32[size] of unit power in expectation.
    """
    gain = on_bins(curve, size)
    gain[0] = 0.0
    gain *= size / (2.0 * np.sqrt(np.sum(np.square(gain))))
    spectrum = rng.standard_normal(2 * len(gain), dtype=np.float32).view(np.complex64)
    spectrum *= gain
    return np.asarray(irfft(spectrum, size, overwrite_x=True), np.float32)


def periodic(overtones: Orders, cycles: Times) -> Signal:
    """A wave of given overtones at a given phase.

    Parameters
    ----------
    overtones
        complex128[k]: amplitude and phase of order 0, 1 … k - 1; order 0 is left out.
    cycles
        float64[n]: phase in periods.

    Returns
    -------
    float32[n]; linear interpolation in a table at least 16 times as fine as the highest overtone needs.
    """
    fineness = 32 << int(np.ceil(np.log2(max(len(overtones), 2))))
    padded = np.zeros(fineness // 2 + 1, np.complex128)
    padded[1 : len(overtones)] = overtones[1:]
    table = np.fft.irfft(padded, fineness).astype(np.float32) * (fineness / 2)
    position = ((cycles - np.floor(cycles)) * fineness).astype(np.float32)
    index = position.astype(np.int32)
    position -= index
    index &= fineness - 1
    return np.asarray(table[index] + position * (np.roll(table, -1) - table)[index])


def draw_overtones(rng: np.random.Generator, count: int, fall: float, uneven_db: float = 6.0) -> Orders:
    """Draw overtones of unit power and any phase that fall as order ** -fall, uneven by `uneven_db`."""
    order = np.arange(1.0, count + 1)
    sizes = order**-fall * amplitude(uneven_db * rng.standard_normal(count))
    sizes = sizes * np.sqrt(2 / np.sum(sizes**2))
    return np.concatenate([[0], sizes * np.exp(2j * np.pi * rng.random(count))])


def spread(overtones: Orders, every: int, base_hz: float) -> Orders:
    """Place overtones at each `every`-th order of a slower base rotation; those beyond 7.6 kHz are dropped."""
    audible = min(len(overtones) - 1, int(7600 / (every * base_hz)))
    placed = np.zeros(every * audible + 1, np.complex128)
    placed[::every] = overtones[: audible + 1]
    return placed


def uneven(rng: np.random.Generator, count: int, level_db: float) -> Orders:
    """Weak tones at every multiple of the shaft's speed: no two blades are alike."""
    return draw_overtones(rng, count, 0.7, 5) * 10 ** (level_db / 20)


def together(first: Orders, second: Orders) -> Orders:
    """Add two sets of orders of the same rotation."""
    longer, shorter = (first, second) if len(first) >= len(second) else (second, first)
    total = longer.copy()
    total[: len(shorter)] += shorter
    return total


def ring(modes: NDArray[np.float64], seconds: float = 0.2) -> Signal:
    """What a struck structure sounds like.

    Parameters
    ----------
    modes
        float64[k, 3]: Hz, decay time constant in s, amplitude of each mode.
    seconds
        Where to cut it.

    Returns
    -------
    float32[seconds * 16000]: the sum of decaying sines, peak 1.
    """
    t = (np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE).astype(np.float32)
    hertz, decay, size = (modes[:, i, None].astype(np.float32) for i in range(3))
    sound = (size * np.exp(-t / decay) * np.sin(np.float32(2 * np.pi) * hertz * t)).sum(0)
    return np.asarray(sound / (np.abs(sound).max() + 1e-9), np.float32)


def draw_modes(
    rng: np.random.Generator, low_hz: float, high_hz: float, count: tuple[int, int], decay_s: tuple[float, float]
) -> NDArray[np.float64]:
    """Draw modes of a structure; higher ones decay faster."""
    number = int(rng.integers(count[0], count[1] + 1))
    hertz = np.exp(rng.uniform(np.log(low_hz), np.log(high_hz), number))
    decay = log_uniform(rng, *decay_s) * (hertz / hertz.min()) ** -0.5 * rng.uniform(0.6, 1.6, number)
    return np.stack([hertz, decay, amplitude(rng.uniform(-14, 0, number))], axis=1)


def train(size: int, at: Times, strengths: Times) -> Signal:
    """Impulses of given strengths at given samples (rounded; those outside are dropped)."""
    index = np.rint(at).astype(np.int64)
    inside = (index >= 0) & (index < size)
    return np.bincount(index[inside], strengths[inside], size).astype(np.float32)


def struck(impulses: Signal, burst: Signal) -> Signal:
    """Let every impulse sound as `burst` (circular: what runs over the end is at the beginning)."""
    size = len(impulses)
    return np.asarray(irfft(rfft(impulses) * rfft(burst, size), size, overwrite_x=True), np.float32)


def slow(rng: np.random.Generator, size: int, rate_hz: float) -> Signal:
    """A random curve of standard deviation near 1 that changes about `rate_hz` times a second."""
    count = max(4, int(size / SAMPLE_RATE * rate_hz * 2) + 2)
    knots = np.linspace(0, size, count)
    return np.interp(np.arange(size), knots, 1.2 * rng.standard_normal(count)).astype(np.float32)


def rms(samples: Signal) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(samples), dtype=np.float64)))
