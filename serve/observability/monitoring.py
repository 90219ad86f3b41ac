"""The results of monitoring: what `POST /monitoring/results` takes, and what Prometheus is told of the newest one.

Here: the shapes, and the gauges made of them. Not here: the routes (`routes.monitoring`), the rows
(`database.monitoring`), or how a figure is computed (`monitoring/`).

Gauges are read off the database every few seconds: every process and every replica tells the same, whichever of them
took the result, and a scrape never waits for the database. What is unknown is NaN, never a number.
"""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Annotated, Any, Literal

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.exc import SQLAlchemyError

from serve.database.connection import Database
from serve.database.monitoring import results

logger = logging.getLogger(__name__)

Share = Annotated[float, Field(ge=0, le=1)]
Interval = Annotated[list[float], Field(min_length=2, max_length=2)]


class _Figures(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)  # what is unknown is null


class Confusion(_Figures):
    """Answers against verdicts."""

    true_positive: int = Field(ge=0)
    false_positive: int = Field(ge=0)
    false_negative: int = Field(ge=0)
    true_negative: int = Field(ge=0)


class Quality(_Figures):
    """Of the answered predictions (`prod_data.csv`); null: the answers do not define it."""

    rows: int = Field(ge=0)
    f1: Share | None
    balanced_accuracy: Share | None
    recall: Share | None
    precision: Share | None
    confusion: Confusion


class AuditFigures(_Figures):
    """From the answers to clips drawn at random: the honest recall and false-alarm rate."""

    answered: int = Field(ge=0)
    recall: Share | None
    recall_interval: Interval | None
    false_alarm_rate: Share | None
    false_alarm_interval: Interval | None


class Drift(_Figures):
    """One comparison of production with the reference."""

    status: Literal["ok", "drift", "too_few"]
    method: str
    score: float | None = Field(description="Evidence; at `threshold` it counts as drift.")
    p_value: Share | None = None
    threshold: float | None = None
    share_of_columns: Share | None = None
    effect: Share | None = Field(None, description="How well the two can be told apart: 0.5 not at all, 1 every clip.")
    cause: Literal["machine", "sensor", "unknown"] | None = None
    message: str
    rows: int | None = Field(None, ge=0, description="Clips of production compared.")
    reference_rows: int | None = Field(None, ge=0)


class DriftedClip(_Figures):
    """A clip that drifted, and the clip of the reference that is nearest to it."""

    prediction_id: uuid.UUID
    nearest_clip_id: str | None


class NewMonitoringResult(_Figures):
    """One look at the answers and the vectors."""

    created: AwareDatetime
    model_version: str | None
    since: AwareDatetime | None
    until: AwareDatetime | None
    rows: int = Field(ge=0, description="Predictions looked at.")
    quality: Quality | None
    quality_machines: dict[str, Quality] = Field(default_factory=dict, max_length=1000)
    audit: AuditFigures | None = None
    drift: Drift
    score_drift: Drift | None = None
    machines: dict[str, Drift] = Field(default_factory=dict, max_length=1000)
    drifted: list[DriftedClip] = Field(default_factory=list, max_length=1000)
    evidently: dict[str, float | None] = Field(
        default_factory=dict, max_length=20, description="Evidently's own figures; null: unknown."
    )
    report_url: str | None = None
    retrain_job: str | None = None
    state: dict[str, Any] | None = Field(
        None, description="What the next look has to know; kept and given back as it is."
    )


class MonitoringResultAnswer(NewMonitoringResult):
    """A stored result."""

    result_id: uuid.UUID


class MonitoringResults(BaseModel):
    """The newest results, newest first."""

    results: list[MonitoringResultAnswer]


