"""Fitting what "normal" is: per machine and group of columns, how far a row lies; the oddest groups decide.

Here: numpy and scikit-learn, float64, nothing about files or ONNX. Not here: p-values (`calibration`), the graph
(`graph`).

Each backend gives the log of a distance from the normals, less the median and over the deviation (+ 0.15) of the log
distances that the machine's own normals got from models that had not seen them. So every score is around 0 for a
healthy machine whatever it measures. Within a group of columns the backends are averaged: they judge the same thing,
each with its own error. Over groups nearly the highest counts (`fuse`): a fault that shows in the loudest moments is
not outvoted by averages that are fine, and two groups that find a row odd say more than one. No label is needed to
weigh anything. Chosen on synthetic plants alone (`benchmarks/detection`, `choose`).

A group whose distances training gave a unit (`ColumnGroup.absolute`) is scored in that unit, not in the machine's own
deviations, and only beyond what its healthy clips reach by themselves. Where a network hears nothing in a machine its
rows lie close together, and stay silent; blown up to one deviation they would add chance to every score
(`benchmarks/synthetic/FINDINGS.md`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.detector.coreset import coreset
from audio_pipeline.detector.covariance import Floats, Others, Whitening
from audio_pipeline.detector.head import Head
from audio_pipeline.errors import TrainingError

MIN_NORMALS = 4
"""Rows that a model needs: one left out, and three to see any deviation by."""
FOLDS = 5
_LEAVE_ONE_OUT_BELOW = 10  # recordings: a fifth of fewer would leave the held-out models much poorer than the final one
_BORROWED_ROWS = 5
_FEWEST_TO_NORMALISE = 2
SHARPNESS = 2.0
"""Of the fusion: towards 0 the groups' mean, beyond all bounds their highest."""
_DENSITY_NEIGHBOURS = 5
_BANK_ROWS = 256  # normals kept a machine and group for the neighbour backends; the graph's size and speed hang on it
SAME = 0.01
"""Squared distance, per column in deviations, under which two rows count as the same: bounds the log."""
SAME_UNIT = 0.01
"""The same of columns that have a unit, in all: a tenth of it is no distance."""


@dataclass(frozen=True)
class GroupModel(ABC):
    """The normals of one machine in one group of columns.

    Parameters
    ----------
    name
        Of the group.
    white
        Which columns, and how they are standardised and whitened.
    bank
        float64[r, d]: normals that neighbours are looked up in.
    offset, spread
        float64[backends]: from the raw scores of normals that the scoring model had not seen.
    """

    BACKENDS: ClassVar[tuple[str, ...]]
    BEYOND: ClassVar[float]
    """Deviations above the median of those raw scores at which a score is 0."""
    SPREAD_FLOOR: ClassVar[float]
    """Added to their deviation."""

    name: str
    white: Whitening
    bank: Floats
    offset: Floats
    spread: Floats

    @classmethod
    @abstractmethod
    def fit(cls, name: str, columns: slice, vectors: Floats, others: Others | None = None) -> Self:
        """Fit normals, float64[n, all columns] with n >= 2; not yet normalised.

        Parameters
        ----------
        name, columns
            Which columns.
        vectors
            float64[n, all columns].
        others
            What the site's other machines say about these columns; None where there are none.
        """

    @abstractmethod
    def raw_scores(self, vectors: Floats) -> Floats:
        """Return float64[backends, n], in the order of `BACKENDS`."""

    def score(self, vectors: Floats) -> Floats:
        """Return float64[n]: the backends' mean, around 0 for normals or below."""
        return self.normalise(self.raw_scores(vectors))

    def normalise(self, raw: Floats) -> Floats:
        """Return float64[n]: the mean of raw scores, float64[backends, n], less the offset and over the spread."""
        return np.asarray(((raw - self.offset[:, None]) / self.spread[:, None]).mean(0))


