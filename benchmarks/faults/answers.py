"""Faults while people answer: the service killed, the disk full or read-only, the database gone, n8n away.

Here: what is done, and what must hold. Not here: the processes (`running`), the table (`fault`).

What must hold, always: an answer that was acknowledged is in the database, once; `prod_data.csv` ends up with exactly
the rows that the database says, in the order of first answers, and `wheeltapper rebuild` writes the same bytes.
"""

from __future__ import annotations

import atexit
import http.server
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

import numpy as np
from sqlalchemy import select, update

from audio_pipeline.artifacts import ModelStore, find_encoder
from audio_pipeline.encoder import read_manifest
from audio_pipeline.reference import format_rows, header
from benchmarks.faults.fault import Fault, Outcome
from benchmarks.faults.running import Killable, PostgresServer, postgres, store_predictions
from serve.database.connection import Database
from serve.database.predictions import from_bytes
from serve.database.tables import Answer, OutboxMessage, Prediction, PredictionWindow, Question

CLIENTS = 8
A_ROUND = 40  # answers tried in one round: as many as fit before the kill
_WORDS = ("anomaly", "normal", "normal", "anomaly", "unsure")


class Ledger:
    """What people said and were told: the truth that the system is held against.

    Parameters
    ----------
    seed
        Of the draws.
    """

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(seed)
        self._possible: dict[str, set[str]] = {}
        self.acknowledged = 0
        self.refused: Counter[int] = Counter()

    def say(self, service: Killable, prediction: str) -> None:
        """Answer a prediction; one that has its answer is given another, by `override`."""
        with self._lock:
            before = self._possible.get(prediction, set())
            word = self._random.choice(_WORDS)
        body = {"prediction_id": prediction, "answer": word, "override": bool(before), "source": "api"}
        status, said = service.ask("POST", "/feedback", body)
        with self._lock:
            if status in (200, 201):
                assert said["answer"] == word, said
                self._possible[prediction] = {word}
                self.acknowledged += 1
            elif status == 0 or status >= 500:
                # Nobody knows: it may have been stored just before the kill. What stood may still stand.
                self._possible[prediction] = before | {word} | (set() if before else {"nothing"})
                self.refused[status] += 1
            else:
                raise AssertionError(f"an answer was refused with {status}: {said}")

    def losses(self, database: Database) -> int:
        """Count the predictions whose answer in the database is none that it can be."""
        with database.read() as session:
            stored = {str(name): word for name, word in session.execute(select(Answer.prediction_id, Answer.answer))}
        return sum(stored.get(name, "nothing") not in words for name, words in self._possible.items()) + len(
            stored.keys() - self._possible.keys()
        )


def expected_table(database: Database, artifacts: Path) -> bytes:
    """Write `prod_data.csv` the way the database says, by a way of its own."""
    current = ModelStore(artifacts).current()
    assert current is not None
    manifest = read_manifest(find_encoder(artifacts, current.encoder_sha256))
    lines = [",".join((*header(manifest.dimensions), "prediction")).encode() + b"\n"]
    with database.read() as session:
        found = session.execute(
            select(Answer.row, Answer.answer, Prediction.anomaly, PredictionWindow.vector, Prediction.deciding_window)
            .join(Prediction, Prediction.id == Answer.prediction_id)
            .join(PredictionWindow, PredictionWindow.prediction_id == Prediction.id)
            .where(PredictionWindow.position == Prediction.deciding_window)
        ).all()
    for _, word, verdict, vector, _ in sorted(found, key=lambda row: row[0] or 0):
        if word != "unsure":
            lines.append(format_rows(from_bytes(vector)[None, :], [f"{word == 'anomaly'},{verdict}"]))
    return b"".join(lines)


def is_whole(table: Path) -> bool:
    """Tell whether every line of the table is a whole row, right now."""
    if not table.exists():
        return True
    content = table.read_bytes()
    if not content:
        return False
    columns = content.partition(b"\n")[0].count(b",")
    lines = content.split(b"\n")
    return lines.pop() == b"" and all(line.count(b",") == columns for line in lines)


def answer_all(service: Killable, ledger: Ledger, names: Sequence[str], clients: int = CLIENTS) -> None:
    """Let so many clients answer these predictions."""
    with ThreadPoolExecutor(clients) as people:
        list(people.map(lambda name: ledger.say(service, name), names))


