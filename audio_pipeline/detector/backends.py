"""Fitting what "normal" is: per machine and group of columns, three backends; the oddest group decides.

Here: numpy and scikit-learn, float64, nothing about files or ONNX. Not here: p-values (`calibration`), the graph
(`graph`).

Each backend gives the log of a distance from the normals, less the median and over the deviation (+ 0.15) of the log
distances that the machine's own normals got from models that had not seen them. So every score is around 0 for a
healthy machine whatever it measures. Within a group of columns the backends are averaged: they judge the same thing,
each with its own error. Over groups the highest counts: a fault that shows in the loudest moments is not outvoted by
averages that are fine. No label is needed to weigh anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

from audio_pipeline.errors import TrainingError

Floats = NDArray[np.float64]

BACKENDS = ("mahalanobis", "neighbour", "local_density")
MIN_NORMALS = 4
"""Rows that a model needs: one left out, and three to see any deviation by."""
FOLDS = 5
_LEAVE_ONE_OUT_BELOW = 10  # recordings: a fifth of fewer would leave the held-out models much poorer than the final one
_SPREAD_FLOOR = 0.15  # a backend that hardly varies on normals must not outshout the others over nothing
_SCALE_FLOOR = 1e-3  # of the group's median deviation: a dead column would turn rounding noise into signal
_BORROWED_ROWS = 5
_DENSITY_NEIGHBOURS = 5
_BANK_ROWS = 256  # normals kept a machine and group for the neighbour backends; the graph's size and speed hang on it
SAME = 0.01
"""Squared distance, per column in deviations, under which two rows count as the same: bounds the log."""


@dataclass(frozen=True)
class GroupModel:
    """The normals of one machine in one group of columns.

    Parameters
    ----------
    name, columns
        Which columns.
    centre, scale
        float64[d]: standardise a row by them.
    whitening
        float64[d, d]: standardised normals times it have the covariance of white noise (Ledoit-Wolf shrunk).
    bank
        float64[r, d]: standardised normals that neighbours are looked up in.
    density
        float64[r]: each bank row's mean distance to its own neighbours.
    median, spread
        float64[3]: of each backend's log scores on normals that the scoring model had not seen.
    """

    name: str
    columns: slice
    centre: Floats
    scale: Floats
    whitening: Floats
    bank: Floats
    density: Floats
    median: Floats
    spread: Floats

    @classmethod
    def fit(cls, name: str, columns: slice, vectors: Floats) -> GroupModel:
        """Fit normals, float64[n, all columns] with n >= 2; not yet normalised.

        Columns are standardised first, since the shrinkage is towards equal variances (Ledoit and Wolf, 2004).
        """
        rows = vectors[:, columns]
        centre, deviation = rows.mean(0), rows.std(0)
        floor = _SCALE_FLOOR * float(np.median(deviation[deviation > 0])) if (deviation > 0).any() else 1.0
        scale = np.maximum(deviation, floor)
        standard = (rows - centre) / scale
        covariance, _ = ledoit_wolf(standard, assume_centered=True)
        values, axes = np.linalg.eigh(covariance)
        # Identical rows leave no variance at all, and no direction to prefer.
        values = np.maximum(values, 1e-6 * max(float(values[-1]), 1e-6))
        bank = standard[coreset(standard, _BANK_ROWS)]
        between = np.sqrt(squared_distances(bank, bank))
        np.fill_diagonal(between, np.inf)
        nearest = np.sort(between, axis=1)[:, : max(1, min(_DENSITY_NEIGHBOURS, len(bank) - 2))]
        density = np.sqrt(nearest.mean(1) ** 2 + SAME * bank.shape[1])
        raw = np.zeros(len(BACKENDS)), np.ones(len(BACKENDS))
        return cls(name, columns, centre, scale, axes / np.sqrt(values), bank, density, *raw)

    def standardised(self, vectors: Floats) -> Floats:
        """Return float64[n, d]: this group's columns in deviations from the centre."""
        return np.asarray((vectors[:, self.columns] - self.centre) / self.scale)

    def log_scores(self, vectors: Floats) -> Floats:
        """Return float64[3, n]: each backend's log distance, in the order of `BACKENDS`.

        Mahalanobis: squared distance from the centre in units of the shrunk covariance. Neighbour: distance to the
        nearest bank row. Local density: the same over how far that row's own neighbours are (arXiv 2509.10951).
        """
        standard = self.standardised(vectors)
        width = standard.shape[1]
        from_centre = ((standard @ self.whitening) ** 2).sum(1)
        distances = squared_distances(standard, self.bank)
        nearest = distances.argmin(1)
        neighbour = 0.5 * np.log(distances[np.arange(len(standard)), nearest] + SAME * width)
        return np.stack([np.log(from_centre + SAME * width), neighbour, neighbour - np.log(self.density[nearest])])

    def score(self, vectors: Floats) -> Floats:
        """Return float64[n]: the backends' mean, around 0 for normals."""
        logs = self.log_scores(vectors)
        return np.asarray(((logs - self.median[:, None]) / self.spread[:, None]).mean(0))


