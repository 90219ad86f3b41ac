"""How good the verdicts were, where people answered: figures of `prod_data.csv`, and whether they have fallen.

Here: pure functions. Not here: reading over HTTP (`service`), drawing (`reports`). What the answers do not define is
None, "unknown": never 1, and never the 0 that scikit-learn puts in its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import fisher_exact

from audio_pipeline.errors import ReferenceDataError
from audio_pipeline.metrics import measure

_NEWEST = 30  # answers that are compared with all those before them


@dataclass(frozen=True)
class AnsweredClips:
    """`prod_data.csv`, in the order of first answers.

    Attributes
    ----------
    vectors
        float32[R, n], of the deciding windows.
    targets, verdicts
        bool[R]: what people said, what the model had said; True = anomaly.
    """

    vectors: NDArray[np.float32]
    targets: NDArray[np.bool_]
    verdicts: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class QualityFigures:
    """Of some answered clips; None = unknown.

    Attributes
    ----------
    rows
        How many.
    f1, balanced_accuracy, recall, precision
        As everywhere.
    true_positive, false_positive, false_negative, true_negative
        Clips; positive = anomaly.
    """

    rows: int
    f1: float | None
    balanced_accuracy: float | None
    recall: float | None
    precision: float | None
    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int


def read_answered(path: Path) -> AnsweredClips:
    """Read `prod_data.csv`; a file that is not there yet has no rows.

    Raises
    ------
    ReferenceDataError
        It holds something else.
    """
    try:
        table = path.read_bytes()
    except FileNotFoundError:
        return AnsweredClips(np.empty((0, 0), np.float32), np.empty(0, bool), np.empty(0, bool))
    except OSError as e:
        raise ReferenceDataError(f"{path} cannot be read ({e.strerror}): check the disk and permissions.") from e
    first, _, body = table.partition(b"\n")
    if not first.endswith(b",target,prediction"):
        raise ReferenceDataError(f"{path} must have the columns emb_1,…,emb_n,target,prediction: see its first line.")
    # A last line without its end is being written at this moment: it is read next time.
    rows = [line.rsplit(b",", 2) for line in body.split(b"\n")[:-1]]
    try:
        vectors = np.array([np.array(row[0].split(b","), np.float32) for row in rows], np.float32)
        labels = np.array([[_truth(value) for value in row[1:]] for row in rows], bool).reshape(-1, 2)
    except (ValueError, KeyError) as e:
        raise ReferenceDataError(f"{path} holds a row that cannot be read ({e}): run `wheeltapper rebuild`.") from e
    dimensions = first.count(b",") - 1
    return AnsweredClips(vectors.reshape(len(rows), dimensions), labels[:, 0], labels[:, 1])


def figures(targets: NDArray[np.bool_], verdicts: NDArray[np.bool_]) -> QualityFigures:
    """Compute the figures of answered clips.

    Examples
    --------
    >>> one_class = figures(np.array([False, False]), np.array([False, True]))
    >>> one_class.recall is None, one_class.balanced_accuracy is None, one_class.precision
    (True, True, 0.0)
    """
    found = measure("answered", targets, verdicts.astype(float), verdicts)
    return QualityFigures(
        rows=len(targets),
        f1=found.f1,
        balanced_accuracy=found.balanced_accuracy,
        recall=found.recall,
        precision=found.precision,
        true_positive=int((targets & verdicts).sum()),
        false_positive=int((~targets & verdicts).sum()),
        false_negative=int((targets & ~verdicts).sum()),
        true_negative=int((~targets & ~verdicts).sum()),
    )


def has_fallen(targets: NDArray[np.bool_], verdicts: NDArray[np.bool_], level: float) -> str | None:
    """Say in a sentence that the newest answers confirm the verdicts less often than those before; None: not shown.

    Alarms and "normal" verdicts are tested apart (Fisher's exact test, one-sided): asking about more alarms than
    before is no fall. `level` is what one look may spend; the two tests share it.

    Examples
    --------
    >>> fine, wrong = np.ones(60, bool), np.zeros(30, bool)
    >>> has_fallen(np.concatenate([fine, wrong]), np.ones(90, bool), 1e-4)
    'Of the newest 30 answered alarms 0 were confirmed, of the 60 before 60.'
    >>> has_fallen(fine, fine, 1e-4) is None
    True
    """
    for verdict, what in ((True, "alarms"), (False, "clips called normal")):
        right = (targets == verdicts)[verdicts == verdict]
        before, newest = right[:-_NEWEST], right[-_NEWEST:]
        if len(before) < _NEWEST:
            continue
        table: Any = [
            [int(newest.sum()), int((~newest).sum())],
            [int(before.sum()), int((~before).sum())],
        ]
        if fisher_exact(table, alternative="less").pvalue <= level / 2:
            return (
                f"Of the newest {len(newest)} answered {what} {newest.sum()} were confirmed, "
                f"of the {len(before)} before {before.sum()}."
            )
    return None


def _truth(value: bytes) -> bool:
    return {b"True": True, b"False": False}[value]
