"""What a machine's confirmed faults teach: rows that lie their way from the normals score higher. Nothing scores lower.

Here: fitting that lift, and the probability that a score amounts to. Not here: the lift itself (`head`), what is normal
(`backends`), twins of faults confirmed since (`graph`).

In every group of columns, whether it has a unit or not, rows are whitened by the machine's normals. There a fault is a
direction, and a row's likeness is the log-mean-exp of its projections on the faults' directions: with few faults close
to their mean direction (Fisher's discriminant), with a strong match close to that one fault. Each group's likeness is
less its median and over its spread on held-out normals; groups count by how far each fault stands out by the directions
of the *other* recordings' faults (none to compare with: all alike). What is above the normals' median is added to the
novelty score, at a gain that starts from a half and follows how much more the faults stand out by likeness than by
novelty (for two normal scores that is the best mixture). So one confirmed fault moves little and ten of one kind move
much; a kind of fault that nobody has confirmed keeps its novelty; and a healthy row's lift is part of what its p-value
is judged by, since normals are lifted by models and directions that had not seen them.

Chosen on synthetic plants (`benchmarks/detection`): weights that are learned more freely (logistic on all scores) lose
to this from 1 to 10 faults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from audio_pipeline.detector.backends import MachineModel, folds
from audio_pipeline.detector.coreset import coreset
from audio_pipeline.detector.covariance import Floats, Whitening
from audio_pipeline.detector.head import TINY, Head, LikenessGroup, likeness

GAIN = 0.5
_GAIN_OF_ONE = 1 / 3  # with nothing to compare it with
_HIGHEST_GAIN = 2.0
_PRIOR_RECORDINGS = 2  # as if so many faults had asked for `GAIN`, and stood out by one deviation in every group
_FARTHEST = 6.0  # deviations that a fault may stand out by: one glaring fault says nothing about slight ones
_LEAST_NOVEL = 0.3
_NOVELTY_SPREAD = 0.1
_DIRECTIONS = 32
_SPREAD_ROWS = 5  # of the groups' mean variance, beside a group's own


@dataclass(frozen=True)
class Faults:
    """Confirmed faults: float64[m, all columns], and each row's machine and recording group."""

    vectors: Floats
    machines: Sequence[str]
    recordings: Sequence[str]


def directions_of(white: Floats) -> Floats:
    """Return float64[d, C] of whitened faults, float64[m, d]: at most 32, alike ones averaged."""
    units = white / (np.linalg.norm(white, axis=1, keepdims=True) + TINY)
    if len(units) > _DIRECTIONS:
        seeds = units[coreset(units, _DIRECTIONS)]
        nearest = (units @ seeds.T).argmax(axis=1)
        units = np.stack([units[nearest == seed].mean(axis=0) for seed in np.unique(nearest)])
        units /= np.linalg.norm(units, axis=1, keepdims=True) + TINY
    return np.asarray(units.T / np.sqrt(units.shape[1]))


def supervise(
    models: Sequence[MachineModel],
    vectors: Floats,
    recordings: Sequence[str],
    faults: Faults,
    groups: Mapping[str, slice],
    seed: int = 0,
    calibrates: NDArray[np.bool_] | None = None,
    before: Mapping[str, Mapping[str, float]] | None = None,
) -> tuple[MachineModel, ...]:
    """Give every machine that has confirmed faults a head.

    Parameters
    ----------
    models
        From `fit_site`, with the same vectors, recordings and seed.
    vectors, recordings, calibrates
        The normals, as there.
    faults
        Of any machines; one whose machine has no model counts for the model that finds it least odd.
    groups
        Every group of columns by name.
    seed
        Of the folds.
    before
        Machine → group → weight of a version before: where its groups start from, instead of counting alike.
    """
    if not len(faults.vectors):
        return tuple(models)
    of_machine = {name: number for number, model in reversed(list(enumerate(models))) for name in model.machines}
    nearest = np.argmin([model.novelty(faults.vectors) for model in models], axis=0)
    owner = np.array([of_machine.get(name, near) for name, near in zip(faults.machines, nearest, strict=True)])
    names = np.asarray(recordings)
    fair = np.ones(len(vectors), dtype=bool) if calibrates is None else calibrates
    supervised = []
    for number, model in enumerate(models):
        own = owner == number
        if not own.any():
            supervised.append(model)
            continue
        start = next((before[name] for name in model.machines if before and name in before), {})
        # Where none of a machine's rows may measure it, its own are better than nothing, as in `fit_site`.
        measuring = fair[model.rows]
        if measuring.sum() < 2:
            measuring = np.ones_like(measuring)
        head = _fit_head(
            vectors[model.rows],
            folds(names[model.rows].tolist(), seed),
            measuring,
            faults.vectors[own],
            np.asarray(faults.recordings)[own],
            _stand_out(model.novelty(faults.vectors[own]), model.held_out_novelty[measuring]),
            groups,
            {name: float(start.get(name, 1.0)) for name in groups},
        )
        supervised.append(replace(model, head=head))
    return tuple(supervised)


