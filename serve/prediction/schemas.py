"""What the service answers, as typed classes.

Here: the JSON shapes of DESIGN §8. Not here: the shapes of errors (`problems`) and of requests (`upload`).
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal, cast

from pydantic import BaseModel, Field

from audio_pipeline.explanation import Explanation
from serve.database.answers import AnswerWord
from serve.database.questions import State
from serve.database.tables import Prediction


class SensorFinding(BaseModel):
    """One thing that is wrong with the recording rather than the machine."""

    code: str
    message: str
    fatal: bool = Field(description="The verdict about the machine is worth nothing.")


class Sensor(BaseModel):
    """What the sensor check found."""

    ok: bool
    findings: list[SensorFinding]


class ScoredWindow(BaseModel):
    """One window of the clip."""

    start_s: float
    end_s: float
    score: float


class QuestionState(BaseModel):
    """The question about a prediction, in short."""

    question_id: uuid.UUID
    state: State


class PredictionAnswer(BaseModel):
    """One verdict on one clip."""

    prediction_id: uuid.UUID
    anomaly: bool
    score: float = Field(description="Anomaly score: the highest window's.")
    threshold: float = Field(description="What the score has to exceed for an anomaly, for a clip of this length.")
    p_value: float = Field(description="How often a healthy clip would score this high.")
    sensor: Sensor
    machine: str
    model_version: str
    encoder: str
    false_alarm_rate: float = Field(description="False alarms per healthy clip that were asked for.")
    false_alarm_rate_used: float = Field(description="The rate in use; higher where too few normals support less.")
    duration_s: float
    windows: list[ScoredWindow]
    created: datetime
    filename: str | None
    answer: AnswerWord | None = Field(description="What a person said; null: nothing yet.")
    question: QuestionState | None = Field(description="What is asked about this very clip; null: nothing.")


class PredictionSummary(BaseModel):
    """One line of the history."""

    prediction_id: uuid.UUID
    created: datetime
    machine: str
    anomaly: bool
    score: float
    threshold: float
    p_value: float
    sensor_ok: bool
    model_version: str
    duration_s: float
    filename: str | None
    answer: AnswerWord | None
    question: QuestionState | None


class PredictionPage(BaseModel):
    """A page of the history, in the order asked for."""

    predictions: list[PredictionSummary]
    next_cursor: str | None = Field(description="Send it as `cursor` for the page after; null: this was the last.")


class Health(BaseModel):
    """The service works."""

    status: str
    model_version: str | None = None
    encoder: str | None = None
    warning: Annotated[
        str | None, Field(description="It works, and something needs a person: say, a damaged new model.")
    ] = None


class Span(BaseModel):
    """Seconds of the clip."""

    start_s: float
    end_s: float


class SuspiciousSeconds(Span):
    """A stretch of the clip that the score comes from."""

    strength: float = Field(description="By so much the score falls when the stretch is cut out.")


class SuspiciousBand(BaseModel):
    """Frequencies that the score comes from."""

    low_hz: float
    high_hz: float
    strength: float = Field(description="By so much the score rises when only this band is as it was.")
    direction: Literal["more", "less"] = Field(description="Whether there is more or less sound in it than normal.")
    change_db: float


class ScoredGroup(BaseModel):
    """A group of the encoder's columns."""

    name: str
    score: float = Field(description="What the clip scores with this group alone among typical columns.")


class NearClip(BaseModel):
    """A clip whose truth is known, and which sounds alike."""

    kind: Literal["reference", "prediction"]
    id: str
    machine: str
    target: bool = Field(description="True = anomaly.")
    distance: float = Field(description="1 is about as far as a healthy clip is from the mean of all.")
    title: str
    audio_url: str


class ExplanationAnswer(BaseModel):
    """Why a prediction came out as it did."""

    prediction_id: uuid.UUID
    model_version: str = Field(
        description="What was asked: the model that judged, or the one in service if it is gone."
    )
    window: Span = Field(description="The window that decided, which is what is explained.")
    score: float
    typical: float = Field(description="What a usual healthy window scores.")
    frame_hop_s: float
    frame_start_s: float = Field(description="Where in the clip the first frame begins.")
    frame_strength: list[float] = Field(description="Units of score, one a frame.")
    seconds: list[SuspiciousSeconds]
    throughout: bool = Field(description="No part of the window is odder than the rest.")
    bands: list[SuspiciousBand] = Field(description="The strongest first.")
    groups: list[ScoredGroup]
    nearest: list[NearClip]


def answer_of(row: Prediction) -> PredictionAnswer:
    """Tell a stored prediction, with its windows, the way `POST /predict` answered it."""
    return PredictionAnswer(
        prediction_id=row.id,
        anomaly=row.anomaly,
        score=row.score,
        threshold=row.threshold,
        p_value=row.p_value,
        sensor=Sensor.model_validate(row.sensor),
        machine=row.machine,
        model_version=row.model_version,
        encoder=row.encoder,
        false_alarm_rate=row.rate_asked,
        false_alarm_rate_used=row.rate_used,
        duration_s=row.clip.duration_s,
        windows=[ScoredWindow(start_s=w.start_s, end_s=w.end_s, score=w.score) for w in row.windows],
        created=row.created,
        filename=row.filename,
        answer=_answer(row),
        question=_question(row),
    )


def summary_of(row: Prediction) -> PredictionSummary:
    """Tell a stored prediction in one line of the history."""
    return PredictionSummary(
        prediction_id=row.id,
        created=row.created,
        machine=row.machine,
        anomaly=row.anomaly,
        score=row.score,
        threshold=row.threshold,
        p_value=row.p_value,
        sensor_ok=bool(row.sensor["ok"]),
        model_version=row.model_version,
        duration_s=row.clip.duration_s,
        filename=row.filename,
        answer=_answer(row),
        question=_question(row),
    )


def explanation_answer(prediction_id: uuid.UUID, explanation: Explanation) -> ExplanationAnswer:
    """Tell an explanation, with the address of each near clip's recording."""
    told = explanation.to_json()
    for clip in told["nearest"]:
        place = "reference" if clip["kind"] == "reference" else "predictions"
        clip["audio_url"] = f"/{place}/{clip['id']}/audio"
    return ExplanationAnswer(prediction_id=prediction_id, **told)


def _answer(row: Prediction) -> AnswerWord | None:
    return cast("AnswerWord", row.answer.answer) if row.answer is not None else None


def _question(row: Prediction) -> QuestionState | None:
    question = row.question
    return None if question is None else QuestionState(question_id=question.id, state=cast("State", question.state))