def squared_distances(rows: Floats, bank: Floats) -> Floats:
    """Return float64[n, r], never negative."""
    product = (rows**2).sum(1)[:, None] + (bank**2).sum(1)[None] - 2 * rows @ bank.T
    return np.asarray(np.maximum(product, 0.0))


def coreset(rows: Floats, count: int) -> NDArray[np.int64]:
    """Choose rows that leave none far from a chosen one: greedy k-centre (Gonzalez, 1985), from the most central on.

    Returns
    -------
    NDArray
        int64[min(n, count)], in order of choice.
    """
    if len(rows) <= count:
        return np.arange(len(rows))
    chosen = [int((rows**2).sum(1).argmin())]
    reach = squared_distances(rows, rows[chosen])[:, 0]
    while len(chosen) < count:
        chosen.append(int(reach.argmax()))
        reach = np.minimum(reach, squared_distances(rows, rows[chosen[-1:]])[:, 0])
    return np.array(chosen)


@dataclass(frozen=True)
class MachineModel:
    """What is normal for one machine (or for several that had too few normals each).

    Parameters
    ----------
    machines
        Whose normals it was fitted on.
    groups
        What is fused.
    held_out_scores
        float64[n]: the fused scores of its own normals, each by a model fitted without the row's fold.
    rows
        int64[n]: which rows of the training data those are.
    """

    machines: tuple[str, ...]
    groups: tuple[GroupModel, ...]
    held_out_scores: Floats
    rows: NDArray[np.int64]

    def score(self, rows: Floats) -> Floats:
        """Return the fused scores, float64[n]."""
        return np.asarray(np.max([group.score(rows) for group in self.groups], axis=0))


def folds(recordings: Sequence[str], seed: int = 0) -> NDArray[np.int64]:
    """Deal rows to folds, all windows of a recording together.

    Parameters
    ----------
    recordings
        Group id of each row.
    seed
        Of the dealing.

    Returns
    -------
    NDArray
        int64[n], a fold number a row. Under ten recordings each is a fold of its own. Fewer than four recordings
        cannot be held out from each other; their windows are then dealt in stretches of neighbours.
    """
    names, of_row = np.unique(np.asarray(recordings), return_inverse=True)
    if len(names) < MIN_NORMALS:
        stretches = np.array_split(np.argsort(of_row, kind="stable"), min(FOLDS, len(of_row)))
        fold = np.empty(len(of_row), np.int64)
        for number, stretch in enumerate(stretches):
            fold[stretch] = number
        return fold
    count = len(names) if len(names) < _LEAVE_ONE_OUT_BELOW else FOLDS
    of_name = np.empty(len(names), np.int64)
    of_name[np.random.default_rng(seed).permutation(len(names))] = np.arange(len(names)) % count
    return of_name[of_row]


@dataclass(frozen=True)
class _Plan:
    """One model to fit: whose it is, its rows, their folds."""

    machines: tuple[str, ...]
    rows: NDArray[np.int64]
    fold: NDArray[np.int64]


