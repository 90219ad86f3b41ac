"""Scoring altered sound: what the detector says of a window that something was done to.

Here: through encoder and classifier. Not here: what is altered (`stretches`, `bands`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.clip import SAMPLE_RATE
from audio_pipeline.embedding import embed_windows
from audio_pipeline.scoring import Scorer
from audio_pipeline.windows import Window

Samples = NDArray[np.float32]


class Rescorer:
    """Scores any samples as if they were a window of the clip.

    Parameters
    ----------
    scorer
        What judged the clip.
    machine
        As the clip was judged.
    confirmed
        float32[M, n], the confirmed faults it was judged with.
    """

    def __init__(self, scorer: Scorer, machine: str, confirmed: NDArray[np.float32] | None = None) -> None:
        self._scorer = scorer
        self._machine = machine
        self._confirmed = confirmed

    def __call__(self, sounds: Sequence[Samples]) -> NDArray[np.float64]:
        """Return float64[len(sounds)]: the score of each; lengths may differ."""
        windows = [Window(0.0, len(sound) / SAMPLE_RATE, sound) for sound in sounds]
        return self.vectors(embed_windows(self._scorer.encoder, windows))

    def vectors(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return float64[len(vectors)]: the score of each embedding."""
        if not len(vectors):
            return np.zeros(0)
        machines = [self._machine] * len(vectors)
        return self._scorer.classifier.score(vectors, machines, self._confirmed).score.astype(np.float64)
