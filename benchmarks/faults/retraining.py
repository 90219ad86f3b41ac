"""Faults around retraining and what serves: the retrain killed, its database gone, models damaged, swaps without end.

Here: what is done, and what must hold. Not here: the processes (`running`), the table (`fault`).

What must hold, always: `current.json` names a version that loads, and it is the one that the ledger names last; a job
ends as promoted, kept or failed with a reason, whatever happened to its process; nothing is promoted twice by one job.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import cast

import numpy as np
from pydantic import SecretStr
from sqlalchemy import select
from threadpoolctl import threadpool_limits

from audio_pipeline.artifacts import ModelStore
from audio_pipeline.clip import decode, to_wav
from audio_pipeline.detector.rate import with_false_alarm_rate
from audio_pipeline.detector.training import train
from audio_pipeline.encoder import DEFAULT_ENCODER, read_manifest
from audio_pipeline.reference import Reference, write_reference
from audio_pipeline.scoring import Scorer
from benchmarks.faults.fault import Fault, Outcome
from benchmarks.faults.running import KEY, postgres
from serve.database import answers, jobs, leases, ledger
from serve.database.connection import Database
from serve.database.predictions import record, to_bytes
from serve.database.retrain_tables import Job, LedgerEntry
from serve.models.current import ServedModel
from serve.models.promotion import Promotion
from serve.observability.metrics import Metrics
from serve.retraining.__main__ import main as retraining_main
from serve.retraining.dispatcher import Retraining
from serve.settings import Settings

OLD, NEW = "fan/id_00", "pump/id_07"
"""The machine of the reference, and one that only answers tell about."""
_PATIENCE_S = 900.0


@cache
def _made() -> Path:
    """A data folder and artifacts whose model knows one machine, made once for all faults."""
    folder = Path(tempfile.mkdtemp(prefix="wheeltapper-faults-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    encoder = read_manifest(DEFAULT_ENCODER)
    shutil.copytree(DEFAULT_ENCODER, folder / "artifacts" / "encoders" / encoder.name)
    rows = 40
    text = np.array([""] * rows, np.str_)
    reference = Reference(
        vectors=_sounds(rows, OLD, 1),
        targets=np.zeros(rows, bool),
        clips=np.array([f"{row:064x}" for row in range(rows)]),
        paths=np.array([f"{row}.wav" for row in range(rows)]),
        machines=np.array([OLD] * rows),
        domains=text,
        splits=text,
        groups=np.array([f"{OLD}/{row}" for row in range(rows)]),
        starts_s=np.zeros(rows),
        ends_s=np.full(rows, 10.0),
        levels_db=np.full(rows, -30.0),
        encoder_name=encoder.name,
        encoder_sha256=encoder.sha256,
    )
    reference = write_reference(folder / "data", reference)
    version = train(reference, encoder, folder / "artifacts").name
    ModelStore(folder / "artifacts").set_current(version)
    return folder


def _sounds(count: int, machine: str, seed: int, *, faulty: bool = False) -> np.ndarray:
    """float32[count, n]: windows of a machine, as an encoder might make them."""
    width = read_manifest(DEFAULT_ENCODER).dimensions
    place = np.random.default_rng(sum(machine.encode())).normal(0, 3, width)
    away = np.random.default_rng(99).normal(0, 2, width) if faulty else 0.0
    return np.asarray(place + away + np.random.default_rng(seed).normal(0, 1, (count, width)), np.float32)


class Site:
    """A folder of its own with people's answers about a machine that the model does not know.

    Parameters
    ----------
    folder
        Empty.
    url
        Of the database; None: the embedded one.
    """

    def __init__(self, folder: Path, url: str | None = None) -> None:
        shutil.copytree(_made(), folder, dirs_exist_ok=True)
        self.settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            data_dir=folder / "data",
            artifacts_dir=folder / "artifacts",
            api_key=SecretStr(KEY),
            database_url=url,
            retrain_every=0,
            n8n_url="http://127.0.0.1:9",
        )
        self.database = Database(self.settings.database)
        self.database.migrate()
        self.store = ModelStore(self.settings.artifacts_dir)
        self.promotion = Promotion(self.database, self.settings)
        self.promotion.note_what_serves()
        self.champion = self.promotion.serving()
        self._answer(_sounds(40, NEW, 2), "normal")
        self._answer(_sounds(40, NEW, 3, faulty=True), "anomaly")

    def _answer(self, vectors: np.ndarray, word: answers.AnswerWord) -> None:
        encoder, now = read_manifest(DEFAULT_ENCODER), datetime.now(UTC)
        with self.database.write() as session:
            for vector in vectors:
                name, clip = uuid.uuid4(), hashlib.sha256(vector.tobytes()).hexdigest()
                record(
                    session,
                    {"sha256": clip, "path": "none", "duration_s": 10.0, "native_rate": 16_000, "channels": 1,
                     "created": now},
                    {"id": name, "created": now, "clip_sha256": clip, "filename": None, "machine": NEW,
                     "anomaly": True, "score": 9.0, "threshold": 2.0, "p_value": 0.01, "rate_asked": 0.01,
                     "rate_used": 0.02, "model_version": self.champion, "encoder": encoder.name,
                     "encoder_sha256": encoder.sha256, "confirmed": 0, "deciding_window": 0,
                     "sensor": {"ok": True, "findings": []}, "episode_id": None},
                    [{"prediction_id": name, "position": 0, "start_s": 0.0, "end_s": 10.0, "score": 9.0,
                      "p_value": 0.01, "vector": to_bytes(vector)}],
                )  # fmt: skip
                answers.give(session, answers.Given(name, word), now)

    def retraining(self) -> Retraining:
        """The service's side of a retrain, without the service."""
        return _Forking(self.settings, self.database, self.promotion, Metrics())

    def over(self, job_id: uuid.UUID) -> bool:
        """Whether a job has ended."""
        with self.database.read() as session:
            return session.get_one(Job, job_id).finished is not None

    def wrongs(self, job_id: uuid.UUID) -> list[str]:
        """Tell in words what does not hold after a job."""
        found = []
        current = self.store.current()
        assert current is not None
        Scorer.load(self.settings.artifacts_dir)
        with self.database.read() as session:
            job = session.get_one(Job, job_id)
            last = ledger.last_switch(session)
            promotions = session.scalars(
                select(LedgerEntry).where(LedgerEntry.job_id == job_id, LedgerEntry.action == "promoted")
            ).all()
            if job.status not in ("promoted", "kept_champion", "failed") or not job.message:
                found.append(f"job {job.status} '{job.message}'")
            if last is None or last.model_version != current.model:
                found.append("the ledger names another version")
            if len(promotions) > 1:
                found.append("promoted twice")
            if (job.status == "promoted") != (current.model != self.champion):
                found.append(f"job {job.status}, and {current.model} serves")
            if leases.holder(session, jobs.LEASE) is not None:
                found.append("the lease is still held")
        return found