def fit_site(
    vectors: Floats,
    machines: Sequence[str],
    recordings: Sequence[str],
    groups: Mapping[str, slice],
    seed: int = 0,
) -> tuple[MachineModel, ...]:
    """Fit every machine of a site.

    Parameters
    ----------
    vectors
        float64[n, columns], normals only.
    machines, recordings
        Machine and recording group id of each row.
    groups
        Columns by name.
    seed
        Of the folds.

    Returns
    -------
    tuple
        A model a machine. Machines with fewer than `MIN_NORMALS` rows share one, fitted on all their rows together;
        where those are too few as well, it is fitted on every row of the site. Such a model is as wide as the
        machines are apart: it sees less, and still keeps its false-alarm rate.

    Raises
    ------
    TrainingError
        The whole site has fewer rows than `MIN_NORMALS`.
    """
    if len(vectors) < MIN_NORMALS:
        raise TrainingError(
            f"{len(vectors)} normal windows are too few: at least {MIN_NORMALS} that are not held out are needed. "
            "Record more normal clips and embed them."
        )
    plans = _plans(np.asarray(machines), np.asarray(recordings), seed)
    fitted: list[list[GroupModel]] = [[] for _ in plans]
    held_out = [np.full(len(plan.rows), -np.inf) for plan in plans]
    for name, columns in groups.items():
        logs = [_held_out_logs(name, columns, vectors[plan.rows], plan.fold) for plan in plans]
        site_variance = np.hstack([own - np.median(own, axis=1, keepdims=True) for own in logs]).var(axis=1)
        for number, plan in enumerate(plans):
            median, spread = _median_and_spread(logs[number], site_variance)
            model = GroupModel.fit(name, columns, vectors[plan.rows])
            fitted[number].append(replace(model, median=median, spread=spread))
            scores = ((logs[number] - median[:, None]) / spread[:, None]).mean(0)
            held_out[number] = np.maximum(held_out[number], scores)
    return tuple(
        MachineModel(plan.machines, tuple(models), scores, plan.rows)
        for plan, models, scores in zip(plans, fitted, held_out, strict=True)
    )


def _plans(of_row: NDArray[np.str_], recordings: NDArray[np.str_], seed: int) -> list[_Plan]:
    names, counts = np.unique(of_row, return_counts=True)
    chosen: list[tuple[tuple[str, ...], NDArray[np.bool_]]] = [
        ((str(name),), of_row == name) for name in names[counts >= MIN_NORMALS]
    ]
    few = tuple(str(name) for name in names[counts < MIN_NORMALS])
    if few:
        shared = np.isin(of_row, few)
        chosen.append((few, shared if shared.sum() >= MIN_NORMALS else np.ones(len(of_row), dtype=bool)))
    return [_Plan(covered, np.flatnonzero(rows), folds(recordings[rows].tolist(), seed)) for covered, rows in chosen]


def _held_out_logs(name: str, columns: slice, vectors: Floats, fold: NDArray[np.int64]) -> Floats:
    """Log scores float64[3, n] of normals, each by a model fitted without the row's fold."""
    logs = np.empty((len(BACKENDS), len(vectors)))
    for number in np.unique(fold):
        inside = fold == number
        logs[:, inside] = GroupModel.fit(name, columns, vectors[~inside]).log_scores(vectors[inside])
    return logs


def _median_and_spread(logs: Floats, site_variance: Floats) -> tuple[Floats, Floats]:
    """Of one machine's held-out log scores, float64[3, n].

    A spread from a handful of rows is mostly chance; it is drawn towards the site's, as if `_BORROWED_ROWS` rows of
    average spread had been seen as well (empirical Bayes, inverse-gamma prior on the variance).
    """
    count = logs.shape[1]
    variance = (count * logs.var(axis=1) + _BORROWED_ROWS * site_variance) / (count + _BORROWED_ROWS)
    return np.median(logs, axis=1), np.sqrt(variance) + _SPREAD_FLOOR
