"""What monitoring reads and leaves here: every window's vector, and the results of its looks.

Here: the queries. Not here: the tables, and what the figures mean (`monitoring/`, which knows nothing of this service
but its HTTP).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import and_, delete, func, not_, or_, select
from sqlalchemy.orm import Session

from serve.database.tables import MonitoringResult, Prediction, PredictionWindow

KEPT_RESULTS = 10_000
"""More than a year of hourly looks; older results are forgotten."""


class Place(NamedTuple):
    """Where a page of windows ended."""

    created: datetime
    prediction_id: uuid.UUID
    position: int


@dataclass(frozen=True)
class WindowRow:
    """A window with what monitoring needs to know about its prediction."""

    prediction_id: uuid.UUID
    created: datetime
    machine: str
    filename: str | None
    model_version: str
    position: int
    windows: int
    """How many windows the prediction has."""
    deciding: bool
    score: float
    p_value: float
    anomaly: bool
    vector: bytes

    @property
    def place(self) -> Place:
        """Where this row is in the order of the pages."""
        return Place(self.created, self.prediction_id, self.position)


def window_page(
    session: Session,
    encoder_sha256: str,
    since: datetime | None,
    until: datetime | None,
    after: Place | None,
    limit: int,
    newest_first: bool = False,
) -> list[WindowRow]:
    """Read windows in the order of their predictions.

    Parameters
    ----------
    session
        For reading.
    encoder_sha256
        Vectors of two encoders are never mixed: those of this one.
    since, until
        Moments of the predictions, half-open.
    after
        Where the page before ended; None: the first page.
    limit
        Most windows.
    newest_first
        The order of the predictions; a prediction's windows are always in order of time.
    """
    order = (Prediction.created.desc(), Prediction.id.desc()) if newest_first else (Prediction.created, Prediction.id)
    in_all = (
        select(func.count())
        .where(PredictionWindow.prediction_id == Prediction.id)
        .correlate(Prediction)
        .scalar_subquery()
    )
    query = (
        select(
            Prediction.id,
            Prediction.created,
            Prediction.machine,
            Prediction.filename,
            Prediction.model_version,
            PredictionWindow.position,
            in_all,
            Prediction.deciding_window,
            PredictionWindow.score,
            PredictionWindow.p_value,
            Prediction.anomaly,
            PredictionWindow.vector,
        )
        .join(PredictionWindow, PredictionWindow.prediction_id == Prediction.id)
        .where(Prediction.encoder_sha256 == encoder_sha256)
        .order_by(*order, PredictionWindow.position)
        .limit(limit)
    )
    if since is not None:
        query = query.where(Prediction.created >= since)
    if until is not None:
        query = query.where(Prediction.created < until)
    if after is not None:
        same = and_(Prediction.created == after.created, Prediction.id == after.prediction_id)
        query = query.where(not_(and_(same, PredictionWindow.position <= after.position)))
        # The first condition of each says what the second implies: the index on moments serves it.
        if newest_first:
            query = query.where(
                Prediction.created <= after.created,
                or_(Prediction.created < after.created, Prediction.id <= after.prediction_id),
            )
        else:
            query = query.where(
                Prediction.created >= after.created,
                or_(Prediction.created > after.created, Prediction.id >= after.prediction_id),
            )
    return [
        WindowRow(number, created, machine, filename, model, position, count, position == deciding, *rest)
        for number, created, machine, filename, model, position, count, deciding, *rest in session.execute(query)
    ]


def newest_encoder(session: Session) -> str | None:
    """Return the hash of the encoder of the newest prediction, None when there is none."""
    return session.scalar(select(Prediction.encoder_sha256).order_by(Prediction.created.desc()).limit(1))


def keep_result(session: Session, created: datetime, model_version: str | None, body: dict[str, Any]) -> uuid.UUID:
    """Store a result and forget the oldest beyond `KEPT_RESULTS`."""
    row = MonitoringResult(id=uuid.uuid4(), created=created, model_version=model_version, body=body)
    session.add(row)
    session.flush()
    oldest_kept = session.scalar(
        select(MonitoringResult.created).order_by(MonitoringResult.created.desc()).offset(KEPT_RESULTS - 1).limit(1)
    )
    if oldest_kept is not None:
        session.execute(delete(MonitoringResult).where(MonitoringResult.created < oldest_kept))
    return row.id


def results(session: Session, limit: int) -> Sequence[MonitoringResult]:
    """Read the newest results, newest first."""
    return session.scalars(
        select(MonitoringResult).order_by(MonitoringResult.created.desc(), MonitoringResult.id).limit(limit)
    ).all()