class _Forked:
    """A retrain's process that begins with everything imported: what is killed is work, not the start of Python."""

    def __init__(self, environment: Mapping[str, str], arguments: Sequence[str]) -> None:
        self._code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.environ.update(environment)
                threadpool_limits(1)  # as the service has it; the variable that says so is read at the start of Python
                sys.argv = ["serve.retraining", *arguments]
                code = retraining_main(niceness=0)
            finally:
                os._exit(code)

    def poll(self) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float = _PATIENCE_S) -> int:
        give_up = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > give_up:
                raise subprocess.TimeoutExpired("the retrain", timeout)
            time.sleep(0.05)
        return self._code or 0


class _Forking(Retraining):
    """The service's side, whose processes are forked."""

    def _begin(self, job_id: uuid.UUID, owner: str) -> subprocess.Popen[bytes]:
        environment = {
            "DATABASE_URL": self._settings.database,
            "WHEELTAPPER_DATA": str(self._settings.data_dir),
            "WHEELTAPPER_ARTIFACTS": str(self._settings.artifacts_dir),
        }
        return cast("subprocess.Popen[bytes]", _Forked(environment, [str(job_id), "--owner", owner]))


def _at_work_or_over(site: Site, watcher: Retraining, job_id: uuid.UUID) -> bool:
    return watcher.pid is not None or site.over(job_id)


def _is_gone(watcher: Retraining, pid: int) -> bool:
    return watcher.pid != pid


