"""What is said and asked around questions and answers, as typed classes.

Here: JSON shapes, and telling database rows in them. Not here: predictions (`schemas`), errors (`problems`).
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints, model_validator

from serve.database.answers import AnswerWord, Given
from serve.database.questions import Due, Event, Reason, State
from serve.database.tables import Answer

# Not a line break nor any other control character: these are shown in one line, and go into headers of e-mails.
_Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
# PostgreSQL keeps no NUL in a text.
_Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=4000, pattern=r"^[^\x00]*$")]
Source = Literal["email", "portal", "api"]


class FeedbackRequest(BaseModel):
    """An answer: `answer`, or `target` (true = anomaly) instead."""

    prediction_id: uuid.UUID
    answer: AnswerWord | None = None
    target: bool | None = Field(None, description="Instead of `answer`: true = anomaly, false = normal.")
    operator: _Line | None = None
    comment: _Text | None = None
    fault: _Line | None = None
    source: Source = "api"
    token: str | None = Field(None, max_length=200, description="From the link; has to be that of the question.")
    override: bool = Field(False, description="Replace another answer, if one stands.")

    @model_validator(mode="after")
    def _one_answer(self) -> FeedbackRequest:
        told = None if self.target is None else "anomaly" if self.target else "normal"
        if self.answer is None and told is None:
            raise ValueError("'answer' is needed: anomaly, normal or unsure (or 'target': true or false)")
        if self.answer is not None and told is not None and self.answer != told:
            raise ValueError(f"'answer' says {self.answer} and 'target' says {told}: send one of them")
        return self

    def given(self) -> Given:
        """Return it the way it is stored; empty texts are none."""
        word: AnswerWord = self.answer or ("anomaly" if self.target else "normal")
        return Given(
            self.prediction_id, word, self.operator or None, self.comment or None, self.fault or None, self.source
        )


class FeedbackAnswer(BaseModel):
    """An answer as it stands."""

    prediction_id: uuid.UUID
    answer: AnswerWord
    operator: str | None
    comment: str | None
    fault: str | None
    source: Source
    created: datetime = Field(description="When the first answer to this prediction was given.")
    question_id: uuid.UUID | None


class FeedbackLine(FeedbackAnswer):
    """An answer beside what the model had said."""

    machine: str
    predicted_anomaly: bool
    score: float
    p_value: float
    model_version: str
    reason: Reason | None = Field(description="Why it was asked about; null: nobody asked.")


class FeedbackPage(BaseModel):
    """A page of answers, newest first."""

    answers: list[FeedbackLine]
    next_cursor: str | None


class RetrainOutcome(BaseModel):
    """The retraining that an answer was used in, or would have been."""

    job_id: uuid.UUID
    status: str
    challenger: str | None
    promoted: bool | None
    detail: str | None


class Neighbour(BaseModel):
    """A clip that sounds like the answered one, then and now."""

    prediction_id: uuid.UUID
    machine: str
    created: datetime
    distance: float = Field(description="Euclidean, between the deciding windows' embeddings.")
    score_before: float
    score_now: float | None
    anomaly_before: bool
    anomaly_now: bool | None


class Receipt(BaseModel):
    """What came of an answer."""

    answer: FeedbackAnswer
    counts_for_training: bool = Field(description="Anomaly and normal do; unsure never trains.")
    retrain: RetrainOutcome | None = Field(description="The first retraining after the answer; null: none yet.")
    score_before: float
    score_now: float | None = Field(description="By the model in service; null: it cannot judge this clip's vectors.")
    anomaly_before: bool
    anomaly_now: bool | None
    model_before: str
    model_now: str | None
    neighbours: list[Neighbour]


class Person(BaseModel):
    """Somebody messages go to."""

    name: str
    email: str


class QuestionEventLine(BaseModel):
    """Something that happened to a question."""

    event: Event
    at: datetime
    detail: str | None


class Delivery(BaseModel):
    """How the message that asks is getting on."""

    attempts: int
    last_error: str | None
    next_attempt: datetime | None


class QuestionAnswer(BaseModel):
    """A question and its life."""

    question_id: uuid.UUID
    prediction_id: uuid.UUID
    machine: str
    reason: Reason
    state: State
    created: datetime
    sent: datetime | None
    reminded: datetime | None
    escalated: datetime | None
    answered: datetime | None
    expired: datetime | None
    recipient: Person
    count: int = Field(description="Alarms in the episode; 0: the clip raised none.")
    written_by: Literal["llm", "template"] | None
    answer: AnswerWord | None
    answered_by: str | None
    form_url: str
    events: list[QuestionEventLine]
    delivery: Delivery
    due: Due | None = Field(None, description="Only in answers to `due=true`.")


class QuestionPage(BaseModel):
    """A page of questions, newest first; those that are due, longest waiting first."""

    questions: list[QuestionAnswer]
    next_cursor: str | None


class QuestionRequest(BaseModel):
    """Ask a person about a prediction."""

    prediction_id: uuid.UUID
    reason: Reason = "manual"


class EventRequest(BaseModel):
    """Something happened to a question."""

    event: Event
    written_by: Literal["llm", "template"] | None = None
    detail: _Text | None = None


class Stretch(BaseModel):
    """A part of the clip, seconds."""

    start_s: float
    end_s: float


class Band(BaseModel):
    """A range of frequencies that is louder or quieter than usual."""

    low_hz: float
    high_hz: float
    direction: Literal["more", "less"]
    change_db: float


class Near(BaseModel):
    """A clip that is known and sounds alike."""

    kind: Literal["reference", "prediction"]
    id: str
    machine: str
    target: bool
    title: str
    distance: float
    audio_url: str


class SensorNote(BaseModel):
    """What is wrong with the recording."""

    code: str
    message: str


class PlaybookFacts(BaseModel):
    """What the plant knows about the machine."""

    machine_name: str
    likely: list[str]
    steps: list[str]
    contact: str | None


class EpisodeFacts(BaseModel):
    """The machine's alarms that belong together."""

    count: int
    first: datetime | None
    last: datetime | None


