"""Looking back from an answer: the jobs that used it, and the clips around it.

Here: the queries behind `serve.answers.receipt`. Not here: what is made of them.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from serve.database.predictions import stacked
from serve.database.retrain_tables import ACTIVE, Job, ModelAnswer, ModelSource
from serve.database.tables import Prediction, PredictionWindow


@dataclass(frozen=True)
class Use:
    """What one retraining made of an answer.

    Attributes
    ----------
    job
        The retraining.
    role, why
        As in `ModelAnswer`.
    """

    job: Job
    role: str
    why: str


def jobs_that_used(session: Session, prediction: uuid.UUID) -> list[Use]:
    """Find the retrainings that looked at an answer, oldest first."""
    found = session.execute(
        select(Job, ModelAnswer.role, ModelAnswer.why)
        .join(ModelSource, ModelSource.job_id == Job.id)
        .join(ModelAnswer, ModelAnswer.model_version == ModelSource.model_version)
        .where(ModelAnswer.prediction_id == prediction)
        .order_by(Job.created)
    ).all()
    return [Use(job, role, why) for job, role, why in found]


def first_job_after(session: Session, moment: datetime) -> Job | None:
    """Find the first retraining that began after a moment, or waits to begin."""
    return session.scalar(
        select(Job)
        .where(or_(Job.started > moment, and_(Job.started.is_(None), Job.status.in_(ACTIVE))))
        .order_by(Job.created)
        .limit(1)
    )


def recent_deciding(
    session: Session, encoder_sha256: str, most: int, but: uuid.UUID
) -> tuple[list[uuid.UUID], NDArray[np.float32]]:
    """Read the deciding windows of the newest predictions of one encoder, without one: ids and float32[R, n]."""
    found = session.execute(
        select(Prediction.id, PredictionWindow.vector)
        .join(
            PredictionWindow,
            and_(
                PredictionWindow.prediction_id == Prediction.id,
                PredictionWindow.position == Prediction.deciding_window,
            ),
        )
        .where(Prediction.encoder_sha256 == encoder_sha256, Prediction.id != but)
        .order_by(Prediction.created.desc())
        .limit(most)
    ).all()
    return [name for name, _ in found], stacked([vector for _, vector in found])
