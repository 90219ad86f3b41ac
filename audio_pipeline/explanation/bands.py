"""Which frequencies made the score: bands made to sound like the healthy rest, and scored again.

What a band should sound like comes from the clip itself when the fault is there for a while only (the same band in
the other seconds, frame by frame: its strokes and its hiss stay what they are), and otherwise from the machine's
normal spectrum, as the reference's log-mel columns hold it (the band is turned up or down to that level).

A band counts for what the score rises when this band alone is left as it was, in a window that is mended everywhere
else. (What the score falls when this band alone is mended says less: of two bands that tell the same thing, neither
takes anything away on its own. Measured: benchmarks/explanations.)

Here: spectra, mending, strengths. Not here: the seconds (`stretches`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import irfft, rfft

from audio_pipeline.clip import SAMPLE_RATE
from audio_pipeline.explanation.rescoring import Rescorer, Samples

Floats = NDArray[np.float64]
Spectrogram = NDArray[np.complex64]

_SIZE, _HOP = 2048, 1024  # 8 Hz fine; half-overlapping roots of Hann windows add up
_COUNT = 16
_WORTH_NAMING = 0.3  # of the strongest band
_MOST_BANDS = 3
_ALONG_DB, _ALONG_SHARE = 1.5, 0.5  # a neighbour changed along: so many dB, and this share of the band's own change
_ENOUGH_REST = 0.15  # of the window: less unsuspicious sound is too little to mend bands with


@dataclass(frozen=True)
class Band:
    """Frequencies, how much of the score comes from them, and how their level differs from normal.

    Parameters
    ----------
    low_hz, high_hz
        Edges.
    strength
        Units of score.
    direction
        Whether there is more or less sound in it than normal.
    change_db
        By so much, mean level over the suspicious seconds.
    """

    low_hz: float
    high_hz: float
    strength: float
    direction: Literal["more", "less"]
    change_db: float


def find(
    samples: Samples,
    suspicious: Sequence[tuple[float, float]],
    beside_normal_db: Floats | None,
    rescore: Rescorer,
) -> tuple[Band, ...]:
    """Find the bands that a window's score comes from, the strongest first.

    Parameters
    ----------
    samples
        float32[n], the window.
    suspicious
        Its suspicious seconds; the whole window when it is odd throughout.
    beside_normal_db
        float64[1025]: by how much the window is louder than the machine's normals at each of `frequencies()`, up to a
        constant; used when hardly any of the window is left to compare with. None: not known, so that nothing can be
        said then.
    rescore
        The detector.
    """
    spectrum = _spectrogram(samples)
    times = np.arange(len(spectrum)) * _HOP / SAMPLE_RATE - _SIZE / 2 / SAMPLE_RATE
    odd = np.any([(times >= start) & (times < end) for start, end in suspicious], axis=0)
    rest = np.flatnonzero(~odd & (times >= 0) & (times * SAMPLE_RATE < len(samples)))
    if not odd.any():
        return ()
    power = np.abs(spectrum) ** 2
    if len(rest) >= _ENOUGH_REST * len(spectrum):
        change_db = _decibels(power[odd].mean(0)) - _decibels(power[rest].mean(0))
        change = np.zeros_like(spectrum)
        change[odd] = spectrum[rest[np.arange(int(odd.sum())) % len(rest)]] - spectrum[odd]
    elif beside_normal_db is not None:
        change_db = beside_normal_db - _usual(beside_normal_db)
        change = spectrum * (10 ** (-change_db / 20) - 1).astype(np.float32)
    else:
        return ()
    return _named(_strengths(samples, change, rescore), change_db)


def _strengths(samples: Samples, change: Spectrogram, rescore: Rescorer) -> Floats:
    """Units of score, one a band, given what mending adds to the spectrogram."""
    repairs = [_sound(change, band, len(samples)) for band in _bins()]
    mended = samples + np.sum(repairs, axis=0)
    nothing, *alone = rescore([mended, *(mended - repair for repair in repairs)])
    return np.asarray(np.maximum(np.array(alone) - nothing, 0.0))


def _named(strengths: Floats, change_db: Floats) -> tuple[Band, ...]:
    """The strongest bands, each with the neighbours whose level changed with it, joined where they meet."""
    if strengths.max() <= 0:
        return ()
    hertz, bins = frequencies(), _bins()
    levels = np.array([change_db[band].mean() for band in bins])
    named = np.zeros(len(bins), bool)
    for seed in np.flatnonzero(strengths >= _WORTH_NAMING * strengths.max()).tolist():
        named[seed] = True
        for step in (-1, 1):
            neighbour = seed + step
            while 0 <= neighbour < len(bins) and levels[neighbour] * np.sign(levels[seed]) >= max(
                _ALONG_DB, _ALONG_SHARE * abs(levels[seed])
            ):
                named[neighbour] = True
                neighbour += step
    bands, first = [], 0
    while first < len(bins):
        if not named[first]:
            first += 1
            continue
        last = first
        while last + 1 < len(bins) and named[last + 1] and (levels[last + 1] > 0) == (levels[first] > 0):
            last += 1
        own = slice(first, last + 1)
        level = float(np.average(levels[own], weights=strengths[own] + 1e-9))
        bands.append(
            Band(
                low_hz=float(hertz[bins[first].start]),
                high_hz=float(hertz[min(bins[last].stop, len(hertz) - 1)]),
                strength=float(strengths[own].sum()),
                direction="more" if level > 0 else "less",
                change_db=level,
            )
        )
        first = last + 1
    return tuple(sorted(bands, key=lambda band: -band.strength)[:_MOST_BANDS])


def frequencies() -> Floats:
    """Return float64[1025]: the frequencies, in Hz, that bands are cut at."""
    return np.arange(_SIZE // 2 + 1) * SAMPLE_RATE / _SIZE


def mel(hertz: Floats) -> Floats:
    """Return mels (O'Shaughnessy's formula): equal steps are heard as about equally wide."""
    return np.asarray(2595 * np.log10(1 + hertz / 700))


def _bins() -> list[slice]:
    """Bands as wide as each other in mels, as ranges of frequencies; the constant part is in none."""
    wanted = np.linspace(0, float(mel(np.array(SAMPLE_RATE / 2))), _COUNT + 1)
    edges = np.searchsorted(mel(frequencies()), wanted)
    edges[0], edges[-1] = 1, _SIZE // 2 + 1
    return [slice(first, last) for first, last in pairwise(edges.tolist())]


def _usual(change_db: Floats) -> float:
    """The change that most bands share (the middle of the narrowest half): a clip's loudness is not its spectrum."""
    ordered = np.sort([change_db[band].mean() for band in _bins()])
    half = (len(ordered) + 1) // 2
    widths = ordered[half - 1 :] - ordered[: len(ordered) - half + 1]
    first = int(widths.argmin())
    return float(ordered[first : first + half].mean())


