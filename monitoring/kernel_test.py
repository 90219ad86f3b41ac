"""Are two samples of vectors drawn from the same distribution? A permutation test of the maximum mean discrepancy.

Here: the statistic, its permutation, and how far apart the two are. Not here: what is compared and when (`drift`).

The discrepancy (Gretton et al., "A Kernel Two-Sample Test", JMLR 13, 2012) is that of mean embeddings under a Gaussian
kernel as wide as the median distance, on columns scaled and partly whitened by both samples together. Its null
distribution comes from shuffling which rows are whose, so the p-value is exact for any sample; whole recordings are
shuffled, since pieces of one recording resemble each other, and within strata, since a machine that is heard more often
is no drift.

The kernel of many rows would not fit into memory. It is then that of random Fourier features (Rahimi and Recht, "Random
Features for Large-Scale Kernel Machines", NIPS 2007), in time and memory that grow with the rows and not with their
square. The p-value stays exact, as shuffling does not care which statistic it shuffles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Array = NDArray[np.floating[Any]]

_MOST_ROWS = 2000
"""Rows of both samples up to which the kernel is held; with more it is approximated by random features."""
_FEATURES = 256
_SHUFFLED_AT_ONCE = 1_200_000  # labels
_FIRST = 200
_ENOUGH = 20
"""Shufflings as extreme as the data after which the p-value is known well enough (Besag and Clifford, 1991)."""


@dataclass(frozen=True)
class TwoSamples:
    """The outcome.

    Attributes
    ----------
    p_value
        Exact over shufflings: at least 1 / (shufflings + 1).
    effect
        Chance that a row of the second sample is nearer to its own sample than a row of the first is: 0.5 no
        difference, 1 every row can be told.
    closeness
        float[M]: how much nearer each row of the second sample is to its own than to the first.
    share_of_columns
        Share of the columns whose means differ (Welch's t, Benjamini-Hochberg at 1 %).
    """

    p_value: float
    effect: float
    closeness: Array
    share_of_columns: float


def compare(
    first: Array,
    second: Array,
    first_blocks: NDArray[Any],
    second_blocks: NDArray[Any],
    rng: np.random.Generator,
    *,
    shufflings: int,
    first_strata: NDArray[Any] | None = None,
    second_strata: NDArray[Any] | None = None,
) -> TwoSamples:
    """Test one sample against another.

    Parameters
    ----------
    first, second
        float[N, n] and float[M, n], at least two rows each.
    first_blocks, second_blocks
        [N] and [M]: rows of equal value are moved together.
    rng
        Shuffles.
    shufflings
        At most; fewer when the p-value is large and known.
    first_strata, second_strata
        [N] and [M]: labels are shuffled among rows of the same stratum only.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.normal(size=(40, 5)), rng.normal(size=(40, 5))
    >>> found = compare(a, b + 1.0, np.arange(40), np.arange(40), rng, shufflings=999)
    >>> found.p_value, found.effect > 0.9
    (0.001, True)
    >>> compare(a, b, np.arange(40), np.arange(40), rng, shufflings=999).p_value > 0.01
    True
    """
    count = len(first)
    strata = np.zeros(count + len(second), int)
    if first_strata is not None and second_strata is not None:
        strata = np.unique(np.concatenate([first_strata, second_strata]), return_inverse=True)[1]
    scaled = scale(np.concatenate([first, second]), strata)
    white = whiten(scaled)
    kernel = _Held(white) if len(white) <= _MOST_ROWS else _Approximate(white, rng)
    labels = np.arange(count + len(second)) >= count
    # A block of the first sample is never one of the second, even if they have the same name.
    names = np.array(
        [f"{int(second)}/{name}" for second, name in zip(labels, [*first_blocks, *second_blocks], strict=True)]
    )
    blocks = _blocks(labels, names, strata)
    statistic = kernel.quadratic(_weights(labels[None, :], strata))[0]
    extreme = done = 0
    while done < shufflings and extreme < _ENOUGH:
        # Few at first: a p-value that is large is known soon.
        size = min(max(1, _SHUFFLED_AT_ONCE // len(labels)), max(_FIRST, 2 * done), shufflings - done)
        shuffled = _shuffle(labels, blocks, size, rng)
        extreme += int((kernel.quadratic(_weights(shuffled, strata)) >= statistic - 1e-12).sum())
        done += size
    to_first, to_second = kernel.nearness(labels)
    witness = to_second - to_first
    return TwoSamples(
        p_value=(1 + extreme) / (1 + done),
        effect=max(0.5, _auc(witness, labels)),
        closeness=witness[labels],
        share_of_columns=_share_of_columns(scaled[~labels], scaled[labels]),
    )


def scale(rows: Array, strata: NDArray[np.intp]) -> NDArray[np.float32]:
    """Centre each stratum, scale each column to a standard deviation of 1; columns that never change are left out."""
    rows = rows.astype(np.float64)
    spread = rows.std(axis=0)
    kept = spread > 1e-6 * max(float(np.median(spread)), 1e-12)
    rows = rows[:, kept]
    for stratum in np.unique(strata):
        rows[strata == stratum] -= rows[strata == stratum].mean(axis=0)
    spread = rows.std(axis=0)
    return np.asarray(rows / np.where(spread > 0, spread, 1), np.float32)


def whiten(scaled: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shrink the directions in which clips differ most anyway, as float32[R, k].

    Clips of a healthy machine differ in a few directions by far more than in all others, loud from quiet, say, and a
    distance sees little else. Each principal direction is divided by the root of its variance plus the mean variance.
    It is that of both samples together, so that shuffling stays exact.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rows = rng.normal(size=(50, 4)) * [100, 1, 1, 1]
    >>> spread = whiten(rows.astype(np.float32)).std(axis=0)
    >>> bool(spread.max() / spread.min() < 100)
    True
    """
    rows = scaled.astype(np.float64)
    short = len(rows) <= rows.shape[1]
    values, vectors = np.linalg.eigh(rows @ rows.T if short else rows.T @ rows)
    values = np.maximum(values / len(rows), 0)
    shrunk = 1 / np.sqrt(values + max(float(values.mean()), 1e-12))
    if short:  # rows = vectors * root of (values * rows) * directions
        return np.asarray(vectors * (np.sqrt(values * len(rows)) * shrunk), np.float32)
    return np.asarray(rows @ (vectors * shrunk), np.float32)


class _Held:
    """The kernel of all pairs of rows, 0 between a row and itself."""

    def __init__(self, scaled: NDArray[np.float32]) -> None:
        distances = _distances(scaled, scaled)
        self._kernel = np.exp(-distances / _middle(distances)).astype(np.float32)
        np.fill_diagonal(self._kernel, 0)

    def quadratic(self, weights: NDArray[np.float32]) -> Array:
        """Return weights @ kernel @ weights.T of each row of weights, float64[B]."""
        return np.asarray(((weights @ self._kernel) * weights).sum(axis=1), np.float64)

    def nearness(self, labels: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Return the mean kernel of each row with the first and the second sample, itself left out."""
        sides = np.stack([~labels, labels]).astype(np.float32)
        first, second = (sides @ self._kernel).astype(np.float64)
        n, m = (~labels).sum(), labels.sum()
        return first / np.where(labels, n, n - 1), second / np.where(labels, m - 1, m)


class _Approximate:
    """The same for many rows: shuffled by random features, nearness to some rows of each sample."""

    def __init__(self, scaled: NDArray[np.float32], rng: np.random.Generator) -> None:
        self._scaled = scaled
        self._rng = rng
        some = scaled[rng.permutation(len(scaled))[: _MOST_ROWS // 2]]
        self._middle = _middle(_distances(some, some))
        directions = rng.normal(scale=np.sqrt(2 / self._middle), size=(scaled.shape[1], _FEATURES // 2))
        angles = scaled @ directions.astype(np.float32)
        # Sine and cosine of an angle together: a row's kernel with itself is exactly 1.
        self._features = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) * np.float32(np.sqrt(2 / _FEATURES))

    def quadratic(self, weights: NDArray[np.float32]) -> Array:
        means = (weights @ self._features).astype(np.float64)
        return np.asarray((means**2).sum(axis=1) - (weights.astype(np.float64) ** 2).sum(axis=1))

    def nearness(self, labels: NDArray[np.bool_]) -> tuple[Array, Array]:
        first, second = (self._to(np.flatnonzero(labels == side)) for side in (False, True))
        return first, second

    def _to(self, rows: NDArray[np.intp]) -> Array:
        rows = rows[self._rng.permutation(len(rows))[: _MOST_ROWS // 2]]
        some = self._scaled[rows]
        sums = np.concatenate(
            [
                np.exp(-_distances(self._scaled[at : at + _MOST_ROWS], some) / self._middle).sum(axis=1)
                for at in range(0, len(self._scaled), _MOST_ROWS)
            ]
        ).astype(np.float64)
        counts = np.full(len(sums), len(rows))
        sums[rows] -= 1  # itself
        counts[rows] -= 1
        return np.asarray(sums / counts)


def _distances(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distance of each row to each of the others."""
    lengths = (rows**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)[None, :]
    return np.asarray(np.maximum(lengths - 2 * rows @ others.T, 0), np.float32)


def _middle(distances: NDArray[np.float32]) -> float:
    return float(np.median(distances[~np.eye(len(distances), dtype=bool)])) or 1.0


def _weights(labels: NDArray[np.bool_], strata: NDArray[np.intp]) -> NDArray[np.float32]:
    """What the rows count in the discrepancy for each row of labels, bool[B, N + M].

    It is the squared length of the sum over strata of their mean differences.
    """
    weights: NDArray[np.float32] = np.zeros(labels.shape, np.float32)
    for stratum in np.unique(strata):
        inside = np.flatnonzero(strata == stratum)
        mine = labels if len(inside) == labels.shape[1] else labels[:, inside]
        ours = mine.sum(axis=1, keepdims=True)
        theirs = mine.shape[1] - ours
        # A stratum that only one sample has says nothing.
        part = np.where((ours > 0) & (theirs > 0), mine.shape[1] / labels.shape[1], 0)
        each: NDArray[np.float32] = np.where(
            mine,
            (part / np.maximum(ours, 1)).astype(np.float32),
            (-part / np.maximum(theirs, 1)).astype(np.float32),
        )
        if mine is labels:
            return each
        weights[:, inside] = each
    return weights


def _blocks(
    labels: NDArray[np.bool_], names: NDArray[np.str_], strata: NDArray[np.intp]
) -> list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]]:
    """Return the rows of each stratum, the number of each one's block, and the labels of those blocks."""
    found = []
    for stratum in np.unique(strata):
        inside = np.flatnonzero(strata == stratum)
        _, begins, block_of = np.unique(names[inside], return_index=True, return_inverse=True)
        found.append((inside, block_of, labels[inside][begins]))
    return found


