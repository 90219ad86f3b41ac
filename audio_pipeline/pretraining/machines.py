"""Machines at random: not this pump or that fan, but any mixture of what machines' sounds are made of.

A machine is coloured noise, tones with overtones, strokes and knocks, each present or not; a fault changes one of them.
The physically modelled kinds are in `audio_pipeline.synth`; these are wider and know no names, so that the encoder does
not learn seven kinds of machine but to notice what changed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.pretraining.corpus import SAMPLE_RATE

Curve = NDArray[np.float64]
_OCTAVES = 8  # noise is coloured by one gain an octave, 31 Hz to 8 kHz


@dataclass(frozen=True, eq=False)
class Noise:
    """Coloured noise, beating or not. `colour_db`: float64[octaves]; resonances: rows of (Hz, octaves, dB)."""

    level: float
    colour_db: Curve
    resonances: Curve
    beat_hz: float
    beat_depth: float


@dataclass(frozen=True, eq=False)
class Tones:
    """A fundamental with overtones of `amplitudes`, frequency-jittered, amplitude-modulated."""

    level: float
    hertz: float
    amplitudes: Curve
    jitter: float
    beat_hz: float
    beat_depth: float


@dataclass(frozen=True, eq=False)
class Strokes:
    """Events at `offsets` (s) in every period, each a burst of decaying modes: rows of (Hz, 1/s, amplitude).

    Of all events, a share `dropped` does not happen; each sounds again, `echo` times as strong, after `echo_s`.
    """

    level: float
    period_s: float
    offsets: Curve
    strengths: Curve
    modes: Curve
    rustle: float
    jitter: float
    dropped: float = 0.0
    echo: float = 0.0
    echo_s: float = 0.05


Part = Noise | Tones | Strokes


@dataclass(frozen=True, eq=False)
class AnyMachine:
    """A machine is its parts."""

    parts: tuple[Part, ...]


def any_machine(rng: np.random.Generator) -> AnyMachine:
    """Draw a machine: noise always, one or two series of tones, strokes, knocks: often."""
    parts: list[Part] = [_noise(rng)]
    parts += [_tones(rng) for _ in range(int(rng.choice(3, p=[0.25, 0.45, 0.3])))]
    if rng.random() < 0.6:
        parts.append(_strokes(rng, rng.uniform(0.15, 2.0)))
    if rng.random() < 0.25:
        parts.append(_strokes(rng, 1 / rng.uniform(8, 120)))
    return AnyMachine(tuple(parts))


def with_fault(machine: AnyMachine, rng: np.random.Generator) -> AnyMachine:
    """The same machine with one part changed, or with a part that should not be there."""
    if rng.random() < 0.3:
        added = (
            replace(_noise(rng), colour_db=np.full(_OCTAVES, -60.0)),
            _tones(rng),
            _strokes(rng, rng.uniform(0.2, 1.5)),
            _strokes(rng, 1 / rng.uniform(8, 120)),
        )[int(rng.integers(4))]
        return AnyMachine((*machine.parts, replace(added, level=float(10 ** (rng.uniform(-20, 0) / 20)))))
    striking = [i for i, part in enumerate(machine.parts) if isinstance(part, Strokes)]
    # Where a machine strikes, its strokes are as often what fails as all the rest together.
    likely = striking if striking and rng.random() < 0.5 else range(len(machine.parts))
    changed = int(rng.choice(likely))
    part = machine.parts[changed]
    return AnyMachine((*machine.parts[:changed], _changed(part, rng), *machine.parts[changed + 1 :]))


def _changed(part: Part, rng: np.random.Generator) -> Part:
    gain = float(10 ** (rng.choice([-1, 1]) * rng.uniform(3, 10) / 20))
    if isinstance(part, Noise):
        return (
            replace(part, resonances=np.concatenate([part.resonances, _resonances(rng, 1)])),
            replace(
                part, colour_db=part.colour_db + rng.uniform(3, 8) * np.sin(rng.uniform(0, 6) + np.arange(_OCTAVES))
            ),
            replace(part, beat_depth=float(rng.uniform(0.4, 0.9)), beat_hz=float(rng.uniform(1, 40))),
        )[int(rng.integers(3))]
    if isinstance(part, Tones):
        uneven = part.amplitudes * 10 ** (rng.uniform(-12, 12, len(part.amplitudes)) / 20)
        return (
            replace(part, amplitudes=uneven),
            replace(part, hertz=part.hertz * rng.choice([0.93, 0.96, 1.04, 1.07])),
            replace(part, beat_depth=float(rng.uniform(0.4, 0.9)), beat_hz=float(rng.uniform(1, 40))),
            replace(part, level=part.level * gain),
        )[int(rng.integers(4))]
    struck = part.modes * [[float(rng.choice([0.8, 1.25])), float(rng.choice([0.5, 2.0])), 1.0]]
    missing = part.strengths * (np.arange(len(part.strengths)) != rng.integers(len(part.strengths)))
    return (
        replace(part, level=part.level * gain),
        replace(part, modes=struck),
        replace(part, strengths=missing),
        replace(part, level=part.level * float(10 ** (-rng.uniform(3, 20) / 20))),
        replace(part, rustle=part.rustle + rng.uniform(0.5, 2.0)),
        replace(part, jitter=part.jitter + rng.uniform(0.05, 0.2)),
        replace(part, dropped=float(rng.uniform(0.15, 0.8))),
        replace(part, echo=float(10 ** (rng.uniform(-16, 0) / 20)), echo_s=float(rng.uniform(0.012, 0.12))),
    )[int(rng.integers(8))]


def sound(machine: AnyMachine, seconds: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """One recording, float32[samples] at 16 kHz: phases, noise and small wanderings are the take's own."""
    count = int(seconds * SAMPLE_RATE)
    samples = np.zeros(count)
    for part in machine.parts:
        voice = {Noise: _sound_noise, Tones: _sound_tones, Strokes: _sound_strokes}[type(part)](part, count, rng)  # type: ignore[operator]
        samples += part.level * 10 ** (rng.normal(0, 0.7) / 20) * voice
    return samples.astype(np.float32)


