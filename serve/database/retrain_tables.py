"""The tables behind retraining: jobs, leases, the ledger of what served, reference versions, what trained which model.

Here: columns and their types. Not here: queries (`jobs`, `leases`, `ledger`, `references`), clips and predictions
(`tables`).
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from serve.database.tables import Base

ACTIVE = ("queued", "running")
"""States of a job that is not over."""


class Job(Base):
    """One retraining (or one upload of reference clips, which ends in a retraining)."""

    __tablename__ = "jobs"
    __table_args__ = (Index(None, "status"), Index(None, "created"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(String(16))
    """`manual`, `answers`, `drift`, `quality`, `schedule` or `reference`."""
    detail: Mapped[str] = mapped_column(Text)
    mode: Mapped[str] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(String(16))
    """`queued`, `running`, `promoted`, `kept_champion` or `failed`."""
    created: Mapped[datetime]
    started: Mapped[datetime | None]
    finished: Mapped[datetime | None]
    claimed: Mapped[datetime | None]
    """When a service last took it upon itself to start the job's process."""
    attempts: Mapped[int]
    """Processes that began it."""
    step: Mapped[int | None]
    steps: Mapped[int | None]
    progress: Mapped[str | None] = mapped_column(String(255))
    champion: Mapped[str | None] = mapped_column(String(255))
    challenger: Mapped[str | None] = mapped_column(String(255))
    message: Mapped[str] = mapped_column(Text)
    """What came of it, in a sentence."""
    comparison: Mapped[dict[str, Any] | None]
    answers_used: Mapped[int]
    answers_seen: Mapped[int]
    """Rows of `prod_data.csv` when it was created: where counting to the next automatic one begins."""
    upload: Mapped[str | None] = mapped_column(String(255))
    """Of an upload: the archive's path relative to the data folder."""


class Lease(Base):
    """The right to do something alone; it ends by itself when its owner no longer renews it."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(255))
    expires: Mapped[datetime]


class LedgerEntry(Base):
    """One change of what serves, or of what could; rows are only ever added (the database refuses anything else)."""

    __tablename__ = "ledger"
    __table_args__ = (Index(None, "model_version"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime]
    action: Mapped[str] = mapped_column(String(16))
    """`trained`, `promoted`, `kept`, `rolled_back` or `threshold`."""
    model_version: Mapped[str] = mapped_column(String(255))
    previous: Mapped[str | None] = mapped_column(String(255))
    """What served before."""
    encoder_sha256: Mapped[str] = mapped_column(String(64))
    by: Mapped[str] = mapped_column(String(255))
    reason: Mapped[str] = mapped_column(Text)
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("jobs.id"))


class ReferenceVersion(Base):
    """One content of `ref_data.csv`, complete once this row is there."""

    __tablename__ = "reference_versions"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    created: Mapped[datetime]
    encoder_name: Mapped[str] = mapped_column(String(255))
    encoder_sha256: Mapped[str] = mapped_column(String(64))
    rows: Mapped[int]
    clips: Mapped[int]
    anomalies: Mapped[int]
    held_out: Mapped[int]


class ReferenceWindow(Base):
    """One embedded window of a reference clip, kept once however many versions hold it."""

    __tablename__ = "reference_windows"
    __table_args__ = (UniqueConstraint("clip_sha256", "encoder_sha256", "start_s", "end_s"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    clip_sha256: Mapped[str] = mapped_column(String(64))
    encoder_sha256: Mapped[str] = mapped_column(String(64))
    start_s: Mapped[float]
    end_s: Mapped[float]
    vector: Mapped[bytes] = mapped_column(deferred=True)
    """float32[n], little-endian."""


class ReferenceRow(Base):
    """One row of one version: which window, and what was said about it."""

    __tablename__ = "reference_rows"

    reference_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    window_id: Mapped[int] = mapped_column(ForeignKey("reference_windows.id"))
    target: Mapped[bool]
    machine: Mapped[str] = mapped_column(String(255))
    domain: Mapped[str] = mapped_column(String(16))
    split: Mapped[str] = mapped_column(String(16))
    recording: Mapped[str] = mapped_column(Text)
    """The recording group, by which it is held out or not."""
    path: Mapped[str] = mapped_column(Text)
    level_db: Mapped[float]
    held_out: Mapped[bool]


class ModelSource(Base):
    """What a version was trained from: its reference (all rows that are not held out), and `ModelAnswer` rows."""

    __tablename__ = "model_sources"

    model_version: Mapped[str] = mapped_column(String(255), primary_key=True)
    created: Mapped[datetime]
    reference_sha256: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("jobs.id"), index=True)


class ModelAnswer(Base):
    """What a version made of one answer."""

    __tablename__ = "model_answers"
    __table_args__ = (Index(None, "prediction_id"),)

    model_version: Mapped[str] = mapped_column(String(255), primary_key=True)
    prediction_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("predictions.id"), primary_key=True)
    target: Mapped[bool]
    role: Mapped[str] = mapped_column(String(16))
    """`trained`, `calibrated` (trained too), `held_out` or `left_out`."""
    why: Mapped[str] = mapped_column(Text)
    """Of `left_out`: the reason."""
