"""A service to be killed, and what it needs: artifacts, stored predictions, a PostgreSQL.

Here: starting, asking, killing. Not here: what is done to it, and what must hold afterwards (`answers`, …).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from audio_pipeline.scoring import Scorer
from serve.database.connection import Database
from serve.database.predictions import record, to_bytes

KEY = "a key for faults, long enough"
_START_S = 120.0
_CODE = "import sys; from wheeltapper.cli import main; sys.exit(main())"
# A proxy set for the outside world must not be asked for what runs on this machine.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:  # noqa: ANN401  (what the condition returns)
    """Return what `condition` returns once it is true.

    Raises
    ------
    TimeoutError
        It did not become true.
    """
    give_up = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > give_up:
            raise TimeoutError(f"After {seconds:.0f} s still not: {what}")
        time.sleep(0.1)


class Killable:
    """`wheeltapper serve` as a process of its own, started and killed as often as one likes.

    Parameters
    ----------
    folder
        Its home: `data/`, `serve.log`.
    artifacts
        Folder with a model that serves.
    environment
        More settings.
    before
        Words before the command, say `setpriv …`.
    """

    def __init__(
        self,
        folder: Path,
        artifacts: Path,
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WHEELTAPPER_")}
        self._environment = {
            **inherited,
            "WHEELTAPPER_PORT": str(self.port),
            "WHEELTAPPER_API_KEY": KEY,
            "WHEELTAPPER_DATA": str(self.data),
            "WHEELTAPPER_ARTIFACTS": str(artifacts),
            "WHEELTAPPER_WORKERS": "1",
            "WHEELTAPPER_N8N_URL": "http://127.0.0.1:9",  # nothing listens there
            "PYTHONPATH": str(Path(__file__).parents[2]),
            **(environment or {}),
        }
        self._before = tuple(before)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it is not ready yet."""
        with (self.folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self._before, sys.executable, "-c", _CODE, "serve"],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self._environment,
            )

    def wait_ready(self, path: str = "/health/ready") -> dict[str, Any]:
        """Return what it says of its health once it works."""
        give_up = time.monotonic() + _START_S
        while True:
            assert self.process is not None
            if self.process.poll() is not None:
                raise RuntimeError(f"The service ended:\n{self.log()}")
            status, body = self.ask("GET", path)
            if status == 200:
                return body
            if time.monotonic() > give_up:
                raise RuntimeError(f"The service is not ready ({status}, {body}):\n{self.log()}")
            time.sleep(0.05)

    def ask(self, method: str, path: str, body: object = None, timeout: float = 30.0) -> tuple[int, dict[str, Any]]:
        """Send one request; return (status, body), (0, {}) when there was no answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with _open(request, timeout=timeout) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, _json(error.read())
        except (OSError, ValueError):  # killed before, or in the middle of, its answer
            return 0, {}

    def kill(self) -> None:
        """Kill it, without a chance to tidy up."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def log(self) -> str:
        """Return the end of what it said."""
        path = self.folder / "serve.log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""


def store_predictions(url: str, artifacts: Path, count: int, seed: int = 0) -> list[str]:
    """Store predictions as the service would, with vectors drawn at random: thousands of them in seconds.

    Returns
    -------
    list of str
        Their ids.
    """
    scorer = Scorer.load(artifacts)
    manifest = scorer.encoder.manifest
    random = np.random.default_rng(seed)
    database = Database(url)
    database.migrate()
    now, clip = datetime.now(UTC), f"{seed:064d}"
    names = []
    with database.write() as session:
        for number in range(count):
            name = uuid.uuid4()
            names.append(str(name))
            vector = random.standard_normal(manifest.dimensions).astype(np.float32)
            clip_row = {
                "sha256": clip, "path": "none", "duration_s": 10.0, "native_rate": 16_000, "channels": 1,
                "created": now,
            }  # fmt: skip
            prediction = {
                "id": name, "created": now, "clip_sha256": clip, "filename": f"{number}.wav", "machine": "fan/id_00",
                "anomaly": number % 2 == 0, "score": 1.0, "threshold": 2.0, "p_value": 0.5, "rate_asked": 0.01,
                "rate_used": 0.01, "model_version": scorer.model, "encoder": manifest.name,
                "encoder_sha256": manifest.sha256, "confirmed": 0, "deciding_window": 0,
                "sensor": {"ok": True, "findings": []}, "episode_id": None,
            }  # fmt: skip
            window = {
                "prediction_id": name, "position": 0, "start_s": 0.0, "end_s": 10.0, "score": 1.0, "p_value": 0.5,
                "vector": to_bytes(vector),
            }  # fmt: skip
            record(session, clip_row, prediction, [window])
    database.close()
    return names


@contextmanager
def postgres(folder: Path) -> Iterator[tuple[str, PostgresServer]]:
    """A PostgreSQL of our own, from the binaries on the machine: its URL, and the server to be stopped and started."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb")
    programs = Path(found).parent if found else places[0] if places else None
    if programs is None:
        raise FileNotFoundError("PostgreSQL is not on this machine: apt-get install postgresql")
    server = PostgresServer(programs, folder)
    server.create()
    try:
        yield server.url, server
    finally:
        server.stop("immediate")


class PostgresServer:
    """One PostgreSQL cluster, reached through a socket in its folder."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        # PostgreSQL refuses to run as root.
        self._user = {"user": "postgres"} if os.getuid() == 0 else {}
        self.url = f"postgresql+psycopg://test@/postgres?host={folder}"

    def create(self) -> None:
        """Make the cluster and start it."""
        if self._user:
            shutil.chown(self._folder, "postgres")
        self._run("initdb", "-D", str(self._folder / "pg"), "-A", "trust", "-U", "test", "-N")
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-k {self._folder} -c listen_addresses=''"
        log = str(self._folder / "log")
        self._run("pg_ctl", "-D", str(self._folder / "pg"), "-w", "-l", log, "-o", options, "start")

    def stop(self, how: str = "immediate") -> None:
        """Stop it; `immediate` is a crash."""
        self._run("pg_ctl", "-D", str(self._folder / "pg"), "-w", "-m", how, "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self._folder, **self._user)  # type: ignore[call-overload]


def _json(text: bytes) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(text)
    except ValueError:
        return {}
    return content