def _noise(rng: np.random.Generator) -> Noise:
    tilt = rng.uniform(-6, 1) * np.arange(_OCTAVES)
    depth = rng.uniform(0, 0.3) if rng.random() < 0.5 else 0.0
    return Noise(
        level=float(10 ** (rng.uniform(-25, 0) / 20)),
        colour_db=tilt + rng.uniform(-8, 8, _OCTAVES),
        resonances=_resonances(rng, int(rng.integers(4))),
        beat_hz=float(rng.uniform(0.5, 60)),
        beat_depth=float(depth),
    )


def _resonances(rng: np.random.Generator, count: int) -> Curve:
    hertz = np.exp(rng.uniform(np.log(80), np.log(7000), count))
    return np.stack([hertz, rng.uniform(0.05, 0.5, count), rng.uniform(5, 20, count)], axis=1)


def _tones(rng: np.random.Generator) -> Tones:
    overtones = int(rng.integers(1, 25))
    fall = rng.uniform(0.5, 2.0)
    uneven = 10 ** (rng.uniform(-12, 6, overtones) / 20)
    return Tones(
        level=float(10 ** (rng.uniform(-20, 0) / 20)),
        hertz=float(np.exp(rng.uniform(np.log(20), np.log(900)))),
        amplitudes=uneven / np.arange(1, overtones + 1) ** fall,
        jitter=float(np.exp(rng.uniform(np.log(1e-4), np.log(0.01)))),
        beat_hz=float(rng.uniform(0.5, 60)),
        beat_depth=float(rng.uniform(0, 0.3)),
    )


def _strokes(rng: np.random.Generator, period_s: float) -> Strokes:
    events = int(rng.integers(1, 5)) if period_s > 0.15 else 1
    modes = int(rng.integers(1, 6))
    hertz = np.exp(rng.uniform(np.log(150), np.log(7000), modes))
    return Strokes(
        level=float(10 ** (rng.uniform(-12, 6) / 20)),
        period_s=float(period_s),
        offsets=np.sort(rng.uniform(0, period_s, events)),
        strengths=10 ** (rng.uniform(-10, 0, events) / 20),
        modes=np.stack([hertz, rng.uniform(20, 600, modes), rng.uniform(0.2, 1, modes)], axis=1),
        rustle=float(rng.uniform(0, 0.5)),
        jitter=float(rng.uniform(0, 0.02)),
    )


