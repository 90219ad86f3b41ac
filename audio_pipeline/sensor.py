"""The sensor check: "microphone" must not be mistaken for "machine".

`SensorProbe` measures while a clip is decoded, block by block and per native channel, in bounded memory, and leaves
`SensorEvidence`: plain figures. `check` judges the figures. What was mixed, resampled and scored hides most of these
defects, so they are looked for in the channels as they came.
A finding never refuses a clip; `fatal` says that a verdict about the machine is worth nothing.
Not here: how each figure is measured (`sensor_measures.py`); decoding and refusals (`clip.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.sensor_measures import STEP, FlatTops, Holes, MonoSpectrum


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
        Share of samples exactly at the channel's extremes; 0 where the steps are too coarse to tell.
    flat_pile
        Samples at an extreme over samples in the 5 % just below it: far under 1 for sound, above for clipped sound.
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
        self._tops = (FlatTops(channels, 1.0), FlatTops(channels, -1.0))
        self._holes = [Holes(rate) for _ in range(channels)]
        self._mono = MonoSpectrum()

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
        planes = np.ascontiguousarray(block.T)
        self._sum += planes.sum(axis=1, dtype=np.float64)
        self._squares += np.einsum("ij,ij->i", planes, planes, dtype=np.float64)
        for tops in self._tops:
            tops.add(planes)
        peak = self._peak()
        for channel, holes in enumerate(self._holes):
            holes.add(planes[channel], float(peak[channel]))

    def _peak(self) -> NDArray[np.float64]:
        return np.maximum(self._tops[0].level, self._tops[1].level).astype(np.float64)

    def evidence(self) -> SensorEvidence:
        """Sum up what was measured so far."""
        frames = max(1, self._frames)
        mean = self._sum / frames
        # The worse side counts: an offset or a lopsided sound clips on one side only.
        at = [np.where(tops.tell_apart(), tops.at, 0) for tops in self._tops]
        pile = np.maximum(*(count / np.maximum(1, tops.near) for count, tops in zip(at, self._tops, strict=True)))
        flat = (at[0] + at[1]) / frames
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
    return [channel for channel, rms in enumerate(evidence.rms) if rms > max(STEP, 1e-3 * loudest)]


def _clipping(evidence: SensorEvidence) -> Finding | None:
    # Sound that was turned up to full scale touches it once or twice: that is no clipping.
    least = max(5e-5, 8 / (evidence.seconds * evidence.native_rate))
    hit = [c for c in _live(evidence) if evidence.flat_share[c] >= least and evidence.flat_pile[c] >= 1.0]
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
    seconds, count = max((evidence.holes_s[c], evidence.holes[c]) for c in hit)  # the worst channel's
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
