"""`/retrain…`: start a retraining, follow it, read what came of earlier ones."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from serve.database import jobs
from serve.database.retrain_tables import Job
from serve.deps import ServiceDep, SessionDep
from serve.http.problems import Problem, Refused
from serve.models.schemas import JobAnswer, JobPage, RetrainRequest, job_answer

router = APIRouter(prefix="/retrain", tags=["retrain"], responses={404: {"model": Problem}})


@router.post("", status_code=202, responses={200: {"model": JobAnswer}})
def start_retrain(service: ServiceDep, response: Response, request: RetrainRequest | None = None) -> JobAnswer:
    """Queue a retraining; while one is under way, that one is answered (200)."""
    asked = request or RetrainRequest()
    job, new = service.retraining.ask(asked.reason, asked.detail, asked.mode)
    response.status_code = 202 if new else 200
    return job_answer(job)


@router.get("")
def list_jobs(session: SessionDep, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> JobPage:
    """Read jobs, newest first."""
    return JobPage(jobs=[job_answer(job) for job in jobs.latest(session, limit)])


@router.get("/{job_id}")
def read_job(job_id: uuid.UUID, session: SessionDep) -> JobAnswer:
    """Read one job."""
    job = session.get(Job, job_id)
    if job is None:
        raise Refused(404, "unknown_job", f"There is no job {job_id}: see GET /retrain.")
    return job_answer(job)
