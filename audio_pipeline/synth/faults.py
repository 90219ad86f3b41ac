"""Faults that many kinds of machine share: leaks, squeals, knocks, rattles, scraping, uneven running.

Each function gives what the fault adds, sized relative to the healthy sound and rising with severity. Not here: faults
that belong to one kind (in that kind's module); when a fault is present (`machine.render`).
"""

from __future__ import annotations

import numpy as np

from audio_pipeline.synth.machine import Trouble
from audio_pipeline.synth.signals import (
    SAMPLE_RATE,
    Signal,
    Times,
    band,
    draw_modes,
    draw_overtones,
    log_uniform,
    periodic,
    ring,
    rms,
    slow,
    spread,
    struck,
    train,
)


def sized(signal: Signal, level: float) -> Signal:
    """The signal brought to an RMS of `level`."""
    return np.asarray(signal * np.float32(level / (rms(signal) + 1e-12)), np.float32)


def hiss(trouble: Trouble, low_db: float = -16.0, high_db: float = 4.0) -> Signal:
    """Gas or liquid leaving through a gap: jet noise, a broad hump at about 0.2 U / d (Lush 1971), so above 1.5 kHz."""
    low = log_uniform(trouble.character, 1200, 4500)
    high = min(low * trouble.character.uniform(1.4, 4), 7900.0)
    steady = trouble.take.noise(band(low, high, steep=trouble.character.uniform(1, 5)))
    flutter = 1 + trouble.character.uniform(0.02, 0.25) * slow(trouble.take.chance, trouble.take.size, 6)
    return steady * flutter * np.float32(trouble.size(low_db, high_db))


def squeal(trouble: Trouble, presence: Signal, low_db: float = -18.0, high_db: float = 4.0) -> Signal:
    """Stick-slip friction: a tone with overtones near a mode of what rubs (Akay 2002), while `presence` > 0."""
    hertz = log_uniform(trouble.character, 700, 4500)
    overtones = draw_overtones(trouble.character, int(trouble.character.integers(1, 8)), 1.2, 4)
    take = trouble.take
    sweep = trouble.character.uniform(0.0, 0.05) * slow(take.chance, take.size, 5)
    pitch = hertz * (1 + sweep + 0.03 * (presence - presence.mean()))
    tone = periodic(spread(overtones, 1, hertz * 1.15), np.cumsum(pitch, dtype=np.float64) / SAMPLE_RATE)
    rough = 1 + 0.3 * slow(take.chance, take.size, 60)
    return tone * presence * rough * np.float32(trouble.size(low_db, high_db))


def once_a_turn(cycles: Times, share: float, where: float = 0.0) -> Signal:
    """A smooth bump, 0 to 1, over a `share` of each turn."""
    phase = (cycles - where) - np.floor(cycles - where)
    near = np.minimum(phase, 1 - phase).astype(np.float32)
    return np.where(near < share / 2, 0.5 + 0.5 * np.cos(np.float32(2 * np.pi / share) * near), 0).astype(np.float32)


def rubbing(trouble: Trouble, presence: Signal, low_db: float = -14.0, high_db: float = 6.0) -> Signal:
    """Scraping of rough surfaces: broadband noise, grainy, while `presence` > 0."""
    low = log_uniform(trouble.character, 300, 3000)
    curve = band(low, min(7900.0, low * trouble.character.uniform(2, 8)), steep=2)
    take = trouble.take
    grain = np.abs(slow(take.chance, take.size, log_uniform(trouble.character, 40, 400)))
    return take.noise(curve) * grain * presence * np.float32(trouble.size(low_db, high_db))


def arrivals(trouble: Trouble, rate_hz: float, slip: float) -> Times:
    """Samples at which nearly periodic events happen at a rate per nominal running second.

    The intervals vary independently by `slip` (rolling elements slip by 1 to 2 %: Randall & Antoni 2011, "Rolling
    element bearing diagnostics — a tutorial", MSSP 25).
    """
    running = trouble.take.running_s
    count = int((running[-1] - running[0]) * rate_hz * 1.1) + 3
    intervals = (1 + slip * trouble.take.chance.standard_normal(count)) / rate_hz
    at = running[0] + np.cumsum(np.abs(intervals)) - trouble.take.chance.uniform(0, 1) / rate_hz
    return trouble.take.samples_at(at)


def poisson(trouble: Trouble, rate_hz: float) -> Times:
    """Samples at which independent events happen."""
    count = trouble.take.chance.poisson(rate_hz * trouble.take.size / SAMPLE_RATE)
    return np.asarray(trouble.take.chance.uniform(0, trouble.take.size, count))


def knocks(trouble: Trouble, at: Times, strengths: Times, low_db: float, high_db: float, hard: bool = True) -> Signal:
    """Impacts at given samples that ring the structure; sized by their RMS, or by their peak where they are sparse."""
    low, high = (1500, 7000) if hard else (150, 2500)
    modes = draw_modes(trouble.character, low, high, (1, 4), (0.0008, 0.006) if hard else (0.004, 0.03))
    burst = ring(modes, 0.08)
    # One impact of unit peak has this power for its share of time; what is rarer than 20 a second counts by its peak.
    power = float(np.sum(np.square(burst))) * 20 / SAMPLE_RATE
    impulses = train(trouble.take.size, at, strengths)
    energy = float(np.sum(np.square(impulses))) / (trouble.take.size / SAMPLE_RATE)
    unit = np.sqrt(max(power / 20 * energy, power)) + 1e-9
    peak = trouble.size(low_db, high_db) / unit
    # However short its ringing, a knock is hardly ever more than 20 dB over the running machine.
    return struck(impulses, burst) * np.float32(peak / (1 + peak / (10 * trouble.level)))


def bearing_wear(trouble: Trouble, shaft_hz: float) -> Signal:
    """A worn rolling bearing: impacts at about 0.4 z times the shaft's speed (BPFO), uneven, over rougher rolling."""
    rate = shaft_hz * 0.4 * float(trouble.character.integers(6, 14))
    at = arrivals(trouble, rate, 0.02)
    strengths = 1 + 0.4 * trouble.take.chance.standard_normal(len(at))
    rolling = trouble.take.noise(band(1500, 7000, 2)) * np.float32(trouble.size(-32, -6))
    return knocks(trouble, at, strengths, -24, 5) + rolling


def rattle(trouble: Trouble, shaft_hz: float) -> Signal:
    """A loose part that hits its seat near, not at, every so-many-th of a turn, in fits and starts."""
    rate = shaft_hz / float(trouble.character.integers(1, 4))
    at = arrivals(trouble, rate, 0.08)
    take = trouble.take
    fits = np.maximum(slow(take.chance, take.size, 2) + 0.8, 0)
    strengths = fits[np.clip(at, 0, take.size - 1).astype(int)] * take.chance.uniform(0.3, 1, len(at))
    return knocks(trouble, at, strengths, -24, 8, hard=trouble.character.random() < 0.4)


def swing(part: Signal, cycles: Times, depth: float, second: float = 0.0) -> Signal:
    """What amplitude modulation adds to a part: depth · cos once a turn, and a share of it twice a turn."""
    turn = np.float32(2 * np.pi) * (cycles - np.floor(cycles)).astype(np.float32)
    wave = np.cos(turn)
    if second:
        wave = wave + np.float32(second) * np.cos(2 * turn + 1)
    return np.asarray(part * wave * np.float32(depth), np.float32)