def _beat(hertz: float, depth: float, count: int, rng: np.random.Generator) -> Curve:
    t = np.arange(count) / SAMPLE_RATE
    return np.asarray(1 + depth * np.sin(2 * np.pi * (hertz * t + rng.random())))


def _sound_noise(part: Noise, count: int, rng: np.random.Generator) -> Curve:
    hertz = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    octave = np.log2(np.maximum(hertz, 31.25) / 31.25)
    gain_db = np.interp(octave, np.arange(_OCTAVES), part.colour_db)
    for centre, width, height in part.resonances:
        gain_db = gain_db + height * np.exp(-(((octave - np.log2(centre / 31.25)) / width) ** 2))
    shaped = np.fft.irfft(np.fft.rfft(rng.standard_normal(count)) * 10 ** (gain_db / 20), count)
    return _unit(shaped * _beat(part.beat_hz, part.beat_depth, count, rng))


def _sound_tones(part: Tones, count: int, rng: np.random.Generator) -> Curve:
    wander = np.interp(np.arange(count), np.linspace(0, count, 12), rng.standard_normal(12))
    phase = 2 * np.pi * np.cumsum(part.hertz * (1 + part.jitter * (wander + rng.standard_normal()))) / SAMPLE_RATE
    audible = [k for k in range(1, len(part.amplitudes) + 1) if k * part.hertz < 7800]
    shift = rng.uniform(0, 2 * np.pi, len(part.amplitudes))
    # Overtones by powers of one rotating phasor: one complex product each instead of a sine.
    turn, power, samples = np.exp(1j * phase), np.ones(count, complex), np.zeros(count)
    for k in audible:
        power = power * turn
        samples += part.amplitudes[k - 1] * (power * np.exp(1j * shift[k - 1])).real
    return _unit(samples * _beat(part.beat_hz, part.beat_depth, count, rng)) if audible else samples


def _sound_strokes(part: Strokes, count: int, rng: np.random.Generator) -> Curve:
    t = np.arange(int(0.25 * SAMPLE_RATE)) / SAMPLE_RATE
    hertz, damping, amplitude = (part.modes[:, i, None] for i in range(3))
    burst = (amplitude * np.exp(-damping * t) * np.sin(2 * np.pi * hertz * t)).sum(0)
    burst += part.rustle * np.exp(-damping.mean() * t) * rng.standard_normal(len(t))
    periods = int(count / SAMPLE_RATE / part.period_s) + 2
    starts = (np.arange(periods)[:, None] - rng.random()) * part.period_s + part.offsets[None]
    starts = starts + part.jitter * part.period_s * rng.standard_normal(starts.shape)
    strengths = np.broadcast_to(part.strengths, starts.shape) * 10 ** (rng.normal(0, 1, starts.shape) / 20)
    strengths = strengths * (rng.random(starts.shape) >= part.dropped)
    if part.echo:
        later = part.echo_s * (1 + 0.1 * rng.standard_normal(starts.shape))
        starts, strengths = np.stack([starts, starts + later]), np.stack([strengths, part.echo * strengths])
    at = (starts * SAMPLE_RATE).astype(int)
    inside = (at >= 0) & (at < count)
    train = np.zeros(count)
    np.add.at(train, at[inside], strengths[inside])
    size = 1 << int(np.ceil(np.log2(count + len(burst))))
    struck = np.fft.irfft(np.fft.rfft(train, size) * np.fft.rfft(burst, size), size)[:count]
    return np.asarray(2 * struck / (np.abs(burst).max() + 1e-9))


def _unit(samples: Curve) -> Curve:
    return np.asarray(samples / (np.sqrt(np.mean(samples**2)) + 1e-12))
