"""Evidently's reports, made of arrays: quality of the answered clips, drift of all recent ones, and the answered ones'.

Here: data sets and reports. Not here: where they are kept (`project`), whether a drift counts (`drift`).

Each look leaves up to four snapshots, told apart by their tag:

    quality     prod_data.csv: F1, balanced accuracy, recall, precision, confusion; recall and false alarms by audit
    drift       recent predictions against the reference: our test, Evidently's three methods, scores, verdicts
    machines    of each machine: evidence of drift, quality of its answered clips
    answered    prod_data.csv against ref_data.csv: clips that were chosen because they looked odd; triggers nothing
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.core.report import Snapshot
from evidently.legacy.metrics.data_drift import embeddings_drift
from evidently.metrics import EmbeddingsDrift, ValueDrift
from evidently.metrics.embeddings import MMDDriftMethod, ModelDriftMethod, RatioDriftMethod
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from monitoring.figures import AnswerFigure, GivenFigure, MachineFigure, machine_column
from monitoring.quality import AnsweredClips

QUALITY, DRIFT, MACHINES, ANSWERED = "quality", "drift", "machines", "answered"
ANSWER_FIGURES = (
    *("f1", "balanced_accuracy", "recall", "precision"),
    *("true_positive", "false_positive", "false_negative", "true_negative", "rows"),
)
MACHINE_FIGURES = ("evidence", "balanced_accuracy", "precision")
EMBEDDING = "clips"
METHODS: Mapping[str, Any] = {"mmd": MMDDriftMethod, "model": ModelDriftMethod, "ratio": RatioDriftMethod}
LEAST_ROWS = 20
"""Of each side: Evidently's picture of two samples needs some."""
MOST_ROWS = 300
"""Of each side: its discrepancy takes the square of them in memory."""
MOST_MACHINES = 50
"""Lines that a panel can show, and more."""


@dataclass(frozen=True)
class Stamp:
    """What a snapshot is known by.

    Attributes
    ----------
    at
        Moment of the look.
    model_version
        What serves.
    """

    at: datetime
    model_version: str | None


def quality_report(answered: AnsweredClips, audit: Mapping[str, float | None], stamp: Stamp) -> Snapshot:
    """Report on the answered clips.

    Parameters
    ----------
    answered
        At least one.
    audit
        Name → figure of the clips that were asked about at random; None = unknown.
    stamp
        Of the snapshot.
    """
    table = pd.DataFrame({"target": answered.targets, "prediction": answered.verdicts})
    given = {f"audit_{name}": _number(value) for name, value in audit.items()}
    metrics = [AnswerFigure(figure=name) for name in ANSWER_FIGURES]
    return _run(
        [*metrics, *(GivenFigure(figure=name) for name in given)],
        table.assign(**given),
        None,
        DataDefinition(categorical_columns=["target", "prediction"], numerical_columns=list(given)),
        QUALITY,
        stamp,
    )


def drift_report(
    reference: NDArray[np.float32],
    recent: NDArray[np.float32],
    found: Mapping[str, float | None],
    scores: tuple[NDArray[np.float64], NDArray[np.float64]],
    verdicts: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    stamp: Stamp,
) -> Snapshot:
    """Report on recent predictions against the reference.

    Parameters
    ----------
    reference, recent
        float32[N, n] and float32[M, n], one window a clip, the latter in the order of time; `LEAST_ROWS` of each, or
        only `found` is shown.
    found
        Name → figure of our own test; None = unknown.
    scores, verdicts
        Of earlier and of recent predictions by the same model; left out when there are few.
    stamp
        Of the snapshot.
    """
    given = {name: _number(value) for name, value in found.items()}
    metrics: list[Any] = [GivenFigure(figure=name) for name in given]
    columns = [f"emb_{i}" for i in range(1, recent.shape[1] + 1)]
    reference, recent = _some(reference), recent[-MOST_ROWS:]
    with_vectors = min(len(reference), len(recent)) >= LEAST_ROWS
    if with_vectors:
        metrics += _embedding_metrics()
    with_scores = min(map(len, scores)) >= LEAST_ROWS
    if with_scores:
        metrics += [ValueDrift(column="score", method="ks"), ValueDrift(column="verdict", method="jensenshannon")]
    sides = []
    for vectors, score, verdict in zip((reference, recent), scores, verdicts, strict=True):
        # Vectors and scores are of different clips: both lie side by side in rows that mean nothing together.
        table = pd.DataFrame(index=range(max(len(vectors) if with_vectors else 0, len(score) if with_scores else 0, 1)))
        if with_vectors:
            picked = np.arange(len(table)) % len(vectors) if len(table) > len(vectors) else np.arange(len(vectors))
            table = pd.concat([table, pd.DataFrame(vectors[picked], columns=columns)], axis=1)
        if with_scores:
            table["score"] = pd.Series(score)
            table["verdict"] = pd.Series(np.where(verdict, "anomaly", "normal"))
        sides.append(table.assign(**given))
    definition = DataDefinition(
        embeddings={EMBEDDING: columns} if with_vectors else None,
        numerical_columns=[*given, *(["score"] if with_scores else [])],
        categorical_columns=["verdict"] if with_scores else [],
    )
    return _run(metrics, sides[1], sides[0], definition, DRIFT, stamp)


