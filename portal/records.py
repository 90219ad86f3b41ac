"""What the service answers, as far as the portal reads it.

Here: typed, frozen records; a figure that is unknown is None. Not here: fetching them (`client`), showing them.

Members that an older service does not send have a default; members that a newer one adds are ignored.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Record(BaseModel):
    """Base of all: frozen, tolerant of additions."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Health(Record):
    """Whether the service works, and with what."""

    status: str
    model_version: str | None = None
    encoder: str | None = None
    warning: str | None = None


class SensorFinding(Record):
    """One flaw of the recording itself."""

    code: str
    message: str
    fatal: bool


class Sensor(Record):
    """What the sensor check found."""

    ok: bool
    findings: tuple[SensorFinding, ...] = ()


class Window(Record):
    """One scored window, seconds."""

    start_s: float
    end_s: float
    score: float


class QuestionRef(Record):
    """That a question was asked about a prediction."""

    question_id: str
    state: str


class Prediction(Record):
    """One verdict on one clip."""

    prediction_id: str
    anomaly: bool
    score: float
    threshold: float
    p_value: float
    sensor: Sensor
    machine: str
    model_version: str
    encoder: str
    false_alarm_rate: float
    false_alarm_rate_used: float
    duration_s: float
    windows: tuple[Window, ...]
    created: datetime
    filename: str | None = None
    answer: str | None = None
    question: QuestionRef | None = None


class Summary(Record):
    """One line of the history."""

    prediction_id: str
    created: datetime
    machine: str
    anomaly: bool
    score: float
    threshold: float
    p_value: float
    sensor_ok: bool
    model_version: str
    duration_s: float
    filename: str | None = None
    answer: str | None = None
    question: QuestionRef | None = None


class Page(Record):
    """A page of the history."""

    predictions: tuple[Summary, ...]
    next_cursor: str | None = None


class Second(Record):
    """A stretch of time that stands out."""

    start_s: float
    end_s: float
    strength: float


class Band(Record):
    """A band of frequencies that stands out against healthy clips."""

    low_hz: float
    high_hz: float
    strength: float = 0.0
    direction: str
    change_db: float


class Neighbour(Record):
    """A known clip that sounds alike."""

    kind: str
    id: str
    machine: str
    target: bool | None
    distance: float
    title: str
    audio_url: str


class Explanation(Record):
    """Where in time and frequency a clip stands out, and what it resembles.

    `frame_strength` has one figure every `frame_hop_s` from `frame_start_s` on; `throughout`: no moment is odder than
    the rest, and `seconds` is the whole window.
    """

    frame_hop_s: float = 0.0
    frame_start_s: float = 0.0
    throughout: bool = False
    frame_strength: tuple[float, ...] = ()
    seconds: tuple[Second, ...] = ()
    bands: tuple[Band, ...] = ()
    nearest: tuple[Neighbour, ...] = ()


class Answer(Record):
    """What a person said about a prediction."""

    prediction_id: str
    answer: str
    operator: str | None = None
    comment: str | None = None
    fault: str | None = None
    source: str | None = None
    created: datetime


class ReceiptRetrain(Record):
    """The retraining that used an answer."""

    job_id: str
    status: str
    challenger: str | None = None
    promoted: bool | None = None
    detail: str | None = None


class ReceiptNeighbour(Record):
    """How the verdict on a clip near the answered one moved."""

    prediction_id: str
    machine: str
    created: datetime
    distance: float
    score_before: float | None = None
    score_now: float | None = None
    anomaly_before: bool | None = None
    anomaly_now: bool | None = None


class Receipt(Record):
    """What became of an answer."""

    answer: Answer
    counts_for_training: bool
    retrain: ReceiptRetrain | None = None
    score_before: float | None = None
    score_now: float | None = None
    anomaly_before: bool | None = None
    anomaly_now: bool | None = None
    model_before: str | None = None
    model_now: str | None = None
    neighbours: tuple[ReceiptNeighbour, ...] = ()


class Person(Record):
    """Whom a question goes to."""

    name: str | None = None
    email: str | None = None


class QuestionEvent(Record):
    """One step in a question's life."""

    event: str
    at: datetime
    detail: str | None = None


class Delivery(Record):
    """How often the question was handed to n8n, and what came of it."""

    attempts: int = 0
    last_error: str | None = None
    next_attempt: datetime | None = None


class Question(Record):
    """One question to an operator, and its life."""

    question_id: str
    prediction_id: str
    machine: str
    reason: str
    state: str
    created: datetime
    sent: datetime | None = None
    reminded: datetime | None = None
    escalated: datetime | None = None
    answered: datetime | None = None
    expired: datetime | None = None
    recipient: Person | None = None
    count: int = 1
    written_by: str | None = None
    answer: str | None = None
    answered_by: str | None = None
    form_url: str | None = None
    events: tuple[QuestionEvent, ...] = ()
    delivery: Delivery | None = None


class Progress(Record):
    """How far a job is."""

    step: float
    of: float
    text: str = ""