def _decibels(power: Floats) -> Floats:
    return np.asarray(10 * np.log10(power + 1e-12))


def _spectrogram(samples: Samples) -> Spectrogram:
    """complex64[T, 1025], the first frame centred half a frame before the start: every sample is in two of them."""
    padded = np.pad(samples, _SIZE)
    frames = sliding_window_view(padded, _SIZE)[: len(samples) + _SIZE : _HOP]
    return np.asarray(rfft(frames * _window(), axis=1))


def _sound(spectrum: Spectrogram, band: slice, length: int) -> Samples:
    """Samples of one band of a spectrogram, by adding its overlapping frames up."""
    one = np.zeros_like(spectrum)
    one[:, band] = spectrum[:, band]
    sounding = np.flatnonzero(one.any(axis=1))
    total = np.zeros((len(spectrum) + _SIZE // _HOP, _HOP), np.float32)
    pieces = irfft(one[sounding], _SIZE, axis=1) * _window()
    for part in range(_SIZE // _HOP):
        total[sounding + part] += pieces[:, part * _HOP : (part + 1) * _HOP]
    return total.reshape(-1)[_SIZE : _SIZE + length]


def _window() -> NDArray[np.float32]:
    """Root of a Hann window."""
    return np.sin(np.pi * (np.arange(_SIZE, dtype=np.float32) + 0.5) / _SIZE).astype(np.float32)