def _until(done: Callable[[], bool], meanwhile: Callable[[], object], what: str) -> None:
    give_up = time.monotonic() + _PATIENCE_S
    while not done():
        if time.monotonic() > give_up:
            raise TimeoutError(f"{what}: not within {_PATIENCE_S:.0f} s")
        meanwhile()
        time.sleep(0.05)


class _Tally:
    """What became of the jobs, over all rounds."""

    def __init__(self) -> None:
        self._outcomes: Counter[str] = Counter()
        self._wrongs: list[str] = []

    def note(self, site: Site, job_id: uuid.UUID) -> None:
        """Count a job that is over, look at what does not hold, and let the first champion serve again."""
        with site.database.read() as session:
            self._outcomes[session.get_one(Job, job_id).status] += 1
        self._wrongs += site.wrongs(job_id)
        if site.promotion.serving() != site.champion:
            site.promotion.promote(site.champion, by="faults", reason="The next round.")

    def outcome(self, rounds: int, **more: int) -> Outcome:
        """Sum up; `more` are further figures, with underscores for spaces."""
        wrongs = self._wrongs
        return Outcome(
            passed=not wrongs,
            rounds=rounds,
            figures={
                **{words.replace("_", " "): count for words, count in more.items()},
                **{f"jobs {status}": count for status, count in sorted(self._outcomes.items())},
                "things that do not hold": f"{len(wrongs)}, the first: {wrongs[0]}" if wrongs else 0,
            },
        )


def kill_retrain(rounds: int) -> Outcome:
    """Kill the retrain's process after a random time, now and then the second attempt too."""
    draw = random.Random(1)
    tally = _Tally()
    killed = 0
    longest = 2.0
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder) / "site")
        watcher = site.retraining()
        for _ in range(rounds):
            job_id = watcher.ask("manual", "")[0].id
            kills = 1 if draw.random() < 0.8 else jobs.MAX_ATTEMPTS
            while True:
                _until(partial(_at_work_or_over, site, watcher, job_id), watcher.look, "a process for the job")
                pid = watcher.pid
                if pid is None:
                    break
                begun = time.monotonic()
                if kills:
                    kills -= 1
                    time.sleep(draw.uniform(0, longest))
                    try:
                        os.kill(pid, signal.SIGKILL)
                        killed += not site.over(job_id)
                    except ProcessLookupError:
                        pass
                _until(partial(_is_gone, watcher, pid), watcher.look, "the end of the process")
                if not kills:
                    longest = max(longest, min(1.2 * (time.monotonic() - begun), 12.0))
                if site.over(job_id):
                    break
            watcher.look()
            tally.note(site, job_id)
        watcher.close()
        site.database.close()
    return tally.outcome(rounds, processes_killed_before_their_job_was_over=killed)


def database_away(rounds: int) -> Outcome:
    """Crash PostgreSQL at a random moment of a retrain, and start it again."""
    draw = random.Random(2)
    tally = _Tally()
    with tempfile.TemporaryDirectory(prefix="wt") as folder:
        cluster = Path(folder) / "cluster"
        cluster.mkdir()
        Path(folder).chmod(0o755)
        with postgres(cluster) as (url, server):
            site = Site(Path(folder) / "site", url)
            watcher = site.retraining()
            for _ in range(rounds):
                job_id = watcher.ask("manual", "")[0].id
                _until(lambda: watcher.pid is not None, watcher.look, "a process for the job")
                time.sleep(draw.uniform(0, 2))
                server.stop("immediate")
                for _ in range(draw.randrange(1, 5)):
                    watcher.look()  # meets no database, and says so
                    time.sleep(0.3)
                server.start()
                _until(partial(site.over, job_id), watcher.look, "the end of the job")
                _until(lambda: watcher.pid is None, watcher.look, "the end of the process")
                tally.note(site, job_id)
            watcher.close()
            site.database.close()
    return tally.outcome(rounds)


@contextmanager
def _two_versions() -> Iterator[tuple[ModelStore, ServedModel, tuple[str, str]]]:
    """Artifacts of their own with two versions, of which the first serves."""
    with tempfile.TemporaryDirectory() as folder:
        artifacts = Path(folder) / "artifacts"
        shutil.copytree(_made() / "artifacts", artifacts)
        store = ModelStore(artifacts)
        current = store.current()
        assert current is not None
        served = ServedModel(artifacts, Metrics())
        served.look()
        yield store, served, (current.model, with_false_alarm_rate(store, current.model, 0.2))


