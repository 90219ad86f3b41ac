"""Storing predictions and finding them again.

Here: the queries on clips, predictions and windows. Not here: the tables, and what the answers look like.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, selectinload

from serve.database.tables import Prediction, PredictionWindow, StoredClip

Row = Mapping[str, Any]


@dataclass(frozen=True)
class PredictionFilter:
    """Which predictions of the history are asked for; None: whichever.

    Attributes
    ----------
    machine
        `type/section`; empty: those of no named machine.
    anomaly
        The verdict.
    since, until
        Moments, half-open: since <= created < until.
    """

    machine: str | None = None
    anomaly: bool | None = None
    since: datetime | None = None
    until: datetime | None = None


def record(session: Session, clip: Row, prediction: Row, windows: Sequence[Row]) -> None:
    """Store a prediction with its windows, and its clip unless it is known.

    Parameters
    ----------
    session
        For writing.
    clip, prediction, windows
        Column → value, as `tables` names them.
    """
    # Plain values, not objects: their bookkeeping would hold Python's lock for as long as all the rest of this.
    connection = session.connection()
    insert_clip = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(insert_clip(StoredClip).on_conflict_do_nothing(), clip)
    connection.execute(insert(Prediction), prediction)
    connection.execute(insert(PredictionWindow), windows)


def find(session: Session, prediction_id: uuid.UUID) -> Prediction | None:
    """Find one prediction, its windows with it (their vectors are read when they are asked for)."""
    return session.scalar(
        select(Prediction).where(Prediction.id == prediction_id).options(selectinload(Prediction.windows))
    )


def page(
    session: Session, wanted: PredictionFilter, after: tuple[datetime, uuid.UUID] | None, limit: int
) -> Sequence[Prediction]:
    """Read a page of the history, newest first.

    Parameters
    ----------
    session
        For reading.
    wanted
        The filter.
    after
        Moment and id of the last prediction of the page before; None: the first page.
    limit
        Most rows.
    """
    query = select(Prediction).order_by(Prediction.created.desc(), Prediction.id.desc()).limit(limit)
    if wanted.machine is not None:
        query = query.where(Prediction.machine == wanted.machine)
    if wanted.anomaly is not None:
        query = query.where(Prediction.anomaly == wanted.anomaly)
    if wanted.since is not None:
        query = query.where(Prediction.created >= wanted.since)
    if wanted.until is not None:
        query = query.where(Prediction.created < wanted.until)
    if after is not None:
        query = query.where(tuple_(Prediction.created, Prediction.id) < after)
    return session.scalars(query).all()


def vectors(session: Session, prediction_id: uuid.UUID) -> NDArray[np.float32]:
    """Read the embeddings of a prediction's windows, float32[W, n], in order of time."""
    rows = session.scalars(
        select(PredictionWindow.vector)
        .where(PredictionWindow.prediction_id == prediction_id)
        .order_by(PredictionWindow.position)
    ).all()
    return np.array([from_bytes(row) for row in rows], np.float32)


def to_bytes(vector: NDArray[np.float32]) -> bytes:
    """Pack a vector the way it is stored: float32, little-endian."""
    return vector.astype("<f4", copy=False).tobytes()


def from_bytes(stored: bytes) -> NDArray[np.float32]:
    """Unpack a stored vector."""
    return np.frombuffer(stored, "<f4").astype(np.float32, copy=False)
