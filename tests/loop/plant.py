"""A plant as its engineer runs it: `wheeltapper run` in a folder with recordings of its own, on free ports."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
from dotenv import dotenv_values

from benchmarks.faults.running import wait_for
from wheeltapper.parts import free_ports

T = TypeVar("T")
PATIENCE_S = 600.0
_WHEELTAPPER = str(Path(sys.executable).with_name("wheeltapper"))
_NAMES = ("WHEELTAPPER_PORT", "WHEELTAPPER_PORTAL_PORT", "WHEELTAPPER_MAIL_PORT", "SMTP_PORT", "WHEELTAPPER_N8N_PORT",
          "WHEELTAPPER_MONITORING_PORT")  # fmt: skip


class LivePlant:
    """The folder, and everything that `wheeltapper run` started in it.

    Attributes
    ----------
    at
        Addresses by the parts' names, as `run` told them.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("WHEELTAPPER_", "SMTP_", "LLM_", "RETRAIN_", "DATABASE_URL", "WEBHOOK_URL"))
            or name in ("WHEELTAPPER_N8N_HOME", "WHEELTAPPER_NODE")
        }
        ports = dict(zip(_NAMES, map(str, free_ports(len(_NAMES))), strict=True))
        self._environment = {**inherited, **ports, **settings}
        self.at: dict[str, str] = {}
        self._told: list[str] = []
        self._run: subprocess.Popen[str] | None = None

    @property
    def told(self) -> str:
        """What `run` has printed."""
        return "".join(self._told)

    def command(self, *words: str) -> str:
        """`wheeltapper …`, typed in the folder."""
        return subprocess.run(
            [_WHEELTAPPER, *words], cwd=self.folder, env=self._environment, check=True, capture_output=True, text=True
        ).stdout

    def start(self) -> None:
        """`wheeltapper run`, until everything is ready."""
        self._run = subprocess.Popen(
            [_WHEELTAPPER, "run"],
            cwd=self.folder, env=self._environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        threading.Thread(target=self._listen, daemon=True).start()
        wait_for(lambda: "Running. Ctrl-C stops everything." in self.told or self._over(), PATIENCE_S, "all parts run")
        self.at = dict(re.findall(r"^(\w+) is ready: (http://[^ /]+)", self.told, re.MULTILINE))
        self.http = httpx.Client(
            base_url=self.at["serve"],
            headers={"Authorization": f"Bearer {dotenv_values(self.folder / '.env')['WHEELTAPPER_API_KEY']}"},
            timeout=120,
            trust_env=False,
        )

    def _listen(self) -> None:
        assert self._run is not None
        assert self._run.stdout is not None
        self._told += self._run.stdout  # grows line by line

    def _over(self) -> bool:
        assert self._run is not None
        assert self._run.poll() is None, self.told
        return False

    def stop(self) -> None:
        """Ctrl-C."""
        if self._run is not None:
            self._run.send_signal(signal.SIGINT)
            try:
                self._run.wait(60)
            finally:
                self._run.kill()

    def wait(self, condition: Callable[[], T | None], what: str) -> T:
        """What the condition gives once it gives something."""
        found: T = wait_for(condition, PATIENCE_S, f"{what}\n{self.told[-3000:]}")
        return found

    def get(self, path: str, **parameters: Any) -> Any:
        answer = self.http.get(path, params=parameters)
        assert answer.is_success, answer.text
        return answer.json()

    def predict(self, clip: Path, machine: str) -> dict[str, Any]:
        answer = self.http.post("/predict", files={"file": (clip.name, clip.read_bytes())}, data={"machine": machine})
        assert answer.is_success, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def say(self, prediction: dict[str, Any], word: str) -> None:
        body = {"prediction_id": prediction["prediction_id"], "answer": word, "operator": "Bo", "source": "api"}
        answer = self.http.post("/feedback", json=body)
        assert answer.status_code == 201, answer.text
