"""The tables, as typed classes: clips, predictions, windows.

Here: columns and their types. Not here: connections (`connection`), queries (`predictions`), how the schema changed
(`migrations/`).
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Double, ForeignKey, Index, LargeBinary, MetaData, String
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
    encoder_stand_in: Mapped[bool]
    confirmed: Mapped[int]
    """How many confirmed faults it was scored with."""
    deciding_window: Mapped[int]
    sensor: Mapped[dict[str, Any]]

    clip: Mapped[StoredClip] = relationship(lazy="joined", innerjoin=True)
    windows: Mapped[list[PredictionWindow]] = relationship(order_by="PredictionWindow.position")


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
