"""What the overview shows: how much was heard, how much of it was odd, what people say about that.

Here: counting in the database. Not here: estimates from counts (`audio_pipeline.intervals`), HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Date, String, and_, cast, func, select
from sqlalchemy.orm import Session

from audio_pipeline.intervals import Counts, Interval, recall_and_false_alarm_rate, share_interval
from serve.asking.questions import day_began
from serve.database import jobs, questions
from serve.database.tables import Answer, Prediction, Question
from serve.models.schemas import JobAnswer, job_answer

_BINS = 30
_MOST_SCORES = 200_000  # the newest: a histogram needs no more


class Day(BaseModel):
    """One day's predictions, UTC."""

    day: str
    predictions: int
    anomalies: int


class MachineCount(BaseModel):
    """One machine's predictions; empty: unknown."""

    machine: str
    predictions: int
    anomalies: int


class ScoreHistogram(BaseModel):
    """How the scores of one model version are spread; all versions have the same edges."""

    model_version: str
    edges: list[float]
    counts: list[int]


class Budget(BaseModel):
    """Questions that the service may ask the operator a day, and those asked since midnight where it runs."""

    per_day: int
    used_today: int


class Confirmed(BaseModel):
    """Alarms that people answered."""

    answered: int = Field(description="Answered with yes or no.")
    true_alarms: int
    false_alarms: int
    unsure: int
    precision: float | None
    precision_interval: Interval | None


class Audit(BaseModel):
    """Clips called normal that were asked about at random, and what they say about all clips."""

    asked: int
    answered: int
    recall: float | None
    recall_interval: Interval | None
    false_alarm_rate: float | None
    false_alarm_interval: Interval | None


class ModelInService(BaseModel):
    """What serves."""

    version: str
    encoder: str


class RetrainState(BaseModel):
    """Where retraining stands."""

    every: int
    answers_since: int
    running: JobAnswer | None
    last: JobAnswer | None


class Stats(BaseModel):
    """The overview; unknown figures are null."""

    since: datetime
    predictions: int
    anomalies: int
    alert_rate: float | None
    by_day: list[Day]
    by_machine: list[MachineCount]
    score_histogram: list[ScoreHistogram]
    questions: dict[str, int]
    budget: Budget
    confirmed: Confirmed
    audit: Audit
    monitoring: dict[str, Any] | None
    model: ModelInService | None
    retrain: RetrainState


def predictions_by_day(session: Session, since: datetime) -> list[Day]:
    """Count per day (UTC), oldest first, days without any left out."""
    embedded = session.connection().dialect.name == "sqlite"
    day: ColumnElement[Any] = (
        func.substr(cast(Prediction.created, String), 1, 10)
        if embedded
        else cast(func.timezone("UTC", Prediction.created), Date)
    )
    rows = session.execute(
        select(day, func.count(), _anomalies()).where(Prediction.created >= since).group_by(day).order_by(day)
    )
    return [Day(day=str(name), predictions=count, anomalies=odd or 0) for name, count, odd in rows]


def predictions_by_machine(session: Session, since: datetime) -> list[MachineCount]:
    """Count per machine, by name."""
    rows = session.execute(
        select(Prediction.machine, func.count(), _anomalies())
        .where(Prediction.created >= since)
        .group_by(Prediction.machine)
        .order_by(Prediction.machine)
    )
    return [MachineCount(machine=name, predictions=count, anomalies=odd or 0) for name, count, odd in rows]


