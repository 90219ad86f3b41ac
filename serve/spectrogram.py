"""The picture of a clip: its log-mel spectrogram as PNG.

Here: drawing. Not here: which clip, and where it is kept.
"""

from __future__ import annotations

import io
import threading

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.clip import SAMPLE_RATE

_BANDS = 128
_RANGE_DB = 80.0
# matplotlib keeps its fonts in tables that threads share without a lock.
_drawing = threading.Lock()


def draw(samples: NDArray[np.float32], title: str, deciding: tuple[float, float] | None = None) -> bytes:
    """Draw a clip.

    Parameters
    ----------
    samples
        float32[n], 16 kHz mono.
    title
        Above the picture.
    deciding
        Start and end of the window that decided, in seconds; marked when it is not the whole clip.

    Returns
    -------
    bytes
        PNG.
    """
    # A second to import and tens of MB: not before somebody wants a picture.
    import librosa
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    duration = len(samples) / SAMPLE_RATE
    # At most about a thousand columns, however long the clip: more are not to be seen.
    hop = max(256, len(samples) // 1000)
    power = librosa.feature.melspectrogram(y=samples, sr=SAMPLE_RATE, n_fft=1024, hop_length=hop, n_mels=_BANDS)
    decibels = librosa.power_to_db(power, ref=np.max, top_db=_RANGE_DB)
    centres = librosa.mel_frequencies(n_mels=_BANDS, fmax=SAMPLE_RATE / 2)
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
        figure.colorbar(image, ax=axes, label="dB below the loudest")
        out = io.BytesIO()
        figure.savefig(out, format="png")
    return out.getvalue()