@dataclass(frozen=True)
class RelativeGroup(GroupModel):
    """A group that each machine's own deviations measure; its bank is standardised.

    Parameters
    ----------
    borrowed
        float64[d, d]: a whitening that is shrunk towards how the columns of the site's other machines hang together;
        without other machines, equal to the own one.
    density
        float64[r]: each bank row's mean distance to its own neighbours.
    """

    BACKENDS = ("mahalanobis", "borrowed_mahalanobis", "local_density")
    BEYOND = 0.0
    SPREAD_FLOOR = 0.15
    """A backend that hardly varies on normals must not outshout the others over nothing."""

    borrowed: Floats
    density: Floats

    @classmethod
    def fit(cls, name: str, columns: slice, vectors: Floats, others: Others | None = None) -> Self:
        """Fit normals, as `GroupModel.fit`."""
        white = Whitening.fit(columns, vectors)
        standard = white.standardised(vectors)
        borrowed = white.matrix if others is None else others.whiten(standard, white.scale)
        bank = standard[coreset(standard, _BANK_ROWS)]
        between = np.sqrt(squared_distances(bank, bank))
        np.fill_diagonal(between, np.inf)
        nearest = np.sort(between, axis=1)[:, : max(1, min(_DENSITY_NEIGHBOURS, len(bank) - 2))]
        density = np.sqrt(nearest.mean(1) ** 2 + SAME * bank.shape[1])
        raw = np.zeros(len(cls.BACKENDS)), np.ones(len(cls.BACKENDS))
        return cls(name, white, bank, *raw, borrowed, density)

    def raw_scores(self, vectors: Floats) -> Floats:
        """Return float64[3, n]: each backend's log distance.

        Mahalanobis: squared distance from the centre in units of the shrunk covariance, the machine's own and the
        partly borrowed one. Local density: the smallest ratio of the distance to a bank row to how far that row's own
        neighbours are (arXiv 2509.10951), which alone of the three minds that a machine may run in several ways. The
        smallest ratio, not that of the nearest row: where two are as near, rounding must not decide.
        """
        standard = self.white.standardised(vectors)
        width = standard.shape[1]
        squares = [((standard @ white) ** 2).sum(1) + SAME * width for white in (self.white.matrix, self.borrowed)]
        ratios = (squared_distances(standard, self.bank) + SAME * width) / self.density**2
        return np.stack([*np.log(squares), 0.5 * np.log(ratios.min(axis=1))])


@dataclass(frozen=True)
class AbsoluteGroup(GroupModel):
    """A group whose distances have a unit; its bank is less the centre, in that unit."""

    BACKENDS = ("absolute_distance",)
    BEYOND = 3.0
    SPREAD_FLOOR = 1.0
    """The unit. In training, too: a network that hears nothing had better keep its rows within it."""

    @classmethod
    def fit(cls, name: str, columns: slice, vectors: Floats, others: Others | None = None) -> Self:  # noqa: ARG003
        """Fit normals, as `GroupModel.fit`; other machines have nothing to say about a unit."""
        white = Whitening.fit(columns, vectors)
        rows = vectors[:, columns] - white.centre
        return cls(name, white, rows[coreset(rows, _BANK_ROWS)], np.zeros(1), np.ones(1))

    def raw_scores(self, vectors: Floats) -> Floats:
        """Return float64[1, n]: the distance from the nearest normal."""
        rows = vectors[:, self.white.columns] - self.white.centre
        return np.asarray(np.sqrt(squared_distances(rows, self.bank).min(axis=1) + SAME_UNIT))[None]


def fuse(scores: Sequence[Floats]) -> Floats:
    """Return float64[n]: the logarithm of the mean exponential over groups, between their mean and their highest.

    Examples
    --------
    >>> fuse([np.array([0.0, 3.0]), np.array([0.0, -3.0])]).round(2).tolist()
    [0.0, 2.65]
    """
    table = SHARPNESS * np.asarray(scores)
    highest = table.max(axis=0)
    return np.asarray((highest + np.log(np.exp(table - highest).mean(axis=0))) / SHARPNESS)


def squared_distances(rows: Floats, bank: Floats) -> Floats:
    """Return float64[n, r], never negative."""
    product = (rows**2).sum(1)[:, None] + (bank**2).sum(1)[None] - 2 * rows @ bank.T
    return np.asarray(np.maximum(product, 0.0))


