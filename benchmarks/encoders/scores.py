"""Anomaly scores from normal clips alone: the reference protocol's backends and plain fusion, and our own detector.

Formulas of `shared/bench/ladder.py`; our own is `audio_pipeline.detector`, every group of columns apart.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from audio_pipeline.detector.backends import fit_site, fuse

Floats = NDArray[np.float64]


def backends(reference: Floats, tested: Floats) -> dict[str, Floats]:
    """Nearest neighbour, shrunk Mahalanobis, nearest neighbour over local density; columns standardised."""
    scaler = StandardScaler().fit(reference)
    known, new = scaler.transform(reference), scaler.transform(tested)
    distance, nearest = (v[:, 0] for v in NearestNeighbors(n_neighbors=1).fit(known).kneighbors(new))
    neighbours = min(6, len(known) - 1)
    density = NearestNeighbors(n_neighbors=neighbours).fit(known).kneighbors(known)[0][:, 1:].mean(1)
    return {"nn": distance, "maha": mahalanobis(reference, tested), "ldn": distance / density[nearest]}


def mahalanobis(reference: Floats, tested: Floats) -> Floats:
    """Squared distance under the Ledoit-Wolf covariance of standardised columns."""
    scaler = StandardScaler().fit(reference)
    model = LedoitWolf().fit(scaler.transform(reference))
    centred = scaler.transform(tested) - model.location_
    return np.asarray(np.einsum("ij,jk,ik->i", centred, model.precision_, centred))


def plain_fusion(reference: Mapping[str, Floats], tested: Mapping[str, Floats]) -> Floats:
    """The larger of the normalised log scores of log-mel mean and near-maximum: the bar to pass."""
    return np.maximum(*(_normalised(reference[k], tested[k]) for k in ("logmel_mean", "logmel_peak")))


def _normalised(reference: Floats, tested: Floats, folds: int = 5) -> Floats:
    own = np.empty(len(reference))
    order = np.random.default_rng(0).permutation(len(reference))
    for fold in np.array_split(order, min(folds, len(reference))):
        rest = np.setdiff1d(np.arange(len(reference)), fold)
        own[fold] = np.log(mahalanobis(reference[rest], reference[fold]) + 1e-9)
    logs = np.log(mahalanobis(reference, tested) + 1e-9)
    return np.asarray((logs - np.median(own)) / (own.std() + 0.15))


def detector(
    reference: Mapping[str, Floats],
    tested: Mapping[str, Floats],
    recordings: NDArray[np.str_],
    absolute: Collection[str] = (),
) -> Floats:
    """Our detector's fused score, each mapping's entry being one group of columns, some with a unit of their own."""
    alone = [
        _group_score(_Bytes(reference[name]), _Bytes(tested[name]), tuple(recordings), name in absolute)
        for name in reference
    ]
    return fuse(alone)


class _Bytes:
    """An array that can be a key: equal when every value is."""

    def __init__(self, rows: Floats) -> None:
        self.rows = rows
        self._key = (rows.shape, rows.tobytes())

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Bytes) and self._key == other._key


@lru_cache(maxsize=64)  # many rows of the table share groups, and of one machine alone each group is fitted by itself
def _group_score(reference: _Bytes, tested: _Bytes, recordings: tuple[str, ...], absolute: bool) -> Floats:
    groups = {"group": slice(0, reference.rows.shape[1])}
    unit = groups if absolute else ()
    (model,) = fit_site(reference.rows, [""] * len(recordings), recordings, groups, absolute=unit)
    return model.groups[0].score(tested.rows)
