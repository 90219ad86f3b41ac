"""Figures of merit of scores and verdicts, as pure functions.

Here: AUC, pAUC, F1, balanced accuracy, precision, recall of one set, and the harmonic mean of DCASE Task 2. Not here:
which sets there are and how clips come by their scores (`evaluation`).

A figure that the data do not define (AUC without an anomaly, precision without an alarm) is None, "unknown": never 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

PARTIAL_AUC_RATE = 0.1  # DCASE Task 2: the ROC curve up to a false-alarm rate of 10 %


@dataclass(frozen=True)
class Metrics:
    """Figures of one set of clips; None = unknown.

    Parameters
    ----------
    name
        What the set is: a machine, a machine and domain, or `all`.
    normals, anomalies
        How many of each.
    auc, pauc
        Area under the ROC curve, and its McClish-standardised part up to a false-alarm rate of 0.1.
    f1, balanced_accuracy, precision, recall
        Of the verdicts, at the model's own threshold.
    false_alarm_rate
        Share of the normals called anomaly.
    """

    name: str
    normals: int
    anomalies: int
    auc: float | None
    pauc: float | None
    f1: float | None
    balanced_accuracy: float | None
    precision: float | None
    recall: float | None
    false_alarm_rate: float | None


def measure(
    name: str, targets: NDArray[np.bool_], scores: NDArray[np.floating[Any]], verdicts: NDArray[np.bool_]
) -> Metrics:
    """Compute the figures of one set.

    Parameters
    ----------
    name
        What the set is called.
    targets
        bool[N], True = anomaly.
    scores
        float[N], higher = odder.
    verdicts
        bool[N], True = called anomaly.

    Examples
    --------
    >>> normal_only = measure("fan", np.array([False]), np.array([0.1]), np.array([False]))
    >>> normal_only.auc is None, normal_only.false_alarm_rate
    (True, 0.0)
    """
    targets, verdicts = targets.astype(bool), verdicts.astype(bool)
    hits = int((targets & verdicts).sum())
    false_alarms = int((~targets & verdicts).sum())
    anomalies, normals = int(targets.sum()), int((~targets).sum())
    recall = _share(hits, anomalies)
    false_alarm_rate = _share(false_alarms, normals)
    both = recall is not None and false_alarm_rate is not None
    return Metrics(
        name=name,
        normals=normals,
        anomalies=anomalies,
        auc=float(roc_auc_score(targets, scores)) if both else None,
        pauc=float(roc_auc_score(targets, scores, max_fpr=PARTIAL_AUC_RATE)) if both else None,
        # Without an anomaly, F1 would be 0 for the best detector there can be.
        f1=_share(2 * hits, 2 * hits + false_alarms + (anomalies - hits)) if anomalies else None,
        balanced_accuracy=(recall + 1 - false_alarm_rate) / 2
        if recall is not None and false_alarm_rate is not None
        else None,
        precision=_share(hits, hits + false_alarms),
        recall=recall,
        false_alarm_rate=false_alarm_rate,
    )


def harmonic_mean(values: Sequence[float | None]) -> float | None:
    """Return the harmonic mean; None when there is no value or one of them is unknown.

    Examples
    --------
    >>> harmonic_mean([0.5, 1.0]), harmonic_mean([0.9, None]), harmonic_mean([0.9, 0.0])
    (0.6666666666666666, None, 0.0)
    """
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return 0.0 if min(known) <= 0 else len(known) / sum(1 / value for value in known)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