def score_histograms(session: Session, since: datetime) -> list[ScoreHistogram]:
    """Spread the scores of each model version over common bins; the bins end at the 1st and 99th percentile."""
    rows = session.execute(
        select(Prediction.model_version, Prediction.score)
        .where(Prediction.created >= since)
        .order_by(Prediction.created.desc())
        .limit(_MOST_SCORES)
    ).all()
    if not rows:
        return []
    scores = np.array([row.score for row in rows])
    low, high = np.percentile(scores, [1, 99])
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    inside = np.clip(scores, edges[0], edges[-1])  # the extremes lie in the outermost bins
    versions = np.array([row.model_version for row in rows])
    return [
        ScoreHistogram(
            model_version=str(version),
            edges=edges.tolist(),
            counts=np.histogram(inside[versions == version], edges)[0].tolist(),
        )
        for version in dict.fromkeys(versions.tolist())
    ]


def question_states(session: Session, since: datetime) -> dict[str, int]:
    """Count questions by their state."""
    rows = session.execute(
        select(Question.state, func.count()).where(Question.created >= since).group_by(Question.state)
    )
    return {**dict.fromkeys(questions.STATES, 0), **dict(rows.all())}


def budget(session: Session, per_day: int, email: str) -> Budget:
    """Count the questions to a person as the budget does: since midnight where the service runs."""
    used = questions.asked_since(session, email, day_began(datetime.now(UTC)))
    return Budget(per_day=per_day, used_today=sum(used.values()))


def confirmed_and_audit(session: Session, since: datetime) -> tuple[Confirmed, Audit]:
    """Say what people's answers say about the predictions since a moment.

    Precision is of the alarms that were answered. Recall and the false-alarm rate also take the random draw among
    the clips called normal: without an answered one of those, they are unknown.
    """
    drawn = and_(Question.reason == "audit", Prediction.anomaly.is_(False))
    rows = session.execute(
        select(Prediction.anomaly, drawn.label("drawn"), Answer.answer, func.count())
        .select_from(Prediction)
        .outerjoin(Answer, Answer.prediction_id == Prediction.id)
        .outerjoin(Question, Question.prediction_id == Prediction.id)
        .where(Prediction.created >= since)
        .group_by(Prediction.anomaly, "drawn", Answer.answer)
    ).all()

    def count(anomaly: bool, words: Sequence[str | None], only_drawn: bool = False) -> int:
        return sum(n for odd, drew, word, n in rows if odd == anomaly and word in words and (drew or not only_drawn))

    true_alarms, false_alarms = count(True, ["anomaly"]), count(True, ["normal"])
    drawn_faults, drawn_fine = count(False, ["anomaly"], True), count(False, ["normal"], True)
    everything = [None, "anomaly", "normal", "unsure"]
    recall, rate = recall_and_false_alarm_rate(
        Counts(
            alarms=count(True, everything),
            normals=count(False, everything),
            alarms_answered=true_alarms + false_alarms,
            alarms_confirmed=true_alarms,
            drawn_answered=drawn_faults + drawn_fine,
            drawn_faults=drawn_faults,
        )
    )
    answered = true_alarms + false_alarms
    return (
        Confirmed(
            answered=answered,
            true_alarms=true_alarms,
            false_alarms=false_alarms,
            unsure=count(True, ["unsure"]),
            precision=true_alarms / answered if answered else None,
            precision_interval=share_interval(true_alarms, answered),
        ),
        Audit(
            asked=count(False, everything, True),
            answered=drawn_faults + drawn_fine,
            recall=recall.value,
            recall_interval=recall.interval,
            false_alarm_rate=rate.value,
            false_alarm_interval=rate.interval,
        ),
    )


def retrain_state(session: Session, every: int, answers_since: int) -> RetrainState:
    """Tell what runs, and what ran last."""
    running = jobs.active(session)
    last = next((job for job in jobs.latest(session, 20) if job.finished is not None), None)
    return RetrainState(
        every=every,
        answers_since=answers_since,
        running=None if running is None else job_answer(running),
        last=None if last is None else job_answer(last),
    )


def first_moment(days: float) -> datetime:
    """Return the beginning of a period that ends now."""
    return datetime.now(UTC) - timedelta(days=days)


def _anomalies() -> ColumnElement[int]:
    return func.count().filter(Prediction.anomaly)