class Facts(BaseModel):
    """Everything that a message about a question may say; what is not here, it may not."""

    question_id: uuid.UUID
    prediction_id: uuid.UUID
    token: str
    reason: Reason
    state: State
    language: Literal["en", "fr"]
    recipient: Person
    escalation: Person | None
    machine: str
    machine_name: str
    created: datetime
    local_time: datetime = Field(description="The same moment, with the offset of where the service runs.")
    duration_s: float
    anomaly: bool
    score: float
    threshold: float
    p_value: float
    false_alarm_rate_used: float
    filename: str | None
    seconds: list[Stretch]
    bands: list[Band]
    nearest: list[Near]
    sensor: list[SensorNote]
    playbook: PlaybookFacts
    episode: EpisodeFacts
    form_url: str
    portal_url: str
    audio_url: str = Field(description="Path on this service.")
    spectrogram_url: str = Field(description="Path on this service.")
    model_version: str


def feedback_of(row: Answer) -> FeedbackAnswer:
    """Tell a stored answer."""
    return FeedbackAnswer.model_validate(_plain(row))


def line_of(row: Answer) -> FeedbackLine:
    """Tell a stored answer beside its prediction's verdict."""
    prediction = row.prediction
    return FeedbackLine.model_validate(
        {
            **_plain(row),
            "machine": prediction.machine,
            "predicted_anomaly": prediction.anomaly,
            "score": prediction.score,
            "p_value": prediction.p_value,
            "model_version": prediction.model_version,
            "reason": prediction.question.reason if prediction.question else None,
        }
    )


def _plain(row: Answer) -> dict[str, object]:
    return {name: getattr(row, name) for name in FeedbackAnswer.model_fields}
