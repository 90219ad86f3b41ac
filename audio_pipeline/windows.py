"""Clip → windows: what is embedded and scored, one row a window.

Not here: batching (windows of equal length only) and the rule that makes one decision of a clip's windows
(`decision.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.clip import SAMPLE_RATE
from audio_pipeline.errors import EmptyClip, SettingsError

WINDOW_S: Final = 10.0
HOP_S: Final = 5.0


@dataclass(frozen=True, eq=False, slots=True)
class Window:
    """One stretch of a clip.

    Attributes
    ----------
    start_s, end_s
        Where it lies in the clip, in seconds.
    samples
        float32[n], 16 kHz mono: a view of the clip's samples, nothing added.
    """

    start_s: float
    end_s: float
    samples: NDArray[np.float32]


def split(samples: NDArray[np.float32], window_s: float = WINDOW_S, hop_s: float = HOP_S) -> list[Window]:
    """Cut a clip into windows of equal length that cover every sample.

    A window starts every `hop_s`; the last one is aligned to the end of the clip. A clip shorter than a window is one
    window of its own length: nothing is ever padded, so that a window's vector never depends on its neighbours in a
    batch.

    Parameters
    ----------
    samples
        float32[n], 16 kHz mono, n > 0.
    window_s, hop_s
        Seconds, with 0 < hop_s <= window_s: a longer hop would skip samples.

    Returns
    -------
    list of Window
        In order of time, at least one.

    Raises
    ------
    EmptyClip
        No samples.
    SettingsError
        A window or hop that would skip samples or never end.

    Examples
    --------
    >>> clip = np.zeros(12 * 16_000, dtype=np.float32)
    >>> [(window.start_s, window.end_s) for window in split(clip)]
    [(0.0, 10.0), (2.0, 12.0)]
    """
    length, hop = round(window_s * SAMPLE_RATE), round(hop_s * SAMPLE_RATE)
    if not 0 < hop <= length:
        raise SettingsError(
            f"Windows of {window_s:g} s every {hop_s:g} s would skip samples or never end: "
            "give a hop above zero and at most the window's length."
        )
    total = len(samples)
    if not total:
        raise EmptyClip("There are no samples to cut into windows.")
    length = min(length, total)
    starts = list(range(0, total - length + 1, hop))
    if starts[-1] + length < total:
        starts.append(total - length)
    return [Window(at / SAMPLE_RATE, (at + length) / SAMPLE_RATE, samples[at : at + length]) for at in starts]
