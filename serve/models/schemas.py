"""What the service answers about models, retraining, the false-alarm rate and the reference, as typed classes.

Here: the JSON shapes. Not here: how they are filled (`serve.models.lineage`, `serve.routes`).
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from serve.database.retrain_tables import Job, LedgerEntry


class Progress(BaseModel):
    """How far a job is."""

    step: int
    of: int
    text: str


class Comparison(BaseModel):
    """Champion and challenger on the same held-out clips, neither of which trained on them."""

    metric: str
    rows: int = Field(description="Held-out clips.")
    recordings: int = Field(description="Recording groups they come from, which the bootstrap draws.")
    champion: float | None
    challenger: float | None
    difference: float | None
    interval: tuple[float, float] | None = Field(description="90 %, of the difference, by paired bootstrap.")
    rule: str
    normals: int | None = None
    anomalies: int | None = None
    details: dict[str, Any] = Field(default={}, description="Figures of either model: auc, balanced_accuracy, recall …")


class JobAnswer(BaseModel):
    """One retraining."""

    job_id: uuid.UUID
    reason: str
    detail: str
    mode: str
    status: Literal["queued", "running", "promoted", "kept_champion", "failed"]
    progress: Progress | None
    created: datetime
    started: datetime | None
    finished: datetime | None
    champion: str | None
    challenger: str | None
    message: str
    comparison: Comparison | None
    answers_used: int


class JobPage(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobAnswer]


class RetrainRequest(BaseModel):
    """The body of `POST /retrain`."""

    reason: Literal["manual", "answers", "drift", "quality", "schedule"] = "manual"
    detail: str = Field(default="", max_length=2000)
    mode: Literal["scratch", "warm", "finetune"] | None = Field(default=None, description="Left out: RETRAIN_MODE.")


class FalseAlarmRateAnswer(BaseModel):
    """False alarms per healthy clip: asked for, the lowest that the normals support, and the one in use."""

    asked: float
    reachable: float
    used: float


class HistoryEntry(BaseModel):
    """One row of the ledger."""

    at: datetime
    action: str
    by: str
    reason: str
    previous: str | None
    job_id: uuid.UUID | None = None


class ModelAnswer(BaseModel):
    """One version; figures that its manifest does not tell are null."""

    version: str
    created: str | None
    parent: str | None
    encoder: str | None
    encoder_sha256: str | None
    serves: bool
    false_alarm_rate: FalseAlarmRateAnswer | None
    thresholds: dict[str, float]
    metrics: dict[str, Any]
    data: dict[str, Any]
    notes: list[str]
    history: list[HistoryEntry]


class ModelPage(BaseModel):
    """Every version, newest first."""

    current: str | None
    models: list[ModelAnswer]


class PromoteRequest(BaseModel):
    """The body of `POST /models/{version}/promote` and `POST /models/rollback`."""

    reason: str = Field(default="By hand.", max_length=2000)
    by: str = Field(default="api", max_length=255)


class SwitchAnswer(BaseModel):
    """What serves now, and what did before; services follow within seconds."""

    current: str
    previous: str | None


class ThresholdRequest(BaseModel):
    """The body of `PUT /threshold`."""

    rate: float = Field(gt=0, le=1, description="False alarms per healthy clip.")
    by: str = Field(default="api", max_length=255)


class ThresholdAnswer(BaseModel):
    """The false-alarm rate of the version that serves, and the scores that alarms have to exceed."""

    model_version: str
    false_alarm_rate: FalseAlarmRateAnswer
    thresholds: dict[str, float]


class ChangedVerdict(BaseModel):
    """A clip whose verdict another rate would change."""

    prediction_id: uuid.UUID
    anomaly_now: bool
    anomaly_then: bool


class ThresholdPreview(BaseModel):
    """What another rate would have meant for recent clips."""

    rate: float
    used: float
    reachable: float
    days: float
    predictions: int
    alarms_now: int = Field(description="Alarms among them at the rate that is set now.")
    alarms_then: int
    changed: list[ChangedVerdict] = Field(description="The newest of them, at most 500.")


class ReferenceMachine(BaseModel):
    """One machine in the reference; clips, but for `windows`."""

    machine: str
    clips: int
    windows: int
    normal: int
    anomaly: int
    held_out: int


class ReferenceAnswer(BaseModel):
    """What the reference holds."""

    sha256: str
    encoder: str
    rows: int
    clips: int
    machines: list[ReferenceMachine]


def job_answer(job: Job) -> JobAnswer:
    """Tell a stored job."""
    progress = None
    if job.status == "running" and job.step is not None and job.steps is not None:
        progress = Progress(step=job.step, of=job.steps, text=job.progress or "")
    return JobAnswer(
        job_id=job.id,
        reason=job.reason,
        detail=job.detail,
        mode=job.mode,
        status=job.status,  # type: ignore[arg-type]  # checked by pydantic
        progress=progress,
        created=job.created,
        started=job.started,
        finished=job.finished,
        champion=job.champion,
        challenger=job.challenger,
        message=job.message,
        comparison=None if job.comparison is None else Comparison.model_validate(job.comparison),
        answers_used=job.answers_used,
    )


def history_entry(row: LedgerEntry) -> HistoryEntry:
    """Tell a row of the ledger."""
    return HistoryEntry(
        at=row.at, action=row.action, by=row.by, reason=row.reason, previous=row.previous, job_id=row.job_id
    )
