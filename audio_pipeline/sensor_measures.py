"""How the figures of the sensor check are measured, block by block: flat tops, holes, the mix's spectrum.

Each class takes blocks in any cut and comes to the same figures (but for what `FlatTops` counts near an extreme, which
begins with the block that reached it). Not here: what the figures mean (`sensor.py`).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

STEP: Final = 2.0**-15
"""One step of 16 bits."""

_RATE: Final = 16_000  # of the mono mix
_SEGMENT: Final = 16_384  # samples a spectrum: 1 Hz a bin, narrow enough to tell mains from rotation
_WINDOW: Final[NDArray[np.float64]] = np.hanning(_SEGMENT)
_BAND_BINS: Final = 128  # 125 Hz
_HARMONICS: Final[NDArray[np.float64]] = np.arange(1, 13, dtype=np.float64)
_HOLE_S: Final = 0.005  # the shortest run of equal samples that no sound has
_EDGE_S: Final = 0.002  # looked at on both sides of such a run


class FlatTops:
    """Counts of samples at and near one extreme of each channel, begun anew whenever the extreme moves out."""

    def __init__(self, channels: int, sign: float) -> None:
        self._sign = np.float32(sign)
        self.level: NDArray[np.float32] = np.full(channels, -np.inf, dtype=np.float32)
        self.at: NDArray[np.int64] = np.zeros(channels, dtype=np.int64)
        self.near: NDArray[np.int64] = np.zeros(channels, dtype=np.int64)
        self._next: NDArray[np.float32] = np.full(channels, -np.inf, dtype=np.float32)  # largest value below `level`

    def add(self, planes: NDArray[np.float32]) -> None:
        """Take float32[channels, frames]."""
        top = planes.max(axis=1) if self._sign > 0 else -planes.min(axis=1)
        moved = top > self.level
        self._next = np.where(moved, self.level, self._next)
        self.level = np.where(moved, top, self.level)
        self.at[moved] = self.near[moved] = 0
        for channel in np.flatnonzero(top >= 0.95 * self.level):
            column = planes[channel] * self._sign
            high = column[column >= 0.95 * self.level[channel]]
            below = high[high < self.level[channel]]
            self.at[channel] += len(high) - len(below)
            self.near[channel] += len(below)
            self._next[channel] = below.max(initial=self._next[channel])

    def tell_apart(self) -> NDArray[np.bool_]:
        """Whether the samples have steps fine enough for a pile at the extreme to mean something."""
        return self.level - self._next <= 0.01 * self.level


class Holes:
    """Runs of equal samples inside running sound, on one channel."""

    def __init__(self, rate: int) -> None:
        self._least = max(24, round(_HOLE_S * rate))
        self._edge = max(8, round(_EDGE_S * rate))
        self._carry: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self._skipped = 0  # equal samples of the open run that are not carried along
        self.count = 0
        self.samples = 0

    def add(self, column: NDArray[np.float32], peak: float) -> None:
        """Take float32[frames] of the channel, and its largest magnitude so far."""
        x = np.concatenate((self._carry, column))
        # A long run covers two neighbouring points of a coarse grid: most blocks are done with one look at those.
        grid = x[:: self._least // 2]
        tail = np.flatnonzero(x[-self._least :] != x[-1])
        if not self._skipped and len(tail) and not (grid[1:] == grid[:-1]).any():
            last = len(x) - min(self._least, len(x)) + int(tail[-1]) + 1
            length = len(x) - last
        else:
            last, length = self._look_at_runs(x, peak)
        self._carry = x[max(0, last - self._edge) : last + 1].copy()
        self._skipped = length - 1

    def _look_at_runs(self, x: NDArray[np.float32], peak: float) -> tuple[int, int]:
        """Judge every run that has ended; return begin and length of the open one."""
        starts = np.concatenate(([0], np.flatnonzero(x[1:] != x[:-1]) + 1))
        lengths = np.diff(starts, append=len(x))
        # The open run began at the last sample carried along.
        lengths[np.searchsorted(starts, max(0, len(self._carry) - 1), side="right") - 1] += self._skipped
        for index in np.flatnonzero(lengths[:-1] >= self._least):
            self._judge(x, int(starts[index]), int(starts[index + 1]), int(lengths[index]), peak)
        return int(starts[-1]), int(lengths[-1])

    def _judge(self, x: NDArray[np.float32], at: int, end: int, length: int, peak: float) -> None:
        value = x[at]
        if not at or abs(value) >= 0.98 * peak:
            return  # the clip begins with it; or it is a flat top, which is clipping
        before, after = x[max(0, at - self._edge) : at], x[end : end + self._edge]
        loud = max(16 * STEP, 0.1 * peak)
        # A machine that pauses fades out before or strikes up after; only a lost buffer has sound on both sides.
        if np.abs(before - value).max() >= loud and np.abs(after - value).max() >= loud:
            self.count += 1
            self.samples += length


class MonoSpectrum:
    """Mean power spectrum of the 16 kHz mix, in segments without overlap."""

    def __init__(self) -> None:
        self._power: NDArray[np.float64] = np.zeros(_SEGMENT // 2 + 1)
        self._rest: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self._segments = 0
        self._samples = 0
        self._sum = 0.0
        self._squares = 0.0

    def add(self, mono: NDArray[np.float32]) -> None:
        """Take float32[n] of the mix."""
        self._samples += len(mono)
        self._sum += float(mono.sum(dtype=np.float64))
        self._squares += float(np.einsum("i,i->", mono, mono, dtype=np.float64))
        self._rest = np.concatenate((self._rest, mono))
        while len(self._rest) >= _SEGMENT:
            self._power += self._spectrum(self._rest[:_SEGMENT])
            self._segments += 1
            self._rest = self._rest[_SEGMENT:]

    def _spectrum(self, segment: NDArray[np.float32]) -> NDArray[np.float64]:
        power: NDArray[np.float64] = np.abs(np.fft.rfft((segment - segment.mean()) * _WINDOW)) ** 2
        return power

    def measure(self) -> tuple[float, float | None, tuple[int, int, float]]:
        """Return the level in dB, the cut-off in Hz if there is one, and mains frequency, lines and share."""
        samples = max(1, self._samples)
        variance = max(0.0, self._squares / samples - (self._sum / samples) ** 2)
        level_db = float(10 * np.log10(variance + 1e-20))
        power = self._power
        if not self._segments and self._samples:
            # Under a second: one segment of its own length, at the same frequencies.
            taper = np.hanning(len(self._rest))
            power = np.abs(np.fft.rfft((self._rest - self._rest.mean()) * taper, _SEGMENT)) ** 2
        hum = _hum(power) if self._segments >= 2 else (0, 0, 0.0)
        return level_db, _cutoff(power), hum


def _cutoff(power: NDArray[np.float64]) -> float | None:
    """Find the cliff behind which nothing comes any more: 20 dB within 250 Hz, seen against the loudest band above."""
    bands = 10 * np.log10(power[: 64 * _BAND_BINS].reshape(64, _BAND_BINS).mean(axis=1) + 1e-12)
    edges = np.arange(8, 62)
    below = np.median(np.lib.stride_tricks.sliding_window_view(bands, 4)[edges - 4], axis=1)
    loudest_above = np.maximum.accumulate(bands[::-1])[::-1][edges + 2]
    drops = below - loudest_above
    steepest = int(drops.argmax())
    return float(edges[steepest] * _BAND_BINS * _RATE / _SEGMENT) if drops[steepest] > 20.0 else None


def _hum(power: NDArray[np.float64]) -> tuple[int, int, float]:
    """Mains frequency, harmonics that stand out, and their share of the power above 20 Hz."""
    total = float(power[round(20 * _SEGMENT / _RATE) :].sum()) + 1e-20
    found = (0, 0, 0.0)
    for mains in (50, 60):
        line_power, stands_out = _lines(power, mains * _HARMONICS)
        # Lines half-way between are a shaft turning at half the mains frequency: a machine, no cable.
        _, between = _lines(power, mains * (_HARMONICS - 0.5))
        share = float(line_power[stands_out].sum()) / total
        lines = int(stands_out.sum())
        if between.sum() <= lines // 3 and share > found[2]:
            found = (mains, lines, share)
    return found


def _lines(power: NDArray[np.float64], hz: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Power of narrow lines at multiples of a frequency, and which stand out: 15 dB, and where they ought to be."""
    centres = np.rint(hz * _SEGMENT / _RATE).astype(np.int64)[:, np.newaxis]
    bins = centres + np.arange(-3, 4)
    line = power[bins]
    around = power[centres + np.concatenate((np.arange(-14, -4), np.arange(5, 15)))]
    loud = line.max(axis=1) > 32 * (np.median(around, axis=1) + 1e-20)
    # The mains keep their frequency to 0.1 Hz or so; a shaft that turns at nearly the same speed does not.
    found = (line * bins).sum(axis=1) / (line.sum(axis=1) + 1e-20) * _RATE / _SEGMENT
    return line.sum(axis=1), loud & (np.abs(found - hz) <= 0.006 * hz)