def evidently_figures(snapshot: Snapshot) -> dict[str, float | None]:
    """Read Evidently's own figures off a drift report: its methods by their names here, `score`, `verdict`."""
    found: dict[str, float | None] = dict.fromkeys((*METHODS, "score", "verdict"))
    names = {f"evidently:drift_method:{method.__name__}": name for name, method in METHODS.items()}
    for entry in snapshot.dict()["metrics"]:
        config, value = entry["config"], float(entry["value"])
        if config["type"].endswith(":EmbeddingsDrift"):
            found[names[config["drift_method"]["type"]]] = None if math.isnan(value) else value
        elif config["type"].endswith(":ValueDrift"):
            found[config["column"]] = None if math.isnan(value) else value
    return found


def machines_report(
    quality: Mapping[str, Mapping[str, Any]], drift: Mapping[str, Mapping[str, Any]], stamp: Stamp
) -> Snapshot | None:
    """Report on each machine by itself; None without any.

    Parameters
    ----------
    quality, drift
        Machine → figures of its answered clips, and what the drift test found; None = unknown.
    stamp
        Of the snapshot.
    """
    figures: dict[tuple[str, str], float | None] = {}
    for machine in sorted({*quality, *drift})[:MOST_MACHINES]:
        name = machine or "unknown"
        figures["evidence", name] = drift.get(machine, {}).get("score")
        for figure in MACHINE_FIGURES[1:]:
            figures[figure, name] = quality.get(machine, {}).get(figure)
    if not figures:
        return None
    given = {machine_column(*key): _number(value) for key, value in figures.items()}
    return _run(
        [MachineFigure(figure=figure, machine=machine) for figure, machine in figures],
        pd.DataFrame(given, index=[0]),
        None,
        DataDefinition(numerical_columns=list(given)),
        MACHINES,
        stamp,
    )


def answered_report(reference: NDArray[np.float32], answered: NDArray[np.float32], stamp: Stamp) -> Snapshot | None:
    """Report on the answered clips against the reference; None when there are too few."""
    if min(len(reference), len(answered)) < LEAST_ROWS:
        return None
    columns = [f"emb_{i}" for i in range(1, reference.shape[1] + 1)]
    sides = [pd.DataFrame(vectors, columns=columns) for vectors in (_some(reference), answered[-MOST_ROWS:])]
    return _run(
        [EmbeddingsDrift(embeddings_name=EMBEDDING, drift_method=MMDDriftMethod())],
        sides[1],
        sides[0],
        DataDefinition(embeddings={EMBEDDING: columns}),
        ANSWERED,
        stamp,
    )


def _embedding_metrics() -> Sequence[EmbeddingsDrift]:
    return [EmbeddingsDrift(embeddings_name=EMBEDDING, drift_method=method()) for method in METHODS.values()]


def _run(
    metrics: Sequence[Any],
    current: pd.DataFrame,
    reference: pd.DataFrame | None,
    definition: DataDefinition,
    tag: str,
    stamp: Stamp,
) -> Snapshot:
    with _alone():
        return Report(list(metrics)).run(
            Dataset.from_pandas(current, data_definition=definition),
            None if reference is None else Dataset.from_pandas(reference, data_definition=definition),
            timestamp=stamp.at,
            tags=[tag],
            metadata={"model_version": stamp.model_version or "none"},
        )


class _OneMap:
    """t-SNE as Evidently calls it, once a report: its metrics draw the same map for each of their methods."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - as scikit-learn has it
        self._tsne = TSNE(**options)
        self._made: dict[bytes, NDArray[Any]] = {}

    def __call__(self, **_: Any) -> _OneMap:  # noqa: ANN401
        return self

    def fit_transform(self, rows: pd.DataFrame) -> NDArray[Any]:
        """Lay the rows out in a plane."""
        key = hashlib.sha256(np.ascontiguousarray(rows.to_numpy()).tobytes()).digest()
        if key not in self._made:
            self._made[key] = self._tsne.fit_transform(rows)
        return self._made[key]


@contextmanager
def _alone() -> Iterator[None]:
    """Compute in one thread, and lay out Evidently's picture once.

    On a busy machine its threads wait for each other for minutes; and it lays the same rows out anew for each of its
    methods, with no setting to turn that off.
    """
    one_map = mock.patch.object(embeddings_drift, "TSNE", _OneMap(n_components=2))
    with threadpool_limits(1), warnings.catch_warnings(), one_map:
        warnings.simplefilter("ignore")  # of pandas and scipy, about constant columns
        yield


def _some(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take rows from all over: the reference lies there machine after machine."""
    if len(vectors) <= MOST_ROWS:
        return vectors
    return np.asarray(vectors[np.linspace(0, len(vectors) - 1, MOST_ROWS).astype(int)])


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
