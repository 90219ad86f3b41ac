"""The sensor check: "microphone" must not be mistaken for "machine".

`SensorProbe` measures while a clip is decoded, block by block and per native channel, in bounded memory, and leaves
`SensorEvidence`: plain figures. `check` judges the figures. What was mixed, resampled and scored hides most of these
defects, so they are looked for in the channels as they came.
Not here: decoding and refusals (`clip.py`). A finding never refuses a clip; `fatal` says that a verdict about the
machine is worth nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_RATE: Final = 16_000  # of the mono mix
_SEGMENT: Final = 16_384  # samples a spectrum: 1 Hz a bin, narrow enough to tell mains from rotation
_STEP: Final = 2.0**-15  # one step of 16 bits
_HOLE_S: Final = 0.005  # the shortest run of equal samples that no sound has
_EDGE_S: Final = 0.002  # looked at on both sides of such a run
_BAND_BINS: Final = 128  # 125 Hz
_HARMONICS: Final = 12


@dataclass(frozen=True, slots=True)
class SensorEvidence:
    """What was measured. Tuples hold one figure a native channel.

    Attributes
    ----------
    native_rate
        Samples a second of the file.
    seconds
        Length.
    peak
        Largest magnitude, 1 = full scale.
    rms
        Root mean square without the mean.
    dc
        Mean.
    flat_share
        Share of samples that lie in flat tops: neighbours both exactly at the channel's extreme.
    flat_pile
        Samples at the extremes over samples in the 5 % just below them: under 1 for sound, above for clipped sound.
    holes, holes_s
        Runs of equal samples that interrupt running sound: how many, and their length in seconds.
    level_db
        RMS of the 16 kHz mono mix, dB of full scale.
    cutoff_hz
        Where the mix's spectrum falls off a cliff for good; None without a cliff.
    hum_hz, hum_lines, hum_share
        Mains frequency with the stronger lines (50 or 60), how many of its harmonics stand out, and their share of
        the mix's power; (0, 0, 0) for clips under 2 s.
    """

    native_rate: int
    seconds: float
    peak: tuple[float, ...]
    rms: tuple[float, ...]
    dc: tuple[float, ...]
    flat_share: tuple[float, ...]
    flat_pile: tuple[float, ...]
    holes: tuple[int, ...]
    holes_s: tuple[float, ...]
    level_db: float
    cutoff_hz: float | None
    hum_hz: int
    hum_lines: int
    hum_share: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect of the recording.

    Attributes
    ----------
    code
        `clipping`, `dropouts`, `dead_channel`, `dc_offset`, `mains_hum`, `bandwidth` or `level`.
    message
        A sentence with the figure, and what to look at.
    fatal
        A verdict about the machine is worth nothing.
    """

    code: str
    message: str
    fatal: bool


@dataclass(frozen=True, slots=True)
class SensorReport:
    """The judgement.

    Attributes
    ----------
    ok
        No finding is fatal.
    findings
        In a fixed order, none twice.
    """

    ok: bool
    findings: tuple[Finding, ...]


class _FlatTops:
    """Counts of samples at and near one extreme of each channel, begun anew whenever the extreme moves out."""

    def __init__(self, channels: int, sign: float) -> None:
        self._sign = sign
        self.level: NDArray[np.float32] = np.full(channels, -np.inf, dtype=np.float32)
        self.at: NDArray[np.int64] = np.zeros(channels, dtype=np.int64)
        self.near: NDArray[np.int64] = np.zeros(channels, dtype=np.int64)
        self.pairs: NDArray[np.int64] = np.zeros(channels, dtype=np.int64)

    def add(self, block: NDArray[np.float32], previous: NDArray[np.float32]) -> None:
        top = block.max(axis=0) if self._sign > 0 else -block.min(axis=0)
        moved = top > self.level
        self.level = np.where(moved, top, self.level)
        for counts in (self.at, self.near, self.pairs):
            counts[moved] = 0
        for channel in np.flatnonzero(top >= 0.95 * self.level):
            level = float(self.level[channel])
            column = block[:, channel] * np.float32(self._sign)
            high = np.flatnonzero(column >= 0.95 * level)
            at = high[column[high] >= level]
            self.at[channel] += len(at)
            self.near[channel] += len(high) - len(at)
            self.pairs[channel] += np.count_nonzero(np.diff(at) == 1)
            if len(at) and at[0] == 0 and previous[channel] * self._sign >= level:
                self.pairs[channel] += 1


