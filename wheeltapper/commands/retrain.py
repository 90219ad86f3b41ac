"""`wheeltapper retrain`: what the service's retrain does, from the shell or a schedule.

Here: the job, run in this process, and what came of it. Not here: the retrain itself (`serve.retraining`).
"""

from __future__ import annotations

import enum
import os
import socket
import time
import uuid
from typing import Annotated

import typer

from serve.database import counters, jobs
from serve.database.answers import ROWS
from serve.database.connection import Database
from serve.database.retrain_tables import Job
from serve.models.schemas import JobAnswer, job_answer
from serve.retraining.job import Retrain
from serve.settings import Settings
from wheeltapper.database import opened
from wheeltapper.options import ARTIFACTS, DATA, ArtifactsFolder, AsJson, DataFolder, print_json


class Reason(enum.StrEnum):
    """Why, as the job says."""

    manual = "manual"
    schedule = "schedule"
    drift = "drift"
    quality = "quality"


class Mode(enum.StrEnum):
    """How; left out: RETRAIN_MODE."""

    scratch = "scratch"
    warm = "warm"
    finetune = "finetune"


def retrain(
    reason: Annotated[Reason, typer.Option(help="Kept with the job.")] = Reason.manual,
    detail: Annotated[str, typer.Option(help="Kept with the job, in words.")] = "",
    mode: Annotated[Mode | None, typer.Option(help="How to train; by default RETRAIN_MODE.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the result; else a running service does the work.")] = True,
    data: DataFolder = DATA,
    artifacts: ArtifactsFolder = ARTIFACTS,
    as_json: AsJson = False,
) -> None:
    """Train a challenger on the reference and all answers; it serves if it beats the champion on held-out clips.

    One retrain runs at a time: while another one does, that one is waited for. DATABASE_URL names the database.
    Exit code 3: the retrain failed.
    """
    with opened(data, artifacts) as (settings, database):
        job = _queue(database, settings, reason, detail, mode, claimed=wait)
        if wait:
            job = _run(database, settings, job.id)
        answer = job_answer(job)
    if as_json:
        print_json(answer.model_dump(mode="json"))
    else:
        _tell(answer)
    if answer.status == "failed":
        raise typer.Exit(3)


def _queue(
    database: Database, settings: Settings, reason: Reason, detail: str, mode: Mode | None, *, claimed: bool
) -> Job:
    with database.write() as session:
        seen = counters.last(session, ROWS)
        how: jobs.Mode = mode.value if mode is not None else settings.retrain_mode
        job, new = jobs.create(session, reason.value, detail, how, seen)
        if new and claimed:
            jobs.claim(session, job.id)  # a service beside us leaves it to this process
        if not new:
            typer.echo(f"A retrain is under way already ({job.reason}).", err=True)
        return job


def _run(database: Database, settings: Settings, job_id: uuid.UUID) -> Job:
    owner = f"{socket.gethostname()} {os.getpid()} {uuid.uuid4()}"
    told = ""
    while True:
        Retrain(settings, database, owner).run(job_id)
        with database.read() as session:
            job = session.get_one(Job, job_id)
        if job.finished is not None:
            return job
        if job.progress and job.progress != told:
            told = job.progress
            typer.echo(f"{told} ...", err=True)
        time.sleep(1)


def _tell(job: JobAnswer) -> None:
    if job.finished is None:
        typer.echo(f"Retrain {job.job_id} is {job.status}; GET /retrain/{job.job_id} or the portal tells more.")
        return
    word = {
        "promoted": f"{job.challenger} serves now (before: {job.champion or 'none'}).",
        "kept_champion": f"{job.champion} still serves; {job.challenger} is kept, not promoted.",
        "failed": "The retrain failed.",
    }[job.status]
    typer.echo(f"{word}\n{job.message}")