class Comparison(Record):
    """Challenger against champion on the same held-out rows."""

    metric: str
    rows: int
    recordings: int | None = None
    champion: float | None = None
    challenger: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    rule: str = ""


class Job(Record):
    """A retraining."""

    job_id: str
    reason: str
    detail: str | None = None
    mode: str | None = None
    status: str
    progress: Progress | None = None
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    champion: str | None = None
    challenger: str | None = None
    message: str | None = None
    comparison: Comparison | None = None
    answers_used: int | None = None


class Rate(Record):
    """False alarms per healthy clip."""

    asked: float
    reachable: float | None = None
    used: float


class LedgerEntry(Record):
    """One change of a model version's state."""

    at: datetime
    action: str
    by: str | None = None
    reason: str | None = None
    previous: str | None = None


class Model(Record):
    """One model version."""

    version: str
    created: datetime
    parent: str | None = None
    encoder: str | None = None
    serves: bool = False
    false_alarm_rate: Rate | None = None
    thresholds: Any = None
    metrics: Any = None
    data: Any = None
    notes: Any = None
    history: tuple[LedgerEntry, ...] = ()


class Models(Record):
    """Every version, and which serves."""

    current: str | None
    models: tuple[Model, ...]


class Thresholds(Record):
    """Score limits for a clip of one window, of a machine the model knows and of any other."""

    known: float | None = None
    unknown: float | None = None


class Threshold(Record):
    """The false-alarm rate in force."""

    model_version: str
    false_alarm_rate: Rate
    thresholds: Thresholds = Thresholds()


class Changed(Record):
    """A recent prediction whose verdict another rate turns."""

    prediction_id: str
    anomaly_now: bool
    anomaly_then: bool


class Preview(Record):
    """What another false-alarm rate would have meant."""

    rate: float
    used: float
    reachable: float | None = None
    days: float
    predictions: int
    alarms_now: int
    alarms_then: int
    changed: tuple[Changed, ...] = ()


class ReferenceMachine(Record):
    """How much of one machine the reference holds."""

    machine: str
    clips: int
    windows: int
    normal: int
    anomaly: int
    held_out: int


class Reference(Record):
    """The reference set in numbers."""

    sha256: str | None = None
    encoder: str | None = None
    rows: int
    clips: int
    machines: tuple[ReferenceMachine, ...]


class DayCount(Record):
    """Predictions of a day."""

    day: date
    predictions: int
    anomalies: int


class MachineCount(Record):
    """Predictions of a machine."""

    machine: str
    predictions: int
    anomalies: int


class Histogram(Record):
    """Scores of one model version: n counts between n + 1 edges."""

    model_version: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Budget(Record):
    """How many questions a day may be asked."""

    per_day: int
    used_today: int


class Confirmed(Record):
    """Alarms that people answered."""

    answered: int = 0
    true_alarms: int = 0
    false_alarms: int = 0
    unsure: int = 0
    precision: float | None = None
    precision_interval: tuple[float, float] | None = None


class Audit(Record):
    """Answers to questions drawn at random among clips that raised no alarm."""

    asked: int = 0
    answered: int = 0
    recall: float | None = None
    recall_interval: tuple[float, float] | None = None
    false_alarm_rate: float | None = None
    false_alarm_interval: tuple[float, float] | None = None


class Drift(Record):
    """Whether recent sound differs from the reference's."""

    status: str
    method: str | None = None
    score: float | None = None
    p_value: float | None = None
    threshold: float | None = None
    cause: str | None = None
    message: str | None = None


class DriftedClip(Record):
    """A recent clip that is unlike the reference, and the clip of the reference that is nearest to it."""

    prediction_id: str
    nearest_clip_id: str | None = None


class Monitoring(Record):
    """What the drift job found last."""

    created: datetime
    model_version: str | None = None
    rows: int | None = None
    drift: Drift | None = None
    score_drift: Drift | None = None
    machines: dict[str, Drift] = Field(default_factory=dict)
    drifted: tuple[DriftedClip, ...] = ()
    report_url: str | None = None
    retrain_job: str | None = None


class ServingModel(Record):
    """The model in production."""

    version: str
    encoder: str | None = None


class RetrainState(Record):
    """How near the next automatic retraining is."""

    every: int | None = None
    answers_since: int | None = None
    running: Job | None = None
    last: Job | None = None


class Stats(Record):
    """The overview's figures."""

    since: datetime
    predictions: int
    anomalies: int
    alert_rate: float | None = None
    by_day: tuple[DayCount, ...] = ()
    by_machine: tuple[MachineCount, ...] = ()
    score_histogram: tuple[Histogram, ...] = ()
    questions: dict[str, int] = Field(default_factory=dict)
    budget: Budget | None = None
    confirmed: Confirmed = Confirmed()
    audit: Audit = Audit()
    monitoring: Monitoring | None = None
    model: ServingModel | None = None
    retrain: RetrainState = RetrainState()