class _Holes:
    """Runs of equal samples inside running sound, on one channel."""

    def __init__(self, rate: int) -> None:
        self._least = max(24, round(_HOLE_S * rate))
        self._edge = max(8, round(_EDGE_S * rate))
        self._carry: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self._skipped = 0  # equal samples of the open run that are not carried along
        self._run_at = 0  # where the open run begins in the carried samples
        self.count = 0
        self.samples = 0

    def add(self, column: NDArray[np.float32], peak: float) -> None:
        x = np.concatenate((self._carry, column))
        starts = np.concatenate(([0], np.flatnonzero(x[1:] != x[:-1]) + 1))
        lengths = np.diff(starts, append=len(x))
        if self._skipped:
            lengths[np.searchsorted(starts, self._run_at)] += self._skipped
        for index in np.flatnonzero(lengths[:-1] >= self._least):
            at = int(starts[index])
            self._judge(x, at, int(starts[index + 1]), int(lengths[index]), peak)
        last = int(starts[-1])
        begin = max(0, last - self._edge)
        self._carry, self._run_at = x[begin : last + 1].copy(), last - begin
        self._skipped = int(lengths[-1]) - 1

    def _judge(self, x: NDArray[np.float32], at: int, end: int, length: int, peak: float) -> None:
        value = x[at]
        if not at or abs(value) >= 0.98 * peak:
            return  # the clip begins with it; or it is a flat top, which is clipping
        before, after = x[max(0, at - self._edge) : at], x[end : end + self._edge]
        loud = max(16 * _STEP, 0.02 * peak)
        # A machine that pauses fades out before or strikes up after; only a lost buffer has sound on both sides.
        if np.abs(before - value).max() >= loud and np.abs(after - value).max() >= loud:
            self.count += 1
            self.samples += length


