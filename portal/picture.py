"""A clip as a picture for the eye: its outline in time, its log-mel spectrogram as a small PNG.

Here: samples → a few kilobytes that a browser draws. Not here: drawing them (`assets/listener.js`), what in them is
suspicious (the service's explanation).
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RATE: Final = 16_000
BANDS: Final = 96
RANGE_DB: Final = 70.0
# More columns are not to be seen, even zoomed in; a clip of 10 s has one every 10 ms.
_MOST_COLUMNS: Final = 3000
_FRAME: Final = 1024
_SMALLEST_HOP: Final = 160
_BLOCK: Final = 512  # frames transformed at once: memory stays small for ten minutes of sound
_LOW_HZ: Final = 30.0
_THUMBNAIL: Final = (168, 52)
# As in assets/listener.js.
_RAMP: Final = (
    (0, 0, 4), (28, 16, 68), (79, 18, 123), (129, 37, 129), (181, 54, 122),
    (229, 80, 100), (251, 135, 97), (254, 194, 135), (252, 253, 191),
)  # fmt: skip
_HARDLY_THERE: Final = 2.0  # percent of the picture that is black


@dataclass(frozen=True)
class Picture:
    """What a browser needs to draw a clip.

    Attributes
    ----------
    duration_s
        Length.
    outline
        Lowest and highest sample of each column, in hundredths of the clip's peak, columns one after the other.
    spectrogram
        PNG as a data URL: `BANDS` rows, the highest frequencies on top; the grey level rises with the decibels.
    edges_hz
        `BANDS` + 1 edges of the rows, from the lowest frequency up.
    """

    duration_s: float
    outline: tuple[int, ...]
    spectrogram: str
    edges_hz: tuple[float, ...]


def picture_of(samples: NDArray[np.float32]) -> Picture:
    """Make the picture of a clip.

    Parameters
    ----------
    samples
        float32[n], mono, 16 kHz.

    Examples
    --------
    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000).astype(np.float32)
    >>> picture = picture_of(tone)
    >>> picture.duration_s, picture.outline[:2], picture.spectrogram[:22]
    (1.0, (-100, 100), 'data:image/png;base64,')
    """
    peak = float(np.max(np.abs(samples), initial=0.0))
    levels = _levels(log_mel(samples))
    return Picture(
        duration_s=len(samples) / RATE,
        outline=_outline(samples, peak),
        spectrogram=_png(Image.fromarray(np.ascontiguousarray(levels[::-1]))),
        edges_hz=tuple(round(float(edge), 1) for edge in _edges()),
    )


def thumbnail_of(samples: NDArray[np.float32]) -> str:
    """Make the small picture of a clip for a list, in colour: PNG as a data URL, a few kB.

    Examples
    --------
    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000).astype(np.float32)
    >>> thumbnail_of(tone)[:22], len(thumbnail_of(tone)) < 10_000
    ('data:image/png;base64,', True)
    """
    levels = _levels(log_mel(samples))
    image = Image.fromarray(np.ascontiguousarray(levels[::-1])).resize(_THUMBNAIL, Image.Resampling.BOX)
    coloured = image.quantize(32)
    # The grey levels that are left, in the colours that the large picture has.
    grey = np.array(coloured.getpalette() or [], np.uint8).reshape(-1, 3)[:, 0].astype(float)
    steps = np.linspace(0, 255, len(_RAMP))
    colours = np.stack([np.interp(grey, steps, [colour[i] for colour in _RAMP]) for i in range(3)], axis=1)
    coloured.putpalette(np.rint(colours).astype(np.uint8).tobytes())
    return _png(coloured)


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the log-mel spectrogram, float32[`BANDS`, columns]: decibels below the loudest, -`RANGE_DB` to 0."""
    hop = max(_SMALLEST_HOP, -(-len(samples) // _MOST_COLUMNS))
    columns = max(1, -(-len(samples) // hop))
    # Centred frames; the ends are padded with silence.
    padded = np.zeros((columns - 1) * hop + _FRAME, np.float32)
    end = min(len(samples), len(padded) - _FRAME // 2)
    padded[_FRAME // 2 : _FRAME // 2 + end] = samples[:end]
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::hop]
    window = np.hanning(_FRAME).astype(np.float32)
    power = np.empty((columns, BANDS), np.float32)
    for first in range(0, columns, _BLOCK):
        spectrum = np.fft.rfft(frames[first : first + _BLOCK] * window, axis=1)
        power[first : first + _BLOCK] = (spectrum.real**2 + spectrum.imag**2) @ _filters().T
    loudest = max(float(power.max()), 1e-20)
    decibels = 10 * np.log10(np.maximum(power.T / loudest, 10 ** (-RANGE_DB / 10)))
    return np.asarray(decibels, np.float32)


def _outline(samples: NDArray[np.float32], peak: float, columns: int = 1200) -> tuple[int, ...]:
    bounds = np.linspace(0, len(samples), min(columns, max(1, len(samples))) + 1).astype(int)[:-1]
    if len(samples) == 0 or peak == 0:
        return (0, 0)
    pairs = np.stack([np.minimum.reduceat(samples, bounds), np.maximum.reduceat(samples, bounds)], axis=1)
    return tuple(np.rint(100 * pairs / peak).astype(int).ravel().tolist())


def _levels(decibels: NDArray[np.float32]) -> NDArray[np.uint8]:
    # From what is hardly there to the loudest: a steady machine would else be one shade.
    floor = min(float(np.percentile(decibels, _HARDLY_THERE)), -1.0)
    return np.asarray(255 * np.clip(1 - decibels / floor, 0, 1), np.uint8)


def _png(image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=6)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


@cache
def _edges() -> NDArray[np.float64]:
    low, high = _mel(_LOW_HZ), _mel(RATE / 2)
    return np.asarray(700 * (10 ** (np.linspace(low, high, BANDS + 1) / 2595) - 1))


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


@cache
def _filters() -> NDArray[np.float32]:
    """Mean power between a band's edges, float32[BANDS, _FRAME // 2 + 1]; a band narrower than a bin interpolates."""
    bins = np.fft.rfftfreq(_FRAME, 1 / RATE)
    filters = np.zeros((BANDS, len(bins)), np.float32)
    for row, (low, high) in enumerate(zip(_edges()[:-1], _edges()[1:], strict=True)):
        inside = (bins >= low) & (bins < high)
        if inside.sum() >= 2:
            filters[row, inside] = 1 / inside.sum()
        else:
            centre = (low + high) / 2 / (RATE / _FRAME)
            below = int(centre)
            filters[row, below] = 1 - (centre - below)
            filters[row, min(below + 1, len(bins) - 1)] += centre - below
    return filters