@dataclass(frozen=True)
class MachineModel:
    """What is normal for one machine (or for several that had too few normals each), and what its faults taught.

    Parameters
    ----------
    machines
        Whose normals it was fitted on.
    groups
        What is fused.
    held_out_novelty
        float64[n]: the fused scores of its own normals, each by a model fitted without the row's fold.
    rows
        int64[n]: which rows of the training data those are.
    head
        What its confirmed faults add; None where there are none.
    """

    machines: tuple[str, ...]
    groups: tuple[GroupModel, ...]
    held_out_novelty: Floats
    rows: NDArray[np.int64]
    head: Head | None = None

    @property
    def held_out_scores(self) -> Floats:
        """float64[n]: novelty and lift of its own normals."""
        return self.held_out_novelty if self.head is None else self.held_out_novelty + self.head.held_out_lifts

    def novelty(self, rows: Floats) -> Floats:
        """Return the fused scores, float64[n]."""
        return fuse([group.score(rows) for group in self.groups])

    def score(self, rows: Floats) -> Floats:
        """Return novelty and lift, float64[n]."""
        return self.novelty(rows) if self.head is None else self.novelty(rows) + self.head.lift(rows)


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
    calibrates: NDArray[np.bool_] | None = None,
    absolute: Collection[str] = (),
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
    calibrates
        bool[n]: the rows that scores are normalised by; None: all. The others (answered clips that were asked about
        because they sounded odd) are normals to be near to, and say nothing about how high a normal scores. A machine
        that has fewer than two such rows is normalised by what it has.
    absolute
        The groups whose distances have a unit.

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
    calibrating = np.ones(len(vectors), dtype=bool) if calibrates is None else calibrates
    plans = _plans(np.asarray(machines), np.asarray(recordings), seed)
    fitted: list[list[GroupModel]] = [[] for _ in plans]
    held_out: list[list[Floats]] = [[] for _ in plans]
    for name, columns in groups.items():
        kind: type[GroupModel] = AbsoluteGroup if name in absolute else RelativeGroup
        others = _others(vectors[:, columns], np.asarray(machines), plans)
        raw = [
            _held_out_raw(kind, name, columns, vectors[plan.rows], plan.fold, beside)
            for plan, beside in zip(plans, others, strict=True)
        ]
        # Where none of a machine's rows may normalise it, its own are better than another machine's.
        fair = [
            own[:, rows] if (rows := calibrating[plan.rows]).sum() >= _FEWEST_TO_NORMALISE else own
            for own, plan in zip(raw, plans, strict=True)
        ]
        site_variance = np.hstack([own - np.median(own, axis=1, keepdims=True) for own in fair]).var(axis=1)
        for number, plan in enumerate(plans):
            median, spread = _median_and_spread(fair[number], site_variance)
            fitting = kind.fit(name, columns, vectors[plan.rows], others[number])
            model = replace(fitting, offset=median + kind.BEYOND * spread, spread=spread + kind.SPREAD_FLOOR)
            fitted[number].append(model)
            held_out[number].append(model.normalise(raw[number]))
    return tuple(
        MachineModel(plan.machines, tuple(models), fuse(scores), plan.rows)
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


def _others(rows: Floats, of_row: NDArray[np.str_], plans: Sequence[_Plan]) -> list[Others | None]:
    """For each plan, the covariance of one group's columns, float64[n, d], within the machines that it leaves out."""
    scatter = {str(name): _scatter(rows[of_row == name]) for name in np.unique(of_row)}
    found: list[Others | None] = []
    for plan in plans:
        own = {str(name) for name in np.unique(of_row[plan.rows])}
        others = [item for name, item in scatter.items() if name not in own]
        degrees = sum(degrees for _, degrees in others)
        found.append(Others(np.sum([table for table, _ in others], axis=0) / degrees, degrees) if degrees else None)
    return found


def _scatter(rows: Floats) -> tuple[Floats, int]:
    centred = rows - rows.mean(0)
    return np.asarray(centred.T @ centred), len(rows) - 1


def _held_out_raw(
    kind: type[GroupModel],
    name: str,
    columns: slice,
    vectors: Floats,
    fold: NDArray[np.int64],
    others: Others | None,
) -> Floats:
    """Raw scores float64[backends, n] of normals, each by a model fitted without the row's fold."""
    raw = np.empty((len(kind.BACKENDS), len(vectors)))
    for number in np.unique(fold):
        inside = fold == number
        raw[:, inside] = kind.fit(name, columns, vectors[~inside], others).raw_scores(vectors[inside])
    return raw


def _median_and_spread(raw: Floats, site_variance: Floats) -> tuple[Floats, Floats]:
    """Of one machine's held-out raw scores, float64[backends, n].

    A spread from a handful of rows is mostly chance; it is drawn towards the site's, as if `_BORROWED_ROWS` rows of
    average spread had been seen as well (empirical Bayes, inverse-gamma prior on the variance).
    """
    count = raw.shape[1]
    variance = (count * raw.var(axis=1) + _BORROWED_ROWS * site_variance) / (count + _BORROWED_ROWS)
    return np.median(raw, axis=1), np.sqrt(variance)
