"""The tables, as typed classes: clips, predictions, windows; questions, answers, messages that go out.

Here: columns and their types. Not here: connections (`connection`), queries (`predictions`), how the schema changed
(`migrations/`).
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Double, ForeignKey, Index, LargeBinary, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: aware in Python, UTC in the database, on SQLite too, which knows no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Turn an aware moment into UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give the moment its time zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Common ground of the tables; constraints have names, so that later migrations can change them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime, float: Double, dict[str, Any]: JSON, bytes: LargeBinary}  # noqa: RUF012


class StoredClip(Base):
    """One clip as sent, kept once however often it is sent."""

    __tablename__ = "clips"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    path: Mapped[str] = mapped_column(String(255))
    """Of the FLAC file, relative to the folder of clips."""
    duration_s: Mapped[float]
    native_rate: Mapped[int]
    channels: Mapped[int]
    created: Mapped[datetime]


class Prediction(Base):
    """One verdict on one clip by one model."""

    __tablename__ = "predictions"
    __table_args__ = (Index(None, "created", "id"), Index(None, "machine", "created"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    created: Mapped[datetime]
    clip_sha256: Mapped[str] = mapped_column(ForeignKey("clips.sha256"), index=True)
    filename: Mapped[str | None] = mapped_column(String(255))
    """As this sender named the clip."""
    machine: Mapped[str] = mapped_column(String(255))
    anomaly: Mapped[bool]
    score: Mapped[float]
    threshold: Mapped[float]
    p_value: Mapped[float]
    rate_asked: Mapped[float]
    rate_used: Mapped[float]
    model_version: Mapped[str] = mapped_column(String(255))
    encoder: Mapped[str] = mapped_column(String(255))
    encoder_sha256: Mapped[str] = mapped_column(String(64))
    confirmed: Mapped[int]
    """How many confirmed faults it was scored with."""
    deciding_window: Mapped[int]
    sensor: Mapped[dict[str, Any]]
    episode_id: Mapped[int | None] = mapped_column(ForeignKey("episodes.id"), index=True)
    """Of an alarm: the episode that it belongs to."""

    clip: Mapped[StoredClip] = relationship(lazy="joined", innerjoin=True)
    windows: Mapped[list[PredictionWindow]] = relationship(order_by="PredictionWindow.position")
    answer: Mapped[Answer | None] = relationship(lazy="raise")
    question: Mapped[Question | None] = relationship(lazy="raise", back_populates="prediction")


class PredictionWindow(Base):
    """One window of a prediction, with its embedding."""

    __tablename__ = "windows"

    prediction_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("predictions.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    start_s: Mapped[float]
    end_s: Mapped[float]
    score: Mapped[float]
    p_value: Mapped[float]
    vector: Mapped[bytes] = mapped_column(deferred=True)
    """float32[n], little-endian."""


class MonitoringResult(Base):
    """One look of monitoring at the answers and the vectors: its figures as they were sent."""

    __tablename__ = "monitoring_results"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    created: Mapped[datetime] = mapped_column(index=True)
    model_version: Mapped[str | None] = mapped_column(String(255))
    body: Mapped[dict[str, Any]]


class Counter(Base):
    """A number that each transaction which changes something of a kind takes, and holds until it is committed.

    PostgreSQL's sequences are no substitute: two transactions may commit in the other order than they counted, and
    whoever follows the changes by number would miss one.
    """

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[int]


class Episode(Base):
    """Alarms of one machine that follow each other closely: one question, with a count."""

    __tablename__ = "episodes"
    __table_args__ = (Index(None, "machine", "last"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    machine: Mapped[str] = mapped_column(String(255))
    first: Mapped[datetime]
    last: Mapped[datetime]
    alarms: Mapped[int]


class Question(Base):
    """A question to a person about one prediction, through its whole life."""

    __tablename__ = "questions"
    __table_args__ = (Index(None, "created", "id"), Index(None, "state", "created"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    prediction_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("predictions.id"), unique=True)
    episode_id: Mapped[int | None] = mapped_column(ForeignKey("episodes.id"), unique=True)
    machine: Mapped[str] = mapped_column(String(255))
    reason: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    created: Mapped[datetime]
    sent: Mapped[datetime | None]
    reminded: Mapped[datetime | None]
    escalated: Mapped[datetime | None]
    answered: Mapped[datetime | None]
    expired: Mapped[datetime | None]
    recipient_name: Mapped[str] = mapped_column(String(255))
    recipient_email: Mapped[str] = mapped_column(String(255))
    written_by: Mapped[str | None] = mapped_column(String(16))

    prediction: Mapped[Prediction] = relationship(lazy="raise", back_populates="question")
    episode: Mapped[Episode | None] = relationship(lazy="raise")
    events: Mapped[list[QuestionEvent]] = relationship(lazy="raise", order_by="QuestionEvent.id")


class QuestionEvent(Base):
    """Something that happened to a question, as it was told."""

    __tablename__ = "question_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    question_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("questions.id"), index=True)
    event: Mapped[str] = mapped_column(String(16))
    at: Mapped[datetime]
    detail: Mapped[str | None] = mapped_column(Text)


class Candidate(Base):
    """A prediction that was worth a question, whether it was asked about or not: what the next one is measured by."""

    __tablename__ = "candidates"

    prediction_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("predictions.id"), primary_key=True)
    created: Mapped[datetime] = mapped_column(index=True)
    worth: Mapped[float]
    asked: Mapped[bool]


class Answer(Base):
    """What a person says about one prediction: one row a prediction, the answer that stands."""

    __tablename__ = "answers"
    __table_args__ = (Index(None, "created", "prediction_id"),)

    prediction_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("predictions.id"), primary_key=True)
    answer: Mapped[str] = mapped_column(String(16))
    """`anomaly`, `normal` or `unsure`."""
    operator: Mapped[str | None] = mapped_column(String(255))
    comment: Mapped[str | None] = mapped_column(Text)
    fault: Mapped[str | None] = mapped_column(String(255))
    source: Mapped[str] = mapped_column(String(16))
    created: Mapped[datetime]
    changed: Mapped[datetime | None]
    """When an `override` replaced the answer before."""
    row: Mapped[int | None] = mapped_column(unique=True)
    """Place among the rows of prod_data.csv, from 1, given with the first answer that makes a row and kept for good."""
    revision: Mapped[int] = mapped_column(index=True)
    """Of the counter `answers`: which change of an answer this one is."""
    question_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("questions.id"))

    prediction: Mapped[Prediction] = relationship(lazy="raise", viewonly=True)


class ReplacedAnswer(Base):
    """An answer that an `override` replaced."""

    __tablename__ = "replaced_answers"

    id: Mapped[int] = mapped_column(primary_key=True)
    prediction_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("predictions.id"), index=True)
    answer: Mapped[str] = mapped_column(String(16))
    operator: Mapped[str | None] = mapped_column(String(255))
    comment: Mapped[str | None] = mapped_column(Text)
    fault: Mapped[str | None] = mapped_column(String(255))
    source: Mapped[str] = mapped_column(String(16))
    given: Mapped[datetime]
    replaced: Mapped[datetime]


class OutboxMessage(Base):
    """A message to n8n, written in the transaction that gives cause for it, delivered afterwards at least once."""

    __tablename__ = "outbox"
    __table_args__ = (Index(None, "delivered", "next_attempt"), Index(None, "lane", "id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    lane: Mapped[str] = mapped_column(String(64))
    """Messages of one lane go out one after the other, in the order they were written."""
    kind: Mapped[str] = mapped_column(String(32))
    """The webhook's path."""
    payload: Mapped[dict[str, Any]]
    created: Mapped[datetime]
    attempts: Mapped[int]
    next_attempt: Mapped[datetime]
    last_error: Mapped[str | None] = mapped_column(Text)
    claimed_until: Mapped[datetime | None]
    delivered: Mapped[datetime | None]
