"""AUC and pAUC with paired bootstrap intervals over recordings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
PARTIAL = 0.1
"""False-alarm rate up to which pAUC looks."""


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


def column_estimates(groups: list[list[Run]], draws: int, figure: Figure, seed: int = 0) -> dict[str, Estimate]:
    """A figure by row: the mean over groups, in each over its runs.

    Recordings are drawn with replacement, faults and normals apart; one draw holds for every row and every run of a
    group, so that differences between rows are paired.
    """
    per_group = [_of_group(runs, draws, figure, np.random.default_rng([seed, i])) for i, runs in enumerate(groups)]
    return {row: mean([estimates[row] for estimates in per_group]) for row in per_group[0]}


def mean(estimates: list[Estimate]) -> Estimate:
    """The mean figure, draw by draw."""
    return Estimate(
        float(np.mean([e.value for e in estimates])), np.asarray(np.mean([e.draws for e in estimates], axis=0))
    )


def auc(won: Floats, of_fault: Floats, of_normal: Floats) -> Floats:
    """AUC under weights: won float64[faults, normals], weights float64[draws, faults or normals] → float64[draws]."""
    return np.asarray((_rates(won, of_fault) * of_normal).sum(1) / of_normal.sum(1))


def partial_auc(won: Floats, of_fault: Floats, of_normal: Floats) -> Floats:
    """The field's pAUC (p = 0.1, standardised as McClish, 1989), of normals in falling order; as `auc`."""
    total = of_normal.sum(1, keepdims=True)
    odder = np.cumsum(of_normal, axis=1) - of_normal
    counted = np.clip(PARTIAL * total - odder, 0, of_normal) / total
    raw = (_rates(won, of_fault) * counted).sum(1)
    by_chance = PARTIAL**2 / 2
    return np.asarray(0.5 * (1 + (raw - by_chance) / (PARTIAL - by_chance)))


def _rates(won: Floats, of_fault: Floats) -> Floats:
    """Share of faults above each normal clip, float64[draws, normals]."""
    return np.asarray(of_fault @ won / of_fault.sum(1, keepdims=True))


Figure = Callable[[Floats, Floats, Floats], Floats]


def _of_group(runs: list[Run], draws: int, figure: Figure, rng: np.random.Generator) -> dict[str, Estimate]:
    names = np.unique(np.concatenate([run.recording for run in runs]))
    # Poisson(1) weights: a recording's weight is the same wherever it is tested, whatever the half.
    weights = rng.poisson(1.0, (draws, len(names))).astype(float) + 1e-9
    result = {}
    for row in runs[0].scores:
        values = [_weighted(run, row, np.ones((1, len(names))), names, figure) for run in runs]
        resampled = [_weighted(run, row, weights, names, figure) for run in runs]
        result[row] = Estimate(float(np.mean(values)), np.asarray(np.mean(resampled, axis=0)))
    return result


def _weighted(run: Run, row: str, weights: Floats, names: NDArray[np.str_], figure: Figure) -> Floats:
    """The figure under recording weights float64[draws, names] → float64[draws]."""
    clip_weights = weights[:, np.searchsorted(names, run.recording)]
    faults = np.flatnonzero(run.fault)
    normals = np.flatnonzero(~run.fault)
    normals = normals[np.argsort(-run.scores[row][normals], kind="stable")]
    above = run.scores[row][faults][:, None] - run.scores[row][normals][None]
    won = (above > 0) + 0.5 * (above == 0)
    return figure(won, clip_weights[:, faults], clip_weights[:, normals])
