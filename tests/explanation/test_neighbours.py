"""Which known clips a window is most like."""

from __future__ import annotations

import numpy as np

from audio_pipeline.explanation import KnownClips
from audio_pipeline.explanation.neighbours import nearest
from tests.detector.gaussian import encoder, reference


def test_columns_with_a_unit_that_hear_nothing_do_not_choose_the_nearest_clips() -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((200, 16)).astype(np.float32)
    vectors[:, 8:] *= 0.01  # of the unit
    window = vectors[0] + 0.3 * random.standard_normal(16).astype(np.float32)
    window[8:] = 0.01 * random.standard_normal(8)
    known = KnownClips.of(reference(vectors))
    by_what_hears = np.argsort(((vectors[:, :8] - window[:8]) ** 2).sum(1))[:5]

    def found(absolute: set[int]) -> int:
        shown = nearest(window, "fan/a", known, encoder(16, 2, absolute))
        return len({neighbour.id for neighbour in shown} & {f"{row:064x}" for row in by_what_hears})

    assert found({1}) >= 4
    assert found(set()) < found({1})
