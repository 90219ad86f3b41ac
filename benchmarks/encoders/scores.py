"""Anomaly scores from normal clips alone: the reference protocol's backends and plain fusion, and our own detector.

Formulas of `shared/bench/ladder.py`; our own is `audio_pipeline.detector`, every group of columns apart.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from audio_pipeline.detector.backends import fit_site

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


def detector(reference: Mapping[str, Floats], tested: Mapping[str, Floats], recordings: NDArray[np.str_]) -> Floats:
    """Our detector's fused score, each mapping's entry being one group of columns."""
    groups, start = {}, 0
    for name, columns in reference.items():
        groups[name] = slice(start, start + columns.shape[1])
        start += columns.shape[1]
    (model,) = fit_site(np.hstack(list(reference.values())), [""] * len(recordings), recordings.tolist(), groups)
    return model.score(np.hstack(list(tested.values())))
