"""A factory hall: what a microphone hears beside the machine, and how both are mixed at a stated ratio.

Not here: the machine (`machine.py`), its room (`room.py`).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.fft import next_fast_len

from audio_pipeline.errors import SettingsError
from audio_pipeline.synth.signals import (
    SAMPLE_RATE,
    Signal,
    amplitude,
    band,
    draw_colour,
    draw_modes,
    draw_overtones,
    log_uniform,
    noise,
    periodic,
    ring,
    rms,
    slow,
    spread,
    struck,
    train,
)

_LEVEL: Final = 0.1  # root mean square of a hall
_LEAD: Final = SAMPLE_RATE // 4  # what rings over the end falls into this, which is cut off


def factory_noise(seconds: float, rng: np.random.Generator) -> Signal:
    """Draw a hall and listen to it.

    Coloured broadband noise always; by chance hums of mains and motors with their overtones, neighbouring machines
    (tones over modulated noise), impacts at random or in rhythm, compressed air, and slow changes of level.

    Parameters
    ----------
    seconds
        Length.
    rng
        The hall and this recording of it.

    Returns
    -------
    float32[seconds * 16000], RMS 0.1.

    Examples
    --------
    >>> import numpy as np
    >>> from audio_pipeline.synth import factory_noise
    >>> factory_noise(0.5, np.random.default_rng(0)).shape
    (8000,)
    """
    count = round(seconds * SAMPLE_RATE)
    if count < 1:
        raise SettingsError(f"Noise of {seconds:g} s cannot be made: choose a positive length.")
    size = next_fast_len(count + _LEAD, real=True)
    hall = noise(rng, size, draw_colour(rng, (-8, -2), 4, (0, 5), log_uniform(rng, 40, 800)).curve())
    if rng.random() < 0.6:
        hall *= 1 + np.float32(rng.uniform(0.05, 0.35)) * slow(rng, size, log_uniform(rng, 0.2, 6))
    for _ in range(int(rng.integers(0, 3))):
        hall += _hum(rng, size)
    if rng.random() < 0.5:
        hall += _neighbour(rng, size)
    if rng.random() < 0.5:
        hall += _impacts(rng, size)
    if rng.random() < 0.3:
        hall += _compressed_air(rng, size)
    hall = hall[size - count :]
    return np.asarray(hall * np.float32(_LEVEL / (rms(hall) + 1e-12)), np.float32)


def mix(signal: Signal, other: Signal, snr_db: float, usual_rms: float | None = None) -> Signal:
    """Add noise at a signal-to-noise ratio.

    Parameters
    ----------
    signal, other
        float32[n]; the noise is scaled, the signal is left as it is.
    snr_db
        Power of the signal over that of the scaled noise, over the whole length.
    usual_rms
        Level that counts as the signal's instead of its own: a hall does not grow louder when a machine does.

    Raises
    ------
    SettingsError
        The two differ in length, or one is silent.

    Examples
    --------
    >>> import numpy as np
    >>> from audio_pipeline.synth import mix
    >>> tone, hall = np.ones(4, np.float32), np.array([2, -2, 2, -2], np.float32)
    >>> mix(tone, hall, 0.0).tolist()
    [2.0, 0.0, 2.0, 0.0]
    """
    if signal.shape != other.shape:
        raise SettingsError(f"Signal and noise have to be of one length, not {signal.size} and {other.size} samples.")
    level = _power(signal) ** 0.5 if usual_rms is None else usual_rms
    loudness = _power(other) ** 0.5
    if not (level > 0 and loudness > 0):
        raise SettingsError("A signal-to-noise ratio needs a signal and a noise; one of them is silent.")
    return np.asarray(signal + other * np.float32(level / loudness * 10 ** (-snr_db / 20)), np.float32)


def _power(samples: Signal) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64))) if samples.size else 0.0


def _hum(rng: np.random.Generator, size: int) -> Signal:
    """Mains or a motor somewhere."""
    hertz = float(rng.choice([50.0, 60.0, 100.0, 120.0, log_uniform(rng, 20, 900)]))
    tones = spread(draw_overtones(rng, int(rng.integers(1, 30)), rng.uniform(0.4, 2)), 1, hertz)
    cycles = np.arange(size, dtype=np.float64) * (hertz / SAMPLE_RATE)
    wobble = np.float32(rng.uniform(0, 0.3)) * slow(rng, size, 2)
    return periodic(tones, cycles) * (1 + wobble) * np.float32(amplitude(rng.uniform(-24, 0)))


def _neighbour(rng: np.random.Generator, size: int) -> Signal:
    """Another machine: noise that beats with its rotation, and its tone."""
    hertz = log_uniform(rng, 3, 120)
    drift = np.interp(np.arange(size), np.linspace(0, size, 12), np.cumsum(rng.standard_normal(12)) * 0.05)
    cycles = np.asarray(np.arange(size) * (hertz / SAMPLE_RATE) + drift, np.float64)
    orders = draw_overtones(rng, int(rng.integers(2, 40)), rng.uniform(0.3, 1.5), 8)
    tone = periodic(spread(orders, 1, hertz), cycles) * np.float32(amplitude(rng.uniform(-12, 6)))
    shape = draw_colour(rng, (-4, 1), 6, (1, 4), 500)
    beat = 1 + np.float32(rng.uniform(0, 0.7)) * periodic(draw_overtones(rng, 3, 1), cycles)
    return (tone + noise(rng, size, shape.curve()) * beat) * np.float32(amplitude(rng.uniform(-20, 2)))


def _impacts(rng: np.random.Generator, size: int) -> Signal:
    """Things that fall, doors, tools; or a press in its rhythm."""
    total = size / SAMPLE_RATE
    if rng.random() < 0.4:
        period = log_uniform(rng, 0.2, 2)
        at = (np.arange(int(total / period) + 1) + rng.random()) * period
        at = at + 0.01 * period * rng.standard_normal(len(at))
    else:
        at = rng.uniform(0, total, 1 + rng.poisson(log_uniform(rng, 0.2, 8) * total))
    strengths = amplitude(rng.uniform(-20, 0, len(at)))
    burst = ring(draw_modes(rng, log_uniform(rng, 100, 1500), 7000, (2, 8), (0.003, 0.06)), 0.25)
    return struck(train(size, at * SAMPLE_RATE, strengths), burst) * np.float32(amplitude(rng.uniform(0, 22)))


def _compressed_air(rng: np.random.Generator, size: int) -> Signal:
    """Valves that blow off somewhere: hiss that comes and goes."""
    low = log_uniform(rng, 1000, 4000)
    air = noise(rng, size, band(low, 7900, 2))
    gate = np.zeros(size, np.float32)
    for _ in range(int(rng.integers(1, 6))):
        start = int(rng.integers(0, size))
        length = int(log_uniform(rng, 0.05, 1.5) * SAMPLE_RATE)
        piece = gate[start : start + length]
        piece[:] = np.exp(-np.arange(len(piece), dtype=np.float32) * np.float32(rng.uniform(0, 4) / length))
    return air * gate * np.float32(amplitude(rng.uniform(-12, 6)))
