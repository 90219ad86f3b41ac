"""What was worth a question lately, and what was asked about.

Here: the queries behind `serve.asking.questions`. Not here: its rules.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import and_, func, insert, select
from sqlalchemy.orm import Session

from serve.database.predictions import stacked
from serve.database.tables import Candidate, Prediction, PredictionWindow, Question

_MOST = 2000
_SHORTEST_S = 3600.0


@dataclass(frozen=True)
class Recent:
    """The candidates of late.

    Attributes
    ----------
    worths
        Of the last of them, newest first.
    count
        How many there were in all.
    first
        When the first of them came.
    """

    worths: Sequence[float]
    count: int
    first: datetime | None

    def a_second(self, now: datetime) -> float:
        """Return how many come a second; of a service that has just been started, as if it had run for an hour."""
        if self.first is None:
            return 0.0
        return self.count / max((now - self.first).total_seconds(), _SHORTEST_S)


def record(session: Session, prediction: uuid.UUID, now: datetime, worth: float, asked: bool) -> None:
    """Remember a candidate."""
    session.execute(insert(Candidate), {"prediction_id": prediction, "created": now, "worth": worth, "asked": asked})


def recent(session: Session, since: datetime) -> Recent:
    """Read the candidates since a moment."""
    count, first = session.execute(
        select(func.count(), func.min(Candidate.created)).where(Candidate.created >= since)
    ).one()
    worths = session.scalars(
        select(Candidate.worth).where(Candidate.created >= since).order_by(Candidate.created.desc()).limit(_MOST)
    ).all()
    return Recent(worths, count, first)


def asked_about(
    session: Session, encoder_sha256: str, most: int
) -> tuple[NDArray[np.float32], list[tuple[str, datetime]]]:
    """Read what the last questions were about: float32[Q, n] of one encoder, and (machine, when) of them all."""
    asked = (
        select(Question.machine, Question.created, Question.prediction_id)
        .order_by(Question.created.desc())
        .limit(most)
        .subquery()
    )
    machines = session.execute(select(asked.c.machine, asked.c.created)).all()
    vectors = session.scalars(
        select(PredictionWindow.vector)
        .join(Prediction, Prediction.id == PredictionWindow.prediction_id)
        .join(asked, asked.c.prediction_id == Prediction.id)
        .where(
            and_(PredictionWindow.position == Prediction.deciding_window, Prediction.encoder_sha256 == encoder_sha256)
        )
    ).all()
    return stacked(vectors), list(machines)


def normals_since(session: Session, since: datetime) -> int:
    """Count the "normal" verdicts since a moment."""
    return session.scalars(
        select(func.count()).select_from(Prediction).where(Prediction.created >= since, Prediction.anomaly.is_(False))
    ).one()
