"""Jobs: creating, claiming, following and ending them.

Here: the queries. Not here: running a job (`serve.retraining.job`), or when one is due (`serve.retraining.dispatcher`).

    queued ──► running ──► promoted | kept_champion | failed
       ▲           │
       └───────────┘  its process was killed: begun again, at most `MAX_ATTEMPTS` times in all
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from serve.database import counters
from serve.database.retrain_tables import ACTIVE, Job

Reason = Literal["manual", "answers", "drift", "quality", "schedule", "reference"]
Mode = Literal["scratch", "warm", "finetune"]
Outcome = Literal["promoted", "kept_champion", "failed"]

LEASE = "retrain"
LEASE_S = 30.0
"""A retrain that is not heard of for so long is taken for dead."""
MAX_ATTEMPTS = 2
_CLAIM_S = 30.0
_COUNTER = "jobs"


def create(
    session: Session, reason: Reason, detail: str, mode: Mode, answers_seen: int, upload: str | None = None
) -> tuple[Job, bool]:
    """Queue a job, unless one is under way that does the same.

    Parameters
    ----------
    session
        For writing.
    reason, detail
        Why, as one word and in words.
    mode
        How.
    answers_seen
        Rows of `prod_data.csv` now.
    upload
        Of new reference clips: the archive. Such a job is never the same as another.

    Returns
    -------
    Job, bool
        The job, and whether it is new.
    """
    counters.take(session, _COUNTER)  # two that ask at once: the second sees what the first has made
    if upload is None:
        running = session.scalar(
            select(Job).where(Job.status.in_(ACTIVE), Job.upload.is_(None)).order_by(Job.created).limit(1)
        )
        if running is not None:
            return running, False
    job = Job(
        id=uuid.uuid4(),
        reason=reason,
        detail=detail,
        mode=mode,
        status="queued",
        created=datetime.now(UTC),
        attempts=0,
        message="",
        answers_used=0,
        answers_seen=answers_seen,
        upload=upload,
    )
    session.add(job)
    session.flush()
    return job, True


def latest(session: Session, limit: int) -> Sequence[Job]:
    """Read jobs, newest first."""
    return session.scalars(select(Job).order_by(Job.created.desc(), Job.id).limit(limit)).all()


def active(session: Session) -> Job | None:
    """Return the job that runs, or else waits longest; None: nothing is to be done."""
    order = (Job.status == "queued", Job.created)
    return session.scalar(select(Job).where(Job.status.in_(ACTIVE)).order_by(*order).limit(1))


def last_automatic(session: Session) -> Job | None:
    """Return the latest job that the number of answers caused: from there new ones are counted."""
    return session.scalar(select(Job).where(Job.reason == "answers").order_by(Job.created.desc()).limit(1))


def claim(session: Session, job_id: uuid.UUID) -> bool:
    """Claim the starting of a queued job's process; of several services one succeeds, and again after a while."""
    moment = datetime.now(UTC)
    claimed = session.execute(
        update(Job)
        .where(
            Job.id == job_id,
            Job.status == "queued",
            or_(Job.claimed.is_(None), Job.claimed < moment - timedelta(seconds=_CLAIM_S)),
        )
        .values(claimed=moment)
        .returning(Job.id)
    )
    return claimed.scalar() is not None


def begin(session: Session, job_id: uuid.UUID) -> Job | None:
    """Set a queued job running; None: it is not queued (any more). Whoever calls holds the lease."""
    job = session.get(Job, job_id, with_for_update=True)
    if job is None or job.status != "queued":
        return None
    job.status, job.started, job.attempts = "running", datetime.now(UTC), job.attempts + 1
    job.step = job.steps = job.progress = None
    return job


def put_back(session: Session, job_id: uuid.UUID) -> None:
    """Queue a running job again, as if it had never begun: its process was asked to end."""
    session.execute(
        update(Job)
        .where(Job.id == job_id, Job.status == "running")
        .values(status="queued", claimed=None, attempts=Job.attempts - 1, message="Interrupted; it is begun again.")
    )


def note(session: Session, job_id: uuid.UUID, **found: Any) -> None:  # noqa: ANN401
    """Keep what a job found out on its way: columns of `Job`."""
    session.execute(update(Job).where(Job.id == job_id).values(**found))


def report(session: Session, job_id: uuid.UUID, step: int, steps: int, text: str) -> None:
    """Tell how far a job is."""
    session.execute(update(Job).where(Job.id == job_id).values(step=step, steps=steps, progress=text[:255]))


def end(session: Session, job_id: uuid.UUID, outcome: Outcome, message: str, **found: Any) -> None:  # noqa: ANN401
    """End a running job.

    Parameters
    ----------
    session
        For writing.
    job_id, outcome, message
        Which, how, and why in a sentence.
    found
        Further columns of `Job`.
    """
    values = {"status": outcome, "message": message, "finished": datetime.now(UTC), **found}
    session.execute(update(Job).where(Job.id == job_id, Job.status.in_(ACTIVE)).values(**values))


def bury(session: Session) -> list[Job]:
    """Deal with jobs that say they run while nobody holds the lease: begun again, or failed after enough attempts.

    The caller has just found the lease free, or holds it.

    Returns
    -------
    list of Job
        Those that were found dead.
    """
    dead = session.scalars(select(Job).where(Job.status == "running").with_for_update()).all()
    for job in dead:
        if job.attempts < MAX_ATTEMPTS:
            job.status, job.claimed = "queued", None
            job.message = "Its process ended without a word (killed?), so it is begun again."
        else:
            job.status, job.finished = "failed", datetime.now(UTC)
            job.message = (
                f"Its process ended without a word {job.attempts} times (killed, perhaps for memory): see the "
                "service's log, then start it again with POST /retrain or `wheeltapper retrain`."
            )
    return list(dead)