class MonitoringCollector(Collector):
    """Tells Prometheus the newest result.

    Parameters
    ----------
    database
        Where the results are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._newest: NewMonitoringResult | None = None

    def look(self) -> None:
        """Read the newest result; without the database the one before stays."""
        try:
            with self._database.read() as session:
                rows = results(session, 1)
        except SQLAlchemyError as error:
            logger.warning("The result of monitoring cannot be read: %s", type(error).__name__)
            return
        self._newest = NewMonitoringResult.model_validate(rows[0].body) if rows else None

    def collect(self) -> Iterator[Metric]:
        """Turn the newest result into gauges."""
        if self._newest is not None:
            yield from gauges(self._newest)


def gauges(result: NewMonitoringResult) -> Iterator[Metric]:
    """Make the gauges of one result."""
    yield _gauge("monitoring_result_timestamp_seconds", "When monitoring looked last.", result.created.timestamp())
    yield _gauge("monitoring_rows", "Predictions that the last look compared.", result.rows)
    quality = GaugeMetricFamily(
        "wheeltapper_quality",
        "Figures of the answered predictions; NaN: unknown; machine empty: of all machines.",
        labels=["figure", "machine"],
    )
    confusion = GaugeMetricFamily(
        "wheeltapper_confusion", "Answered predictions by answer and verdict.", labels=["answer", "verdict"]
    )
    whole = [("", result.quality)] if result.quality is not None else []
    for machine, of in [*whole, *((name or "unknown", of) for name, of in result.quality_machines.items())]:
        for figure in ("f1", "balanced_accuracy", "recall", "precision"):
            quality.add_metric([figure, machine], _number(getattr(of, figure)))
    if result.quality is not None:
        counts = result.quality.confusion
        confusion.add_metric(["anomaly", "anomaly"], counts.true_positive)
        confusion.add_metric(["normal", "anomaly"], counts.false_positive)
        confusion.add_metric(["anomaly", "normal"], counts.false_negative)
        confusion.add_metric(["normal", "normal"], counts.true_negative)
    yield quality
    yield confusion
    evidently = GaugeMetricFamily(
        "wheeltapper_evidently",
        "Evidently's own figures: methods on embeddings (mmd, model, ratio), of scores and verdicts; NaN: unknown.",
        labels=["figure"],
    )
    for figure, number in sorted(result.evidently.items()):
        evidently.add_metric([figure], _number(number))
    yield evidently
    yield from _audit(result.audit)
    yield from _drift(result)


def _audit(audit: AuditFigures | None) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "wheeltapper_audit",
        "Figures of the clips that were drawn at random and answered, with their 95 % interval.",
        labels=["figure", "bound"],
    )
    if audit is not None:
        for figure, value, interval in (
            ("recall", audit.recall, audit.recall_interval),
            ("false_alarm_rate", audit.false_alarm_rate, audit.false_alarm_interval),
        ):
            low, high = interval or (None, None)
            for bound, number in (("value", value), ("low", low), ("high", high)):
                family.add_metric([figure, bound], _number(number))
        yield _gauge("audit_answered", "Answers to clips that were drawn at random.", audit.answered)
    yield family


def _drift(result: NewMonitoringResult) -> Iterator[Metric]:
    compared: list[tuple[str, str, Drift | None]] = [
        ("embedding", "", result.drift),
        ("score", "", result.score_drift),
        *(("embedding", name or "unknown", drift) for name, drift in result.machines.items()),
    ]
    columns: tuple[tuple[str, str, Callable[[Drift], float]], ...] = (
        ("drift_detected", "1 drift, 0 none; NaN: too few clips to tell.", _detected),
        ("drift_score", "Evidence of drift.", lambda drift: _number(drift.score)),
        ("drift_threshold", "Evidence at which it counts as drift.", lambda drift: _number(drift.threshold)),
        ("drift_p_value", "p-value, valid at every look.", lambda drift: _number(drift.p_value)),
        ("drift_effect", "0.5: production sounds like the reference, 1: no clip does.", lambda d: _number(d.effect)),
        (
            "drift_share_of_columns",
            "Share of the embedding's columns that drifted.",
            lambda drift: _number(drift.share_of_columns),
        ),
    )
    for name, words, value in columns:
        family = GaugeMetricFamily(f"wheeltapper_{name}", words, labels=["of", "machine"])
        for kind, machine, drift in compared:
            if drift is not None:
                family.add_metric([kind, machine], value(drift))
        yield family
    cause = GaugeMetricFamily("wheeltapper_drift_cause", "1 for what the drift looks like.", labels=["cause"])
    for name in ("machine", "sensor", "unknown"):
        cause.add_metric([name], float(result.drift.cause == name))
    yield cause


def _detected(drift: Drift) -> float:
    return math.nan if drift.status == "too_few" else float(drift.status == "drift")


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(f"wheeltapper_{name}", words, value=value)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def answer_of(result_id: uuid.UUID, created: datetime, body: dict[str, Any]) -> MonitoringResultAnswer:
    """Tell a stored result."""
    return MonitoringResultAnswer.model_validate({**body, "result_id": result_id, "created": created})