def settle(service: Killable, database: Database, artifacts: Path) -> bool:
    """Wait until the running service's table is what the database says; False when it does not come to that."""
    expected = expected_table(database, artifacts)
    table = service.data / "prod_data.csv"
    give_up = time.monotonic() + 60
    while not (table.exists() and table.read_bytes() == expected):
        if time.monotonic() > give_up:
            return False
        time.sleep(0.1)
    return True


def rebuilds_identically(service: Killable, artifacts: Path, url: str) -> bool:
    """Run `wheeltapper rebuild` and compare, byte for byte."""
    table = service.data / "prod_data.csv"
    before = table.read_bytes()
    subprocess.run(
        [sys.executable, "-c", "import sys; from wheeltapper.cli import main; sys.exit(main())", "rebuild",
         f"--data={service.data}", f"--artifacts={artifacts}"],
        check=True, stdout=subprocess.DEVNULL,
        env={**os.environ, "DATABASE_URL": url, "PYTHONPATH": str(Path(__file__).parents[2])}, cwd=service.folder,
    )  # fmt: skip
    return table.read_bytes() == before


@contextmanager
def plant(artifacts: Path | None, kind: str, before: Sequence[str] = (), **more: str) -> Iterator[Plant]:
    """A service that was never started, with an empty database of a kind."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wt-faults-", ignore_cleanup_errors=True)))
        folder.chmod(0o755)
        server = None
        if kind == "postgresql":
            (folder / "postgres").mkdir()
            url, server = stack.enter_context(postgres(folder / "postgres"))
        else:
            (folder / "database").mkdir()
            url = f"sqlite:///{folder / 'database' / 'wheeltapper.db'}"
        models = artifacts or demo_model()
        (folder / "data").mkdir(exist_ok=True)
        service = Killable(folder, models, {"DATABASE_URL": url, "WHEELTAPPER_AUDIT_SHARE": "0", **more}, before)
        database = Database(url)
        stack.callback(database.close)
        stack.callback(service.kill)
        yield Plant(service, database, url, models, server)


class Plant:
    """What `plant` makes: `service`, `database` at `url`, `artifacts`, and `server` when it is a PostgreSQL."""

    def __init__(
        self, service: Killable, database: Database, url: str, artifacts: Path, server: PostgresServer | None
    ) -> None:
        self.service = service
        self.database = database
        self.url = url
        self.artifacts = artifacts
        self.server = server


@cache
def demo_model() -> Path:
    """Make the model that `make run` makes, once."""
    from wheeltapper.demo import prepare

    folder = Path(tempfile.mkdtemp(prefix="wt-faults-model-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    prepare(folder / "data", folder / "artifacts")
    return folder / "artifacts"


def kinds() -> tuple[str, ...]:
    """Return the databases that can be had here."""
    here = shutil.which("initdb") or any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return ("sqlite", "postgresql") if here else ("sqlite",)


def kill_service(rounds: int, artifacts: Path | None = None, databases: Sequence[str] = ()) -> Outcome:
    """Kill the service at random points while eight people answer; a seventh of the kills hit it while it starts."""
    chance = random.Random(20261124)
    used = databases or kinds()
    lost = torn = behind = starts = acknowledged = 0
    same = True
    for number, kind in enumerate(used):
        share = rounds // len(used) + (number < rounds % len(used))
        with plant(artifacts, kind) as here:
            service, ledger = here.service, Ledger(number)
            names = store_predictions(here.url, here.artifacts, A_ROUND * min(share, 60), number)
            answered: list[str] = []
            for _ in range(share):
                service.start()
                if chance.random() < 1 / 7:
                    time.sleep(chance.uniform(0, 3))
                    service.kill()
                    starts += 1
                else:
                    service.wait_ready("/health/live")
                    fresh, names = names[:A_ROUND], names[A_ROUND:]
                    again = chance.sample(answered, min(len(answered), 3 if fresh else A_ROUND))
                    killer = threading.Timer(chance.uniform(0, 2.5), service.kill)
                    killer.start()
                    answer_all(service, ledger, chance.sample(fresh + again, len(fresh + again)))
                    killer.join()
                    answered += fresh
                torn += not is_whole(service.data / "prod_data.csv")
                lost += ledger.losses(here.database)
            service.start()
            service.wait_ready()
            behind += not settle(service, here.database, here.artifacts)
            same = same and rebuilds_identically(service, here.artifacts, here.url)
            lost += ledger.losses(here.database)
            acknowledged += ledger.acknowledged
    return Outcome(
        passed=lost == 0 and behind == 0 and same,
        rounds=rounds,
        figures={
            "answers acknowledged": acknowledged,
            "lost, doubled or altered": lost,
            "times killed while starting": starts,
            "times the table had half a row until the next start": torn,
            "tables that did not come to what the database says": behind,
            "rebuilt table": "identical" if same else "DIFFERENT",
            "databases": " and ".join(used),
        },
    )


def thousand_answers(
    rounds: int, artifacts: Path | None = None, databases: Sequence[str] = (), count: int = 1000
) -> Outcome:
    """Answer a thousand predictions from 16 clients at once, every one twice."""
    used = databases or kinds()
    doubled = missing = 0
    same, rate = True, []
    for number in range(rounds):
        for kind in used:
            with plant(artifacts, kind) as here:
                names = store_predictions(here.url, here.artifacts, count, number)
                here.service.start()
                here.service.wait_ready()

                def send(name: str, service: Killable = here.service) -> int:
                    word = "anomaly" if int(name[:4], 16) % 2 else "normal"
                    return service.ask("POST", "/feedback", {"prediction_id": name, "answer": word})[0]

                begun = time.monotonic()
                with ThreadPoolExecutor(16) as people:
                    statuses = Counter(people.map(send, [name for name in names for _ in range(2)]))
                rate.append(2 * count / (time.monotonic() - begun))
                if statuses != {201: count, 200: count}:
                    doubled += abs(statuses[201] - count)
                    missing += 2 * count - statuses[200] - statuses[201]
                same = same and settle(here.service, here.database, here.artifacts)
                with here.database.read() as session:
                    missing += count - len(session.scalars(select(Answer.prediction_id)).all())
                same = same and rebuilds_identically(here.service, here.artifacts, here.url)
    return Outcome(
        passed=doubled == missing == 0 and same,
        rounds=rounds,
        figures={
            "answers sent a round, from 16 clients": 2 * count,
            "stored twice": doubled,
            "missing": missing,
            "table and rebuilt table": "identical" if same else "DIFFERENT",
            "requests a second (slowest round)": round(min(rate)),
            "databases": " and ".join(used),
        },
    )


class Webhook(http.server.ThreadingHTTPServer):
    """Stands in for n8n: takes messages, or refuses a share of them, and remembers what came."""

    def __init__(self, port: int = 0, refuse: float = 0.0) -> None:
        self.taken: list[tuple[str, str]] = []
        self.tokens: set[str] = set()
        self.lock = threading.Lock()
        self.refuse = refuse
        self.random = random.Random(1)
        super().__init__(("127.0.0.1", port), _Take)
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def end(self) -> None:
        """Stop listening."""
        self.shutdown()
        self.server_close()
        self.thread.join()


class _Take(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Take a message."""
        server = self.server
        assert isinstance(server, Webhook)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            refused = server.random.random() < server.refuse
            if not refused:
                server.taken.append((self.path.rpartition("/")[2], body.get("question_id") or body.get("event", "")))
                server.tokens.add(self.headers.get("X-Wheeltapper-Token", ""))
        self.send_response(500 if refused else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def kill_delivery(rounds: int, artifacts: Path | None = None, databases: Sequence[str] = ()) -> Outcome:
    """Ask questions while the service is killed and n8n goes away and refuses: each message arrives, once at least."""
    chance = random.Random(7)
    used = databases or kinds()
    asked = arrived = repeated = 0
    for number, kind in enumerate(used):
        share = rounds // len(used) + (number < rounds % len(used))
        hook = Webhook(refuse=0.2)
        port = hook.server_address[1]
        taken: list[tuple[str, str]] = []
        try:
            with plant(artifacts, kind, WHEELTAPPER_N8N_URL=f"http://127.0.0.1:{port}") as here:
                names = store_predictions(here.url, here.artifacts, 12 * share, number)
                questions: set[str] = set()
                for _ in range(share):
                    here.service.start()
                    here.service.wait_ready("/health/live")
                    batch, names = names[:12], names[12:]
                    away = chance.random() < 0.5
                    if away:
                        hook.end()
                    killer = threading.Timer(chance.uniform(0.3, 2.0), here.service.kill)
                    killer.start()
                    for name in batch:
                        status, body = here.service.ask("POST", "/questions", {"prediction_id": name})
                        if status == 201:
                            questions.add(body["question_id"])
                    killer.join()
                    if away:
                        taken += hook.taken
                        hook = Webhook(port, refuse=0.2)
                with here.database.write() as session:  # the claims of the dead run out; nobody waits for it here
                    session.execute(update(OutboxMessage).values(claimed_until=None))
                here.service.start()
                here.service.wait_ready("/health/live")
                give_up = time.monotonic() + 180
                while time.monotonic() < give_up:
                    with here.database.read() as session:
                        if not session.scalars(select(OutboxMessage.id).where(OutboxMessage.delivered.is_(None))).all():
                            break
                    time.sleep(0.2)
                with here.database.read() as session:
                    questions |= {str(name) for name in session.scalars(select(Question.id))}
        finally:
            hook.end()
        count = Counter(name for _, name in taken + hook.taken)
        asked += len(questions)
        arrived += len(questions & count.keys())
        repeated += sum(times > 1 for times in count.values())
    return Outcome(
        passed=asked == arrived and asked > 0,
        rounds=rounds,
        figures={
            "questions acknowledged or stored": asked,
            "never delivered": asked - arrived,
            "delivered more than once": repeated,
            "databases": " and ".join(used),
        },
    )


def disk_full(rounds: int, artifacts: Path | None = None, databases: Sequence[str] = ()) -> Outcome:
    """Let writes fail halfway through a row (the system's limit on a file's size), for the table or for SQLite too.

    With PostgreSQL the answers are safe and the table waits; with SQLite answers are refused, and none of the refused
    is half there.
    """
    return _sick_disk(rounds, artifacts, databases, _limit, ())


def read_only(rounds: int, artifacts: Path | None = None, databases: Sequence[str] = ()) -> Outcome:
    """Take away the right to write in the data folder (where the table and, with SQLite, the database are)."""
    # Root may write anywhere: without that privilege the folder's mode holds for it, too.
    before = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner") if os.getuid() == 0 else ()
    return _sick_disk(rounds, artifacts, databases, _lock_folders, before)


def _limit(here: Plant) -> Callable[[], None]:
    process = here.service.process
    assert process is not None
    largest = max((path.stat().st_size for path in _files(here)), default=0)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (largest + 3000, resource.RLIM_INFINITY))
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)

    def lift() -> None:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)

    return lift