def _shuffle(
    labels: NDArray[np.bool_],
    blocks: list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]],
    count: int,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    shuffled = np.empty((count, len(labels)), bool)
    for inside, block_of, of_blocks in blocks:
        theirs = int(of_blocks.sum())
        keys = rng.random((count, len(of_blocks)))
        # The blocks with the lowest keys: several times faster than shuffling them.
        last = np.partition(keys, theirs - 1, axis=1)[:, theirs - 1, None] if theirs else -1.0
        shuffled[:, inside] = (keys <= last)[:, block_of]
    return shuffled


def _auc(values: Array, labels: NDArray[np.bool_]) -> float:
    ranks = rankdata(values)
    m = int(labels.sum())
    return float((ranks[labels].sum() - m * (m + 1) / 2) / (m * (len(labels) - m)))


def _share_of_columns(first: Array, second: Array) -> float:
    from scipy.stats import ttest_ind

    if not first.shape[1]:
        return 0.0
    p_values = np.sort(np.nan_to_num(ttest_ind(first, second, equal_var=False).pvalue, nan=1.0))
    below = p_values <= 0.01 * np.arange(1, len(p_values) + 1) / len(p_values)
    return float((np.flatnonzero(below)[-1] + 1) / len(p_values)) if below.any() else 0.0
