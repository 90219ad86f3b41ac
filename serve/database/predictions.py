"""Storing predictions and finding them again.

Here: the queries on clips, predictions and windows. Not here: the tables, and what the answers look like.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, or_, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute, Session, joinedload, selectinload

from serve.database.questions import OPEN
from serve.database.retrain_tables import ReferenceWindow
from serve.database.tables import Answer, Prediction, PredictionWindow, Question, StoredClip

Row = Mapping[str, Any]
# What a prediction's answer tells of people's part in it.
_LOOP = (joinedload(Prediction.answer), joinedload(Prediction.question))


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
    answered
        Whether anybody said anything about it.
    answer
        What was said.
    text
        Part of the file's name or of the machine's, in whatever case.
    model_version
        What judged.
    """

    machine: str | None = None
    anomaly: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    answered: bool | None = None
    answer: str | None = None
    text: str | None = None
    model_version: str | None = None


Sort = Literal["created", "score", "p_value"]
SortValue = datetime | float


@dataclass(frozen=True)
class Order:
    """How the history is sorted.

    Attributes
    ----------
    by
        The column; equal ones are sorted by id.
    descending
        The highest, or newest, first.
    """

    by: Sort = "created"
    descending: bool = True

    def value(self, row: Prediction) -> SortValue:
        """Return what `row` is sorted by."""
        value: SortValue = getattr(row, self.by)
        return value


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
        select(Prediction).where(Prediction.id == prediction_id).options(selectinload(Prediction.windows), *_LOOP)
    )


def page(
    session: Session,
    wanted: PredictionFilter,
    order: Order,
    after: tuple[SortValue, uuid.UUID] | None,
    limit: int,
) -> Sequence[Prediction]:
    """Read a page of the history.

    Parameters
    ----------
    session
        For reading.
    wanted
        The filter.
    order
        How it is sorted.
    after
        What the last prediction of the page before is sorted by, and its id; None: the first page.
    limit
        Most rows.
    """
    column: InstrumentedAttribute[Any] = getattr(Prediction, order.by)
    query = select(Prediction).options(*_LOOP).limit(limit)
    if order.descending:
        query = query.order_by(column.desc(), Prediction.id.desc())
    else:
        query = query.order_by(column, Prediction.id)
    if wanted.machine is not None:
        query = query.where(Prediction.machine == wanted.machine)
    if wanted.anomaly is not None:
        query = query.where(Prediction.anomaly == wanted.anomaly)
    if wanted.since is not None:
        query = query.where(Prediction.created >= wanted.since)
    if wanted.until is not None:
        query = query.where(Prediction.created < wanted.until)
    if wanted.answer is not None:
        query = query.where(Prediction.answer.has(Answer.answer == wanted.answer))
    if wanted.answered is not None:
        query = query.where(Prediction.answer.has() if wanted.answered else ~Prediction.answer.has())
    if wanted.text:
        query = query.where(
            or_(
                Prediction.filename.icontains(wanted.text, autoescape=True),
                Prediction.machine.icontains(wanted.text, autoescape=True),
            )
        )
    if wanted.model_version is not None:
        query = query.where(Prediction.model_version == wanted.model_version)
    if after is not None:
        place = tuple_(column, Prediction.id)
        query = query.where(place < after if order.descending else place > after)
    return session.scalars(query).all()


def vectors(session: Session, prediction_id: uuid.UUID) -> NDArray[np.float32]:
    """Read the embeddings of a prediction's windows, float32[W, n], in order of time."""
    rows = session.scalars(
        select(PredictionWindow.vector)
        .where(PredictionWindow.prediction_id == prediction_id)
        .order_by(PredictionWindow.position)
    ).all()
    return stacked(rows)


def to_bytes(vector: NDArray[np.float32]) -> bytes:
    """Pack a vector the way it is stored: float32, little-endian."""
    return vector.astype("<f4", copy=False).tobytes()


def stacked(stored: Sequence[bytes]) -> NDArray[np.float32]:
    """Unpack stored vectors of one encoder: float32[R, n], float32[0, 0] without any."""
    return np.stack([from_bytes(vector) for vector in stored]) if stored else np.zeros((0, 0), np.float32)


def from_bytes(stored: bytes) -> NDArray[np.float32]:
    """Unpack a stored vector."""
    return np.frombuffer(stored, "<f4").astype(np.float32, copy=False)


def clips_needed(session: Session, clips: Sequence[str]) -> set[str]:
    """Return which of these clips have to be kept: answered, asked about, or reference."""
    judged = select(Prediction.clip_sha256).where(Prediction.clip_sha256.in_(clips))
    waiting = Question.state.in_(("queued", *OPEN))
    ways = (
        judged.join(Answer, Answer.prediction_id == Prediction.id),
        judged.join(Question, Question.prediction_id == Prediction.id).where(waiting),
        select(ReferenceWindow.clip_sha256).where(ReferenceWindow.clip_sha256.in_(clips)),
    )
    return {clip for way in ways for clip in session.scalars(way)}
