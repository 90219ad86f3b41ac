"""The picture of a clip: its log-mel spectrogram as PNG.

Here: drawing. Not here: which clip, and where it is kept.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.clip import SAMPLE_RATE

_BANDS = 128
_FFT = 1024
_RANGE_DB = 80.0
_MARK = "#56E4FF"  # light blue: in no shade of the colour map
# matplotlib keeps its fonts in tables that threads share without a lock.
_drawing = threading.Lock()


def draw(
    samples: NDArray[np.float32],
    title: str,
    deciding: tuple[float, float] | None = None,
    seconds: Sequence[tuple[float, float]] = (),
    bands: Sequence[tuple[float, float]] = (),
) -> bytes:
    """Draw a clip.

    Parameters
    ----------
    samples
        float32[n], 16 kHz mono.
    title
        Above the picture.
    deciding
        Start and end of the window that decided, in seconds; marked when it is not the whole clip.
    seconds, bands
        What is suspicious: stretches in seconds, bands in Hz. A box is drawn around each band in each stretch.

    Returns
    -------
    bytes
        PNG.
    """
    # A second to import and tens of MB: not before somebody wants a picture.
    from librosa.core.convert import mel_frequencies
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    duration = len(samples) / SAMPLE_RATE
    # At most about a thousand columns, however long the clip: more are not to be seen.
    hop = max(256, len(samples) // 1000)
    decibels = mel_decibels(samples, hop)
    centres = mel_frequencies(n_mels=_BANDS, fmax=SAMPLE_RATE / 2)
    ticks = [125, 250, 500, 1000, 2000, 4000, 8000]
    with _drawing:
        figure = Figure(figsize=(9, 3.6), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)  # no window system, whatever the machine has
        axes = figure.subplots()
        image = axes.imshow(
            decibels, origin="lower", aspect="auto", cmap="magma", extent=(0, duration, -0.5, _BANDS - 0.5)
        )
        axes.set_yticks(np.interp(ticks, centres, np.arange(_BANDS)), [f"{t / 1000:g}" for t in ticks])
        axes.set(xlabel="time (s)", ylabel="frequency (kHz, mel scale)")
        axes.set_title(title, parse_math=False)
        if deciding and deciding[1] - deciding[0] < duration - 0.01:
            axes.axvspan(*deciding, fill=False, edgecolor="white", linestyle="--", linewidth=1.2)
        rows = [np.interp(band, centres, np.arange(_BANDS)).tolist() for band in bands] or [[-0.5, _BANDS - 0.5]]
        for start, end in seconds:
            # A bar along the upper edge says when, boxes say where; both are seen on dark and on bright ground.
            axes.add_patch(Rectangle((start, _BANDS - 4.5), end - start, 4, color=_MARK, alpha=0.9, linewidth=0))
            for low, high in rows:
                corner, width, height = (start, max(low, -0.5)), end - start, max(high - low, 2.0)
                for colour, thickness in (("black", 3.2), (_MARK, 1.6)):
                    axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=colour, linewidth=thickness))
        figure.colorbar(image, ax=axes, label="dB below the loudest")
        out = io.BytesIO()
        figure.savefig(out, format="png")
    return out.getvalue()


def mel_decibels(samples: NDArray[np.float32], hop: int) -> NDArray[np.float32]:
    """Return a mel spectrogram, float32[bands, frames], in dB below the loudest.

    The filters are librosa's, the Fourier transform is numpy's: librosa's own is compiled at its first use, 20 s of
    processor time in a container, while which no clip was judged.
    """
    from librosa.filters import mel

    padded = np.pad(samples, _FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[::hop]
    window = np.hanning(_FFT + 1)[:-1].astype(np.float32)
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    bands = mel(sr=SAMPLE_RATE, n_fft=_FFT, n_mels=_BANDS) @ power.T
    decibels = 10 * np.log10(np.maximum(bands, 1e-10) / max(float(bands.max()), 1e-10))
    return np.asarray(np.maximum(decibels, -_RANGE_DB), np.float32)