def _fit_head(
    normals: Floats,
    fold: NDArray[np.int64],
    fair: NDArray[np.bool_],
    faults: Floats,
    recordings: NDArray[np.str_],
    by_novelty: tuple[float, float],
    groups: Mapping[str, slice],
    start: Mapping[str, float],
) -> Head:
    whitenings = {name: Whitening.fit(columns, normals) for name, columns in groups.items()}
    of_normals = np.stack([_held_out_likeness(columns, normals, fold, faults) for columns in groups.values()])
    of_faults = np.stack([_by_the_others(white.apply(faults), recordings) for white in whitenings.values()])
    median = np.median(of_normals[:, fair], axis=1)
    variance = of_normals[:, fair].var(axis=1)
    count = int(fair.sum())
    spread = np.sqrt((count * variance + _SPREAD_ROWS * variance.mean()) / (count + _SPREAD_ROWS)) + TINY
    stand_out = np.nan_to_num((of_faults - median[:, None]) / spread[:, None])
    known = len(np.unique(recordings))
    compared = known if known > 1 else 0
    prior = _PRIOR_RECORDINGS * np.array([start[name] for name in groups])
    weight = (prior + compared * np.maximum(stand_out.mean(axis=1), 0)) / (_PRIOR_RECORDINGS + compared)
    total = weight @ ((of_normals - median[:, None]) / spread[:, None])
    middle, wide = float(np.median(total[fair])), float(total[fair].std()) + TINY
    by_the_others = (weight @ stand_out - middle) / wide
    parts = zip(groups, whitenings.values(), median, spread, weight, strict=True)
    head = Head(
        groups=tuple(
            LikenessGroup(name, white, directions_of(white.apply(faults)), float(usual), float(varies), float(counts))
            for name, white, usual, varies, counts in parts
        ),
        median=middle,
        spread=wide,
        gain=_gain(by_the_others, *by_novelty, known) if compared else _GAIN_OF_ONE,
        recordings=known,
        faults=faults,
        held_out_lifts=np.zeros(len(normals)),
        fault_lifts=np.zeros(len(faults)),
    )
    of_fault = weight @ stand_out if compared else np.full(len(faults), -np.inf)
    return replace(head, held_out_lifts=head.of_total(total), fault_lifts=head.of_total(of_fault))


def _stand_out(faults: Floats, normals: Floats) -> tuple[float, float]:
    """By how many deviations of held-out normals faults score higher, and how large one is."""
    deviation = float(normals.std()) + _NOVELTY_SPREAD
    return float(np.minimum((faults - np.median(normals)) / deviation, _FARTHEST).mean()), deviation


def _gain(likeness_of_faults: Floats, novelty_of_faults: float, deviation: float, recordings: int) -> float:
    by_likeness = max(float(np.minimum(likeness_of_faults, _FARTHEST).mean()), 0.0)
    wanted = min(by_likeness / max(novelty_of_faults, _LEAST_NOVEL) * deviation, _HIGHEST_GAIN)
    return (_PRIOR_RECORDINGS * GAIN + recordings * wanted) / (_PRIOR_RECORDINGS + recordings)


def _held_out_likeness(columns: slice, normals: Floats, fold: NDArray[np.int64], faults: Floats) -> Floats:
    found = np.empty(len(normals))
    for number in np.unique(fold):
        inside = fold == number
        white = Whitening.fit(columns, normals[~inside])
        found[inside] = likeness(white.apply(normals[inside]), directions_of(white.apply(faults)))
    return found


def _by_the_others(white: Floats, recordings: NDArray[np.str_]) -> Floats:
    """Likeness of each whitened fault to the faults of other recordings; NaN where there are none."""
    found = np.full(len(white), np.nan)
    for name in np.unique(recordings):
        own = recordings == name
        if not own.all():
            found[own] = likeness(white[own], directions_of(white[~own]))
    return found


@dataclass(frozen=True)
class Odds:
    """Turns a score into the probability of a fault, where as many faulty clips as healthy ones are heard.

    Parameters
    ----------
    slope, intercept
        Of the log odds.
    """

    slope: float
    intercept: float


def fit_odds(normals: Floats, faults: Floats) -> Odds:
    """Fit the log odds to held-out scores: Platt (1999), both classes counting the same.

    Parameters
    ----------
    normals, faults
        float64[n], float64[m]: scores, each by a model that had not seen the row.
    """
    score = np.concatenate([faults, normals])
    weight = np.repeat([1 / len(faults), 1 / len(normals)], [len(faults), len(normals)])
    # Targets short of 0 and 1, as if one more row of each kind had been on the other side: no certainty from a few.
    target = np.repeat([(len(faults) + 1) / (len(faults) + 2), 1 / (len(normals) + 2)], [len(faults), len(normals)])

    def loss(at: Floats) -> tuple[float, Floats]:
        z = at[0] * score + at[1]
        off = weight * (1 / (1 + np.exp(-np.clip(z, -500, 500))) - target)
        return float((weight * (np.logaddexp(0, z) - target * z)).sum()), np.array([off @ score, off.sum()])

    best = minimize(loss, np.array([1.0, -1.0]), jac=True, method="L-BFGS-B", bounds=[(0.0, None), (None, None)]).x
    return Odds(float(best[0]), float(best[1]))
