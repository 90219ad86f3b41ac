"""A decoded clip as vectors: windows, a few at a time, through the encoder.

Here: the steps that the reference and production share, so that their vectors are made alike. Not here: cutting
(`windows`), the network (`encoder`), what the vectors mean (`scoring`, `detector`), many clips (`embedding_job`).

Windows of equal length are embedded a few at a time, which bounds the memory of a long clip and changes no result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.clip import Clip
from audio_pipeline.encoder import Encoder
from audio_pipeline.windows import Window, split

# Embedded at once, as much as four usual windows: more are no faster (measured), and take more memory.
_BATCH_SAMPLES = 4 * 160_000


@dataclass(frozen=True)
class EmbeddedClip:
    """A clip as vectors.

    Parameters
    ----------
    sha256
        Of the clip's bytes.
    vectors
        float32[W, n], one a window.
    starts_s, ends_s
        float64[W], seconds.
    level_db
        Of the whole clip, RMS in dB of full scale.
    """

    sha256: str
    vectors: NDArray[np.float32]
    starts_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]
    level_db: float


def embed_windows(
    encoder: Encoder, windows: Sequence[Window], batch_samples: int = _BATCH_SAMPLES
) -> NDArray[np.float32]:
    """Embed windows, some of equal length at once.

    Parameters
    ----------
    encoder
        Any encoder.
    windows
        In any order and of any lengths.
    batch_samples
        How much sound at once, at least one window; changes speed and memory, not the result (to 1e-5).

    Returns
    -------
    NDArray
        float32[W, n], in the order of `windows`.
    """
    by_length: dict[int, list[int]] = {}
    for position, window in enumerate(windows):
        by_length.setdefault(len(window.samples), []).append(position)
    vectors = np.empty((len(windows), encoder.manifest.dimensions), dtype=np.float32)
    for length, positions in by_length.items():
        batch = max(1, batch_samples // length)
        for first in range(0, len(positions), batch):
            chunk = positions[first : first + batch]
            vectors[chunk] = encoder.embed(np.stack([windows[position].samples for position in chunk])).vectors
    return vectors


def embed_clip(encoder: Encoder, clip: Clip) -> EmbeddedClip:
    """Cut a clip into windows and embed them.

    Parameters
    ----------
    encoder
        What makes the vectors.
    clip
        Decoded.
    """
    windows = split(clip.samples)
    return EmbeddedClip(
        sha256=clip.sha256,
        vectors=embed_windows(encoder, windows),
        starts_s=np.array([window.start_s for window in windows]),
        ends_s=np.array([window.end_s for window in windows]),
        level_db=clip.sensor.level_db,
    )
