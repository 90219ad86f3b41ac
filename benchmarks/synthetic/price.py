"""What a group of columns costs where it hears nothing, on real healthy clips: no fault is read.

The ladders say what a group gains where it hears a fault; this is the other half. A fault that one other group hears
alone is made of a healthy clip by raising that group's score; what its AUC against healthy clips loses when the group
in question is fused too is the price. Real halls make it: what comes and goes there is in no reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from audio_pipeline.detector.backends import fuse
from audio_pipeline.encoder import Encoder
from benchmarks.encoders.columns import Group, columns
from benchmarks.encoders.scores import detector

Floats = NDArray[np.float64]
RAISED = 1.5
"""Deviations: half of what lets a fault be found nine times in ten."""


def prices(encoder: Encoder, data: Path, of: str) -> dict[str, float]:
    """Change in AUC when a group is scored beside the others, by column of the encoders' table."""
    others = set(encoder.manifest.groups) - {of}
    found = {}
    for column in columns(data):
        changes = []
        for group in column.groups:
            rows = np.concatenate([encoder.embed(clip[None]).vectors for clip in group.clips]).astype(np.float64)
            changes += [_price(encoder, group, rows, half, others, of) for half in group.halves]
        found[column.name] = float(np.mean(changes))
    return found


def _price(encoder: Encoder, group: Group, rows: Floats, half: NDArray[np.bool_], others: set[str], of: str) -> float:
    tested = ~half & ~group.fault
    scores: Mapping[str, Floats] = {
        name: detector(
            {name: rows[half][:, span.columns]},
            {name: rows[tested][:, span.columns]},
            group.recording[half],
            {name} if span.absolute else (),
        )
        for name, span in encoder.manifest.groups.items()
        if name in others | {of}
    }
    return _auc(scores, sorted(others), [*sorted(others), of]) - _auc(scores, sorted(others), sorted(others))


def _auc(scores: Mapping[str, Floats], others: list[str], fused: list[str]) -> float:
    healthy = fuse([scores[name] for name in fused])
    faulty = [fuse([scores[name] + RAISED * (name == heard) for name in fused]) for heard in others]
    both = np.concatenate([healthy, *faulty])
    return float(roc_auc_score(np.arange(len(both)) >= len(healthy), both))