class SensorProbe:
    """Measure one clip while it is decoded.

    Parameters
    ----------
    rate
        Samples a second of the file.
    channels
        Of the file.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self._rate = rate
        self._frames = 0
        self._sum: NDArray[np.float64] = np.zeros(channels)
        self._squares: NDArray[np.float64] = np.zeros(channels)
        self._tops = (_FlatTops(channels, 1.0), _FlatTops(channels, -1.0))
        self._holes = [_Holes(rate) for _ in range(channels)]
        self._previous: NDArray[np.float32] = np.full(channels, np.nan, dtype=np.float32)
        self._mono = _MonoSpectrum()

    def add(self, block: NDArray[np.float32], mono: NDArray[np.float32]) -> None:
        """Take the next piece.

        Parameters
        ----------
        block
            float32[frames, channels] as in the file.
        mono
            float32[m], the mix at 16 kHz that came out meanwhile.
        """
        self._mono.add(mono)
        if not len(block):
            return
        self._frames += len(block)
        self._sum += block.sum(axis=0, dtype=np.float64)
        self._squares += np.einsum("ij,ij->j", block, block, dtype=np.float64)
        for tops in self._tops:
            tops.add(block, self._previous)
        self._previous = block[-1].copy()
        peak = self._peak()
        for channel, holes in enumerate(self._holes):
            holes.add(block[:, channel], float(peak[channel]))

    def _peak(self) -> NDArray[np.float64]:
        return np.maximum(self._tops[0].level, self._tops[1].level).astype(np.float64)

    def evidence(self) -> SensorEvidence:
        """Sum up what was measured so far."""
        frames = max(1, self._frames)
        mean = self._sum / frames
        at = self._tops[0].at + self._tops[1].at
        # Between two samples of a flat top lies one pair: pairs alone leave out the lonely peaks of honest sound.
        flat = (self._tops[0].pairs + self._tops[1].pairs) / frames
        pile = at / np.maximum(1, self._tops[0].near + self._tops[1].near)
        level_db, cutoff, hum = self._mono.measure()
        return SensorEvidence(
            native_rate=self._rate,
            seconds=self._frames / self._rate,
            peak=_floats(self._peak()),
            rms=_floats(np.sqrt(np.maximum(0.0, self._squares / frames - mean**2))),
            dc=_floats(mean),
            flat_share=_floats(flat),
            flat_pile=_floats(pile),
            holes=tuple(holes.count for holes in self._holes),
            holes_s=tuple(holes.samples / self._rate for holes in self._holes),
            level_db=level_db,
            cutoff_hz=cutoff,
            hum_hz=hum[0],
            hum_lines=hum[1],
            hum_share=hum[2],
        )


def _floats(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


class _MonoSpectrum:
    """Mean power spectrum of the 16 kHz mix, in segments without overlap."""

    def __init__(self) -> None:
        self._window: NDArray[np.float64] = np.hanning(_SEGMENT)
        self._power: NDArray[np.float64] = np.zeros(_SEGMENT // 2 + 1)
        self._rest: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self._segments = 0
        self._samples = 0
        self._sum = 0.0
        self._squares = 0.0

    def add(self, mono: NDArray[np.float32]) -> None:
        self._samples += len(mono)
        self._sum += float(mono.sum(dtype=np.float64))
        self._squares += float(np.einsum("i,i->", mono, mono, dtype=np.float64))
        self._rest = np.concatenate((self._rest, mono))
        while len(self._rest) >= _SEGMENT:
            self._power += self._spectrum(self._rest[:_SEGMENT])
            self._segments += 1
            self._rest = self._rest[_SEGMENT:]

    def _spectrum(self, segment: NDArray[np.float32]) -> NDArray[np.float64]:
        power: NDArray[np.float64] = np.abs(np.fft.rfft((segment - segment.mean()) * self._window)) ** 2
        return power

    def measure(self) -> tuple[float, float | None, tuple[int, int, float]]:
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
    best, where = 20.0, None
    for edge in range(8, 62):
        drop = float(np.median(bands[edge - 4 : edge]) - bands[edge + 2 :].max())
        if drop > best:
            best, where = drop, edge
    return None if where is None else where * _BAND_BINS * _RATE / _SEGMENT


def _hum(power: NDArray[np.float64]) -> tuple[int, int, float]:
    """Mains frequency, harmonics that stand out, and their share of the power above 20 Hz."""
    hz = _RATE / _SEGMENT
    total = float(power[round(20 / hz) :].sum()) + 1e-20
    found = (0, 0, 0.0)
    for mains in (50, 60):
        lines, energy, between = 0, 0.0, 0
        for harmonic in range(1, _HARMONICS + 1):
            line, stands_out = _line(power, mains * harmonic / hz)
            lines += stands_out
            energy += line if stands_out else 0.0
            # Lines half-way between are a shaft turning at half the mains frequency: a machine, no cable.
            between += _line(power, mains * (harmonic - 0.5) / hz)[1]
        share = energy / total
        if between <= lines // 3 and share > found[2]:
            found = (mains, lines, share)
    return found


def _line(power: NDArray[np.float64], at: float) -> tuple[float, bool]:
    """Power of a narrow line, and whether it is 15 dB above its surroundings."""
    centre = round(at)
    peak = power[centre - 3 : centre + 4]
    around = np.concatenate((power[centre - 14 : centre - 4], power[centre + 5 : centre + 15]))
    return float(peak.sum()), bool(peak.max() > 32 * (np.median(around) + 1e-20))


def check(evidence: SensorEvidence, reference_level_db: tuple[float, float] | None = None) -> SensorReport:
    """Judge what was measured.

    Parameters
    ----------
    evidence
        From `Clip.sensor`.
    reference_level_db
        Lowest and highest `level_db` of the reference's normal clips of this machine; None: not judged.

    Returns
    -------
    SensorReport
        What is wrong with the recording; empty for a sound one.
    """
    findings = [
        finding
        for finding in (
            _clipping(evidence),
            _dropouts(evidence),
            _dead_channel(evidence),
            _dc_offset(evidence),
            _mains_hum(evidence),
            _bandwidth(evidence),
            _level(evidence, reference_level_db),
        )
        if finding is not None
    ]
    return SensorReport(not any(finding.fatal for finding in findings), tuple(findings))


def _where(channels: list[int], evidence: SensorEvidence) -> str:
    if len(evidence.peak) == 1:
        return "The recording"
    return f"Channel{'s' if len(channels) > 1 else ''} {', '.join(str(channel + 1) for channel in channels)}"


def _live(evidence: SensorEvidence) -> list[int]:
    loudest = max(evidence.rms)
    return [channel for channel, rms in enumerate(evidence.rms) if rms > max(_STEP, 1e-3 * loudest)]


def _clipping(evidence: SensorEvidence) -> Finding | None:
    hit = [c for c in _live(evidence) if evidence.flat_share[c] >= 5e-5 and evidence.flat_pile[c] >= 1.0]
    if not hit:
        return None
    share = max(evidence.flat_share[channel] for channel in hit)
    return Finding(
        "clipping",
        f"{_where(hit, evidence)} clips: {share:.2%} of the samples are cut off at the top. Lower the gain.",
        share >= 0.01,
    )


def _dropouts(evidence: SensorEvidence) -> Finding | None:
    hit = [channel for channel in _live(evidence) if evidence.holes[channel]]
    if not hit:
        return None
    count, seconds = max((evidence.holes[c], evidence.holes_s[c]) for c in hit)
    return Finding(
        "dropouts",
        f"{_where(hit, evidence)} drops out {count} time{'s' if count > 1 else ''}, {seconds:.3f} s in all. "
        "Look at the cable, the radio link or the recorder's buffer.",
        seconds >= 0.05 * evidence.seconds,
    )


def _dead_channel(evidence: SensorEvidence) -> Finding | None:
    live = _live(evidence)
    dead = [channel for channel in range(len(evidence.rms)) if channel not in live]
    if not dead:
        return None
    return Finding(
        "dead_channel",
        f"{_where(dead, evidence)} is dead or stuck: it does not move. Look at the microphone and its plug.",
        not live,
    )


def _dc_offset(evidence: SensorEvidence) -> Finding | None:
    hit = [c for c, dc in enumerate(evidence.dc) if abs(dc) >= max(0.02, 0.5 * evidence.rms[c])]
    if not hit:
        return None
    dc = max((evidence.dc[channel] for channel in hit), key=abs)
    return Finding(
        "dc_offset",
        f"{_where(hit, evidence)} has a DC offset of {dc:+.3f} of full scale. Look at the microphone's supply.",
        abs(dc) >= 0.5,
    )


def _mains_hum(evidence: SensorEvidence) -> Finding | None:
    if evidence.hum_lines < 3 or evidence.hum_share < 0.5:
        return None
    return Finding(
        "mains_hum",
        f"{evidence.hum_share:.0%} of the power is hum at {evidence.hum_hz} Hz and its multiples. "
        "Look at the microphone's shielding and earth.",
        evidence.hum_share >= 0.95,
    )


def _bandwidth(evidence: SensorEvidence) -> Finding | None:
    if evidence.native_rate < 14_000:
        top = evidence.native_rate / 2
    elif evidence.cutoff_hz is not None and evidence.cutoff_hz <= 7_000:
        top = evidence.cutoff_hz
    else:
        return None
    return Finding(
        "bandwidth",
        f"There is no sound above {top / 1000:.1f} kHz, where 8 kHz are listened to: recorded or stored at a lower "
        "rate. Record at 16 kHz or more, without MP3.",
        False,
    )


def _level(evidence: SensorEvidence, reference_level_db: tuple[float, float] | None) -> Finding | None:
    if reference_level_db is None:
        return None
    low, high = reference_level_db
    away = max(low - evidence.level_db, evidence.level_db - high)
    if away < 10.0:
        return None
    return Finding(
        "level",
        f"The level is {evidence.level_db:.0f} dB of full scale; the reference has {low:.0f} to {high:.0f} dB. "
        "Compare gain and place of the microphone.",
        away >= 30.0,
    )
