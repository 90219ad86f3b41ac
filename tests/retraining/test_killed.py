"""Dead owners: a lease that runs out, and a retrain killed between the swap and its record."""

from __future__ import annotations

import os
import signal
import time
import uuid
import zipfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from audio_pipeline.artifacts import ModelStore
from audio_pipeline.reference import Reference, read_reference, write_reference
from benchmarks.faults.retraining import Site
from serve.database import jobs, leases, ledger
from serve.database.connection import Database
from serve.database.retrain_tables import Job, Lease
from serve.retraining import job as job_module
from serve.retraining.job import Retrain, Stopped
from tests.retraining.site import sound


def test_a_lease_is_one_owners_until_it_is_given_back_or_runs_out(database_url: str) -> None:
    database = Database(database_url)
    database.migrate()

    def take(owner: str, seconds: float = 60) -> bool:
        with database.write() as session:
            return leases.take(session, "retrain", owner, seconds)

    assert take("first", 0.5)
    assert not take("second")
    assert take("first", 0.5)  # its own may be taken again
    end = time.monotonic() + 30
    while not take("second"):
        assert time.monotonic() < end
        time.sleep(0.05)
    with pytest.raises(leases.LeaseLost), database.write() as session:
        leases.renew(session, "retrain", "first", 60)
    with database.write() as session:
        leases.give_back(session, "retrain", "first")  # not its own: nothing happens
    assert not take("third")
    with database.write() as session:
        leases.give_back(session, "retrain", "second")
    assert take("third")
    database.close()


def test_a_lease_is_renewed_while_the_work_lasts(database_url: str) -> None:
    database = Database(database_url)
    database.migrate()

    def expires() -> datetime:
        with database.read() as session:
            return session.get_one(Lease, "retrain").expires

    with leases.held(database, "retrain", "first", 3) as had:
        assert had
        taken, end = expires(), time.monotonic() + 60
        while expires() == taken:
            assert time.monotonic() < end
            time.sleep(0.1)
        assert expires() > taken
    with leases.held(database, "retrain", "second", 60) as now:  # given back at the end
        assert now
    database.close()


@pytest.mark.parametrize("ending", [OSError("its archive is gone"), Stopped()])
def test_a_retrain_that_was_taken_for_dead_leaves_the_job_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: BaseException
) -> None:
    site = Site(tmp_path / "site")
    job_id = site.retraining().ask("manual", "")[0].id
    retrain = Retrain(site.settings, site.database, "first")

    def halted(_job: Job) -> str:
        with site.database.write() as session:  # longer than the lease lasts: another process is at the job
            session.execute(leases.free(jobs.LEASE))
            assert leases.take(session, jobs.LEASE, "second", 60)
        raise ending

    monkeypatch.setattr(retrain, "_run", halted)
    with suppress(Stopped):
        assert retrain.run(job_id) is None
    with site.database.read() as session:
        assert session.get_one(Job, job_id).status == "running"
        assert leases.holder(session, jobs.LEASE) == "second"
    site.database.close()


def test_a_retrain_that_is_interrupted_by_hand_is_not_counted_as_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path / "site")
    job_id = site.retraining().ask("manual", "")[0].id
    retrain = Retrain(site.settings, site.database, "first")

    def interrupted(_job: Job) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(retrain, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        retrain.run(job_id)
    with site.database.read() as session:
        job = session.get_one(Job, job_id)
        assert (job.status, job.attempts) == ("queued", 0)
    site.database.close()


def test_killed_when_new_recordings_are_in_the_reference_the_job_goes_on_with_them(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    archive = site.settings.data_dir / "uploads" / "one" / "hall.zip"
    archive.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w") as opened:
        for seed in range(6):
            opened.writestr(f"valve/id_01/normal/{seed:08d}.wav", sound(seed))
    job_id = site.retraining().ask("reference", "", upload="uploads/one/hall.zip")[0].id
    site.database.close()
    child = os.fork()
    if child == 0:

        def write_and_die(folder: Path, reference: Reference) -> None:
            write_reference(folder, reference)
            os.kill(os.getpid(), signal.SIGKILL)

        try:
            job_module.write_reference = write_and_die  # type: ignore[assignment]
            Retrain(site.settings, Database(site.settings.database), "first").run(job_id)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with site.database.write() as session:
        leases.give_back(session, jobs.LEASE, "first")
        jobs.bury(session)
    assert Retrain(site.settings, site.database, "second").run(job_id) != "failed"
    assert (read_reference(site.settings.data_dir).machines == "valve/id_01").sum() == 6
    assert not archive.parent.exists()
    site.database.close()


def test_killed_between_the_swap_and_its_record_the_job_ends_as_promoted_once(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    job_id = site.retraining().ask("manual", "")[0].id
    site.database.close()
    child = os.fork()
    if child == 0:
        replace = ModelStore.set_current

        def replace_and_die(store: ModelStore, version: str) -> None:
            replace(store, version)
            os.kill(os.getpid(), signal.SIGKILL)

        try:
            ModelStore.set_current = replace_and_die  # type: ignore[method-assign]
            Retrain(site.settings, Database(site.settings.database), "first").run(job_id)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    serving = site.promotion.serving()
    assert serving != site.champion
    with site.database.read() as session:
        job = session.get_one(Job, job_id)
        assert (job.status, job.challenger) == ("running", serving)
        last = ledger.last_switch(session)
        assert last is not None
        assert last.model_version == site.champion
    with site.database.write() as session:  # as its parent does, or anybody once the lease has run out
        leases.give_back(session, jobs.LEASE, "first")
        jobs.bury(session)
    assert Retrain(site.settings, site.database, f"second {uuid.uuid4()}").run(job_id) == "promoted"
    assert site.wrongs(job_id) == []
    assert site.promotion.serving() == serving
    site.database.close()


def test_killed_when_its_job_was_over_a_retrain_does_not_keep_the_next_one_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path / "site")
    watcher, own, give_back = site.retraining(), os.getpid(), leases.give_back

    def killed_in_the_child(session: Session, name: str, owner: str) -> None:
        if os.getpid() != own:
            os.kill(os.getpid(), signal.SIGKILL)
        give_back(session, name, owner)

    monkeypatch.setattr(leases, "give_back", killed_in_the_child)
    job_id = watcher.ask("manual", "")[0].id
    end = time.monotonic() + 120
    while not site.over(job_id) or watcher.pid is not None:
        assert time.monotonic() < end
        watcher.look()
        time.sleep(0.05)
    with site.database.read() as session:
        assert leases.holder(session, jobs.LEASE) is None
    assert site.wrongs(job_id) == []
    site.database.close()