def corrupt_model(rounds: int) -> Outcome:
    """Damage the version that `current.json` names in one way after the other, while clips are scored."""
    draw = random.Random(3)
    wrong = 0
    clip = decode(to_wav(np.sin(np.arange(16_000) / 9).astype(np.float32) * 0.1))
    with _two_versions() as (store, served, (champion, other)):
        expected = served.scorer.score(clip, OLD).score
        good = {path.name: path.read_bytes() for path in (store.models / other).iterdir()}
        for number in range(rounds):
            name = draw.choice(["classifier.onnx", "model.json"])
            path = store.models / other / name
            _damage(path, good[name], number, draw)
            # As a promotion that verified it a moment before it was damaged would leave things.
            named = store.root / "current.json"
            named.write_text(named.read_text().replace(champion, other))
            served.look()
            wrong += served.problem is None or served.scorer.model != champion
            wrong += served.scorer.score(clip, OLD).score != expected
            path.write_bytes(good[name])
            store.set_current(champion)
            served.look()
            wrong += served.problem is not None
    return Outcome(
        passed=wrong == 0, rounds=rounds, figures={"times the wrong model served or nothing was said": wrong}
    )


def _damage(path: Path, good: bytes, number: int, draw: random.Random) -> None:
    match number % 5:
        case 0:
            path.write_bytes(good[: draw.randrange(len(good))])
        case 1:
            path.write_bytes(b"\0" * len(good))
        case 2:
            place = draw.randrange(len(good))
            path.write_bytes(good[:place] + bytes([good[place] ^ (1 << draw.randrange(8))]) + good[place + 1 :])
        case 3:
            path.unlink()
        case _:
            path.write_bytes(draw.randbytes(len(good)))


def swaps(rounds: int) -> Outcome:
    """Swap two versions back and forth under load; memory must stay flat, and no score may be of neither."""
    clip = decode(to_wav(np.sin(np.arange(16_000) / 9).astype(np.float32) * 0.1))
    with _two_versions() as (store, served, versions):
        stop, scored, mixed = threading.Event(), [0, 0], [0, 0]

        def load(number: int) -> None:
            thresholds: dict[str, float] = {}
            while not stop.is_set():
                verdict = served.scorer.score(clip, OLD)
                scored[number] += 1
                mixed[number] += thresholds.setdefault(verdict.model_version, verdict.threshold) != verdict.threshold

        clients = [threading.Thread(target=load, args=(number,)) for number in range(2)]
        for client in clients:
            client.start()
        memory: list[float] = []
        for number in range(rounds):
            store.set_current(versions[(number + 1) % 2])
            served.look()
            assert served.scorer.model == versions[(number + 1) % 2], served.problem
            memory.append(_resident_mib())
        stop.set()
        for client in clients:
            client.join()
    settled = memory[len(memory) // 5 :]
    grown = float(np.median(settled[-max(1, len(settled) // 10) :]) - np.median(settled[: max(1, len(settled) // 10)]))
    return Outcome(
        passed=sum(mixed) == 0 and grown < 20,
        rounds=rounds,
        figures={
            "clips scored meanwhile": sum(scored),
            "answers of neither version": sum(mixed),
            "MiB in memory at the end": round(memory[-1]),
            "MiB more than after the first fifth": round(grown, 1),
        },
    )


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


FAULTS = {
    "kill-retrain": Fault(
        "the retrain's process is killed at a random moment, one time in five the second attempt too; what serves "
        "loads, the ledger agrees, the job ends with a reason",
        100,
        kill_retrain,
    ),
    "database-away-retrain": Fault(
        "PostgreSQL crashes during a retrain and comes back; the same must hold", 10, database_away
    ),
    "corrupt-model": Fault(
        "the model that current.json names is cut, zeroed, flipped by a bit, removed or overwritten; the old one "
        "serves, and it is said",
        100,
        corrupt_model,
    ),
    "swaps": Fault("the model is swapped while clips are scored; memory stays flat, no answer is mixed", 500, swaps),
}