def _lock_folders(here: Plant) -> Callable[[], None]:
    places = [here.service.data, *([here.service.folder / "database"] if here.server is None else [])]
    modes = {path: path.stat().st_mode for place in places for path in (place, *place.rglob("*"))}
    for path in modes:
        path.chmod(0o555 if path.is_dir() else 0o444)

    def unlock() -> None:
        for path, mode in modes.items():
            with suppress(FileNotFoundError):
                path.chmod(mode)

    return unlock


def _files(here: Plant) -> list[Path]:
    places = [here.service.data, *([here.service.folder / "database"] if here.server is None else [])]
    return [path for place in places for path in place.rglob("*") if path.is_file()]


def _sick_disk(
    rounds: int,
    artifacts: Path | None,
    databases: Sequence[str],
    make_sick: Callable[[Plant], Callable[[], None]],
    before: Sequence[str],
) -> Outcome:
    used = databases or kinds()
    lost = silent = unhealed = half = 0
    same = True
    figures: Counter[str] = Counter()
    for number, kind in enumerate(used):
        share = rounds // len(used) + (number < rounds % len(used))
        with plant(artifacts, kind, before) as here:
            service, ledger = here.service, Ledger(number)
            names = store_predictions(here.url, here.artifacts, 60 * max(share, 1), number)
            service.start()
            service.wait_ready()
            for _round in range(share):
                batch, names = names[:60], names[60:]
                answer_all(service, ledger, batch[:20])
                heal = make_sick(here)
                try:
                    answer_all(service, ledger, batch[20:40])
                    half += not is_whole(service.data / "prod_data.csv")
                    warning = str(service.ask("GET", "/health/ready")[1].get("warning") or "")
                    behind = not _same(here)
                    silent += behind and "prod_data" not in warning
                    figures[f"times the table had to wait ({kind})"] += behind
                finally:
                    heal()
                answer_all(service, ledger, batch[40:])
                unhealed += not settle(service, here.database, here.artifacts)
                lost += ledger.losses(here.database)
            figures[f"answers refused with 503, to be sent again ({kind})"] += ledger.refused[503]
            lost += ledger.refused[0] + ledger.refused[500]
            figures["answers acknowledged"] += ledger.acknowledged
            service.kill()
            service.start()
            service.wait_ready()
            same = same and settle(service, here.database, here.artifacts)
            same = same and rebuilds_identically(service, here.artifacts, here.url)
    return Outcome(
        passed=lost == silent == unhealed == half == 0 and same,
        rounds=rounds,
        figures={
            **figures,
            "lost, doubled or altered": lost,
            "times the table had half a row": half,
            "times readiness did not say that the table is behind": silent,
            "times the table did not catch up": unhealed,
            "rebuilt table": "identical" if same else "DIFFERENT",
        },
    )


