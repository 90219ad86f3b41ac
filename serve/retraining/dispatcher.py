"""The service's side of retraining: asks for it, starts its process, notices when that process dies.

    every second:  note what serves ─► enough answers? ─► a job waits? ─► start `python -m serve.retraining JOB`
                   └─► a job runs and nobody holds the lease? ─► it is begun again, or failed

The process is a child with low priority and one thread for numerics, so that clips go first. It holds the lease
itself: services on other machines see it, and one that outlives its service goes on.

Here: looking and starting. Not here: what the process does (`job`).
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import uuid

from sqlalchemy.exc import SQLAlchemyError

from audio_pipeline.errors import WheeltapperError
from serve.database import counters, jobs, leases
from serve.database.answers import ROWS
from serve.database.connection import Database
from serve.database.retrain_tables import Job
from serve.models.promotion import Promotion
from serve.observability.metrics import Metrics
from serve.settings import Settings

logger = logging.getLogger(__name__)

_END_WITHIN_S = 10.0


class Retraining:
    """Starts retraining processes, one at a time, and sees to it that none is forgotten.

    Parameters
    ----------
    settings, database, promotion, metrics
        Of the service.
    """

    def __init__(self, settings: Settings, database: Database, promotion: Promotion, metrics: Metrics) -> None:
        self._settings = settings
        self._database = database
        self._promotion = promotion
        self._metrics = metrics
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = ""
        self._alone = threading.Lock()
        self._closed = False
        self._counted: set[uuid.UUID] | None = None

    def ask(
        self, reason: jobs.Reason, detail: str, mode: jobs.Mode | None = None, upload: str | None = None
    ) -> tuple[Job, bool]:
        """Queue a job, unless one is under way; tell which it is, and whether it is new."""
        with self._database.write() as session:
            seen = counters.last(session, ROWS)
            return jobs.create(session, reason, detail, mode or self._settings.retrain_mode, seen, upload)

    def look(self) -> None:
        """Do what is due, once; whatever goes wrong is logged, and tried again at the next look."""
        with self._alone:
            if self._closed:
                return
            try:
                self._promotion.note_what_serves()
                self._mind_the_process()
                self._ask_when_answers_are_enough()
                self._start_what_waits()
                self._count()
            except (SQLAlchemyError, WheeltapperError, OSError) as error:
                logger.warning("Retraining cannot be looked after right now: %s", error)

    def close(self) -> None:
        """End the process, if it runs; its job is begun again by the next service."""
        with self._alone:  # a look that has begun may still start a process
            self._closed = True
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_END_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        try:
            self._mind_the_process()
        except SQLAlchemyError as error:
            logger.warning("The retrain that ended with the service is noticed by the next one: %s", error)

    @property
    def pid(self) -> int | None:
        """Of the process that runs, or has just ended; None: there is none."""
        return None if self._process is None else self._process.pid

    def answers_since(self) -> int:
        """Count the answers since the last automatic retrain."""
        with self._database.read() as session:
            last = jobs.last_automatic(session)
            return counters.last(session, ROWS) - (last.answers_seen if last else 0)

    def _mind_the_process(self) -> None:
        process = self._process
        ended = process is not None and process.poll() is not None
        if ended:
            self._process = None
        with self._database.read() as session:
            job = jobs.active(session)
            abandoned = (
                job is not None
                and job.status == "running"
                and leases.holder(session, jobs.LEASE) in (None, self._owner if ended else None)
            )
        if not abandoned:
            if ended:  # killed when its job was over already: the next one need not wait until its lease runs out
                with self._database.write() as session:
                    leases.give_back(session, jobs.LEASE, self._owner)
            return
        with self._database.write() as session:
            # Not to work, only to be sure that nobody does: of two services, one finds the job dead.
            if leases.take(session, jobs.LEASE, self._owner if ended else f"undertaker {uuid.uuid4()}", jobs.LEASE_S):
                for dead in jobs.bury(session):
                    logger.error("Retrain %s: %s", dead.id, dead.message)
                session.execute(leases.free(jobs.LEASE))

    def _ask_when_answers_are_enough(self) -> None:
        every = self._settings.retrain_every
        if every and (since := self.answers_since()) >= every:
            with self._database.read() as session:
                if jobs.active(session) is not None:
                    return  # they are counted again when it is over
            self.ask("answers", f"{since} new answers, and a retrain is due every {every}.")

    def _start_what_waits(self) -> None:
        if self._process is not None:
            return
        with self._database.read() as session:
            job = jobs.active(session)
            if job is None or job.status != "queued" or leases.holder(session, jobs.LEASE) is not None:
                return
        with self._database.write() as session:
            if not jobs.claim(session, job.id):
                return
        self._owner = f"{os.uname().nodename} {uuid.uuid4()}"
        self._process = self._begin(job.id, self._owner)
        logger.info("Retrain %s (%s) started as process %d.", job.id, job.reason, self._process.pid)

    def _begin(self, job_id: uuid.UUID, owner: str) -> subprocess.Popen[bytes]:
        """Start the process; it reads its settings from its environment (an argument could be seen by all)."""
        environment = {
            **os.environ,
            "DATABASE_URL": self._settings.database,
            "WHEELTAPPER_DATA": str(self._settings.data_dir),
            "WHEELTAPPER_ARTIFACTS": str(self._settings.artifacts_dir),
            "WHEELTAPPER_MAX_REFERENCE_BYTES": str(self._settings.max_reference_bytes),
            **{f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")},
        }
        return subprocess.Popen(
            [sys.executable, "-m", "serve.retraining", str(job_id), "--owner", owner],
            stdin=subprocess.DEVNULL,
            env=environment,
        )

    def _count(self) -> None:
        """Count jobs that ended since the last look, whoever ran them."""
        with self._database.read() as session:
            over = {job.id: job.status for job in jobs.latest(session, 50) if job.finished is not None}
            job = jobs.active(session)
        if self._counted is not None:
            for job_id in over.keys() - self._counted:
                self._metrics.retrains.labels(over[job_id]).inc()
        self._counted = set(over)
        self._metrics.retrain_running.set(job is not None and job.status == "running")
