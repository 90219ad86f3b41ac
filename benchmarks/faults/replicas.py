"""Faults of company: two services over one PostgreSQL and one artifacts folder, answered and swapped at once.

Here: what is done, and what must hold. Not here: the processes (`running`), one service alone (`answers`,
`retraining`).

What must hold: an answer is stored once, whichever service it is sent to, and whichever hears it second; both services
follow a promotion that one of them was asked for; no request fails meanwhile, and none is answered by a mixture.
"""

from __future__ import annotations

import base64
import math
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sqlalchemy import select

from audio_pipeline.artifacts import ModelStore
from audio_pipeline.clip import to_wav
from audio_pipeline.detector.rate import with_false_alarm_rate
from benchmarks.faults.answers import demo_model, rebuilds_identically, settle
from benchmarks.faults.fault import Fault, Outcome
from benchmarks.faults.running import Killable, postgres, store_predictions, wait_for
from serve.database.connection import Database
from serve.database.tables import Answer

_CLIENTS = 16


@dataclass(frozen=True)
class Swap:
    """A promotion: when it was asked for and when that was answered (monotonic seconds), and what serves since."""

    asked: float
    since: float
    version: str


@dataclass
class Load:
    """Sends clips to a service, one after the other, until it is told to stop; remembers every answer."""

    service: Killable
    failed: Counter[int] = field(default_factory=Counter)
    seen: list[tuple[float, str, float]] = field(default_factory=list)
    """When the request was sent, which version answered, its threshold."""

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set."""
        sound = np.random.default_rng(0).normal(0, 0.05, 16_000).astype(np.float32)
        body = {"audio_base64": base64.b64encode(to_wav(sound)).decode(), "machine": "fan/id_00"}
        while not stop.is_set():
            sent = time.monotonic()
            status, said = self.service.ask("POST", "/predict", body)
            if status == 200:
                self.seen.append((sent, said["model_version"], said["threshold"]))
            else:
                self.failed[status] += 1

    def followed(self, swap: Swap) -> float | None:
        """Return when a request was sent that the new version answered; None: none has been."""
        return next((sent for sent, model, _ in self.seen if sent >= swap.since and model == swap.version), None)

    def strays(self, swap: Swap, until: float) -> int:
        """Count the answers of the old version to what was sent after the new one had answered."""
        first = self.followed(swap)
        assert first is not None
        return sum(first < sent < until and model != swap.version for sent, model, _ in self.seen)


def _mixed(loads: Sequence[Load]) -> int:
    """Count the answers whose threshold is not their version's."""
    thresholds: dict[str, float] = {}
    return sum(
        thresholds.setdefault(version, threshold) != threshold for load in loads for _, version, threshold in load.seen
    )


def _services(stack: ExitStack, folder: Path, models: Path, url: str, *, shared: bool) -> list[Killable]:
    """Start two services; their data folder is one, as on a shared volume, or each has its own."""
    services = []
    for name in ("one", "two"):
        home = folder / name
        home.mkdir()
        data = (folder if shared else home) / "data"
        data.mkdir(exist_ok=True)
        service = Killable(
            home,
            models,
            {
                "DATABASE_URL": url,
                "WHEELTAPPER_DATA": str(data),
                "WHEELTAPPER_AUDIT_SHARE": "0",
                "RETRAIN_EVERY": "0",
            },
        )
        service.data = data
        stack.callback(service.kill)
        service.start()
        services.append(service)
    for service in services:
        service.wait_ready()
    return services


def _swap(service: Killable, path: str, version: str, loads: Sequence[Load]) -> Swap:
    """Swap through one service, and wait until both have followed."""
    asked = time.monotonic()
    status, body = service.ask("POST", path, {"reason": "faults"})
    assert status == 200, (status, body)
    swap = Swap(asked, time.monotonic(), version)
    wait_for(lambda: all(load.followed(swap) is not None for load in loads), 120, f"both follow to {version}")
    return swap


def replicas(rounds: int, artifacts: Path | None = None, count: int = 1000, within_s: float = 5.0) -> Outcome:
    """Answer over both services, each answer to both; promote through one of them, roll back through the other."""
    doubled = missing = failed = mixed = strays = scored = 0
    same = True
    slowest = 0.0
    for number in range(rounds):
        with ExitStack() as stack:
            folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="wt-faults-", ignore_cleanup_errors=True))
            )
            folder.chmod(0o755)
            (folder / "postgres").mkdir()
            url, _ = stack.enter_context(postgres(folder / "postgres"))
            models = folder / "artifacts"
            shutil.copytree(artifacts or demo_model(), models)
            store = ModelStore(models)
            current = store.current()
            assert current is not None
            other = with_false_alarm_rate(store, current.model, 0.2)
            names = store_predictions(url, models, count, number)
            services = _services(stack, folder, models, url, shared=number % 2 == 0)

            stop = threading.Event()
            loads = [Load(service) for service in services]
            threads = [threading.Thread(target=load.run, args=(stop,), daemon=True) for load in loads]
            stack.callback(stop.set)
            for thread in threads:
                thread.start()
            with ThreadPoolExecutor(_CLIENTS) as people:
                answering = people.map(_answer, [(name, service) for name in names for service in services])
                swapped = [
                    _swap(services[0], f"/models/{other}/promote", other, loads),
                    _swap(services[1], "/models/rollback", current.model, loads),
                ]
                statuses = Counter(answering)
            stop.set()
            for thread in threads:
                thread.join()

            database = Database(url)
            stack.callback(database.close)
            with database.read() as session:
                missing += count - len(session.scalars(select(Answer.prediction_id)).all())
            if statuses != {201: count, 200: count}:
                doubled += abs(statuses[201] - count)
                missing += 2 * count - statuses[200] - statuses[201]
            for service in services:
                same = same and settle(service, database, models) and rebuilds_identically(service, models, url)
            for swap, until in zip(swapped, (swapped[1].asked, math.inf), strict=True):
                slowest = max(slowest, *((load.followed(swap) or math.inf) - swap.since for load in loads))
                strays += sum(load.strays(swap, until) for load in loads)
            failed += sum(sum(load.failed.values()) for load in loads)
            scored += sum(len(load.seen) for load in loads)
            mixed += _mixed(loads)
    return Outcome(
        passed=doubled == missing == failed == mixed == strays == 0 and slowest <= within_s and same,
        rounds=rounds,
        figures={
            "answers a round, each sent to both services": count,
            "stored twice": doubled,
            "missing": missing,
            "tables and rebuilt tables": "identical" if same else "DIFFERENT",
            "swaps": 2 * rounds,
            "seconds until the slower service had followed, at most": round(slowest, 1),
            "answers of the old version after the new one had answered": strays,
            "clips scored meanwhile": scored,
            "of them failed": failed,
            "of neither version": mixed,
        },
    )


def _answer(task: tuple[str, Killable]) -> int:
    name, service = task
    word = "anomaly" if int(name[:4], 16) % 2 else "normal"
    return service.ask("POST", "/feedback", {"prediction_id": name, "answer": word})[0]


FAULTS = {
    "replicas": Fault(
        "two services over one PostgreSQL and one artifacts folder are answered at once and swapped; each answer is "
        "stored once, both follow within five seconds, no request fails",
        2,
        replicas,
    )
}
