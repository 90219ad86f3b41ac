"""AUC with paired bootstrap intervals over recordings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """Scores of one group's tested clips under one choice of reference.

    Attributes
    ----------
    scores
        float64[clips] by row of the table.
    fault
        bool[clips].
    recording
        str[clips].
    """

    scores: dict[str, Floats]
    fault: NDArray[np.bool_]
    recording: NDArray[np.str_]


@dataclass(frozen=True)
class Estimate:
    """A figure, and float64[draws] of it under resampling."""

    value: float
    draws: Floats

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The percentile interval."""
        low, high = np.quantile(self.draws, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def minus(self, other: Estimate) -> Estimate:
        """The paired difference."""
        return Estimate(self.value - other.value, self.draws - other.draws)


def column_aucs(groups: list[list[Run]], draws: int, seed: int = 0) -> dict[str, Estimate]:
    """AUC by row: the mean over groups, in each over its runs.

    Recordings are drawn with replacement, faults and normals apart; one draw holds for every row and every run of a
    group, so that differences between rows are paired.
    """
    per_group = [_group_aucs(runs, draws, np.random.default_rng([seed, i])) for i, runs in enumerate(groups)]
    return {row: mean([estimates[row] for estimates in per_group]) for row in per_group[0]}


def mean(estimates: list[Estimate]) -> Estimate:
    """The mean figure, draw by draw."""
    return Estimate(
        float(np.mean([e.value for e in estimates])), np.asarray(np.mean([e.draws for e in estimates], axis=0))
    )


def partial_auc(groups: list[list[Run]], row: str, top: float = 0.1) -> float:
    """The field's pAUC (p = 0.1, standardised), mean over groups and runs."""
    return float(
        np.mean([np.mean([roc_auc_score(run.fault, run.scores[row], max_fpr=top) for run in runs]) for runs in groups])
    )


def _group_aucs(runs: list[Run], draws: int, rng: np.random.Generator) -> dict[str, Estimate]:
    names = np.unique(np.concatenate([run.recording for run in runs]))
    # Poisson(1) weights: a recording's weight is the same wherever it is tested, whatever the half.
    weights = rng.poisson(1.0, (draws, len(names))).astype(float) + 1e-9
    result = {}
    for row in runs[0].scores:
        values = [_weighted(run, row, np.ones((1, len(names))), names) for run in runs]
        resampled = [_weighted(run, row, weights, names) for run in runs]
        result[row] = Estimate(float(np.mean(values)), np.asarray(np.mean(resampled, axis=0)))
    return result


def _weighted(run: Run, row: str, weights: Floats, names: NDArray[np.str_]) -> Floats:
    """AUC under recording weights float64[draws, names] → float64[draws]."""
    clip_weights = weights[:, np.searchsorted(names, run.recording)]
    score, fault = run.scores[row], run.fault
    above = score[fault][:, None] - score[~fault][None]
    won = (above > 0) + 0.5 * (above == 0)
    of_fault, of_normal = clip_weights[:, fault], clip_weights[:, ~fault]
    return np.asarray(
        np.einsum("bf,fn,bn->b", of_fault, won, of_normal, optimize=True) / (of_fault.sum(1) * of_normal.sum(1))
    )
