"""What the service answers, as typed classes.

Here: the JSON shapes of DESIGN §8. Not here: the shapes of errors (`problems`) and of requests (`upload`).
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

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
    encoder_stand_in: bool = Field(description="The encoder was never trained: scores are for trying things out.")
    false_alarm_rate: float = Field(description="False alarms per healthy clip that were asked for.")
    false_alarm_rate_used: float = Field(description="The rate in use; higher where too few normals support less.")
    duration_s: float
    windows: list[ScoredWindow]
    created: datetime
    filename: str | None


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


class PredictionPage(BaseModel):
    """A page of the history, newest first."""

    predictions: list[PredictionSummary]
    next_cursor: str | None = Field(description="Send it as `cursor` for the page after; null: this was the last.")


class Health(BaseModel):
    """The service works."""

    status: str
    model_version: str | None = None
    encoder: str | None = None
    encoder_stand_in: bool | None = None
    warning: Annotated[
        str | None, Field(description="It works, and something needs a person: say, a damaged new model.")
    ] = None


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
        encoder_stand_in=row.encoder_stand_in,
        false_alarm_rate=row.rate_asked,
        false_alarm_rate_used=row.rate_used,
        duration_s=row.clip.duration_s,
        windows=[ScoredWindow(start_s=w.start_s, end_s=w.end_s, score=w.score) for w in row.windows],
        created=row.created,
        filename=row.filename,
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
    )