def _same(here: Plant) -> bool:
    return (here.service.data / "prod_data.csv").read_bytes() == expected_table(here.database, here.artifacts)


def database_away(rounds: int, artifacts: Path | None = None) -> Outcome:
    """Crash PostgreSQL under eight people's answers, and start it again."""
    lost = unhealed = untold = 0
    refused = acknowledged = 0
    with plant(artifacts, "postgresql") as here:
        assert here.server is not None
        service, ledger = here.service, Ledger(1)
        names = store_predictions(here.url, here.artifacts, 60 * rounds)
        service.start()
        service.wait_ready()
        for _ in range(rounds):
            batch, names = names[:60], names[60:]
            crash = threading.Timer(np.random.default_rng(len(names)).uniform(0, 0.5), here.server.stop)
            crash.start()
            answer_all(service, ledger, batch[:40])
            crash.join()
            answer_all(service, ledger, batch[40:50])
            untold += service.ask("GET", "/health/ready")[0] != 503
            here.server.start()
            here.database.engine.dispose()
            service.wait_ready()
            answer_all(service, ledger, batch[50:])
            unhealed += not settle(service, here.database, here.artifacts)
            lost += ledger.losses(here.database)
        lost += ledger.refused[0] + ledger.refused[500]
        refused, acknowledged = ledger.refused[503], ledger.acknowledged
        same = rebuilds_identically(service, here.artifacts, here.url)
    return Outcome(
        passed=lost == unhealed == untold == 0 and same,
        rounds=rounds,
        figures={
            "answers acknowledged": acknowledged,
            "answers refused with 503, to be sent again": refused,
            "lost, doubled or altered": lost,
            "times readiness did not say so": untold,
            "times the table did not catch up": unhealed,
            "rebuilt table": "identical" if same else "DIFFERENT",
        },
    )


FAULTS = {
    "kill-service": Fault(
        "the service is killed at a random moment while eight people answer; no acknowledged answer is lost or doubled",
        100,
        kill_service,
    ),
    "kill-delivery": Fault(
        "the service is killed while it delivers questions, n8n is away or refuses; every question arrives",
        20,
        kill_delivery,
    ),
    "thousand-answers": Fault(
        "1 000 predictions are answered twice each by 16 clients at once; each is stored once, in database and table",
        2,
        thousand_answers,
    ),
    "disk-full": Fault(
        "the disk takes no more in the middle of a row; what is acknowledged is safe, the table catches up",
        10,
        disk_full,
    ),
    "read-only": Fault(
        "the data folder becomes read-only and writable again; what is acknowledged is safe, the table catches up",
        10,
        read_only,
    ),
    "database-away": Fault(
        "PostgreSQL crashes under the answers and comes back; what is acknowledged is safe", 10, database_away
    ),
}
