"""A lesson's own plant: a folder, a trained model, and the real parts as processes on free ports.

Here: starting, asking, killing, and the commands of `wheeltapper` as a person would type them. Not here: what sounds
there are (`sounds`), what is done with it all (the lessons).
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from audio_pipeline.errors import SettingsError, WheeltapperError
from automation import n8n as program
from automation.inbox.store import Mail, MailStore
from automation.settings import read_settings
from wheeltapper import demo, extras
from wheeltapper.commands.monitor import ui_command
from wheeltapper.parts import Part, Running, free_ports, open_local, stop

T = TypeVar("T")

_OF_A_SITE = ("WHEELTAPPER_", "SMTP_", "LLM_", "N8N_", "RETRAIN_", "DATABASE_URL", "WEBHOOK_URL")
_OF_THE_MACHINE = ("WHEELTAPPER_N8N_HOME", "WHEELTAPPER_NODE")
_PATIENCE_S = 300.0  # for a busy machine; nothing waits longer than it has to
_PAGES = {"portal": "portal", "inbox": "mail", "n8n": "n8n", "monitoring": "evidently", "service": "serve"}


class Plant:
    """A folder with parts that can be started and killed as often as one likes; leaving it stops them.

    Parameters
    ----------
    folder
        Made when missing; data, artifacts, logs, clips.
    pages
        Start the portal and Evidently beside the service, for people to look at.
    **settings
        More environment variables of every part.
    """

    def __init__(self, folder: Path, pages: bool = False, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.data = folder / "data"
        self._pages = pages
        self._running: dict[str, Running] = {}
        names = ("serve", "portal", "mail", "smtp", "n8n", "evidently")
        self._ports = dict(zip(names, free_ports(len(names)), strict=True))
        self._key = secrets.token_urlsafe(32)
        at = {name: f"http://127.0.0.1:{port}" for name, port in self._ports.items()}
        self._at = at
        self.settings = {
            "WHEELTAPPER_DATA": str(self.data),
            "WHEELTAPPER_ARTIFACTS": str(folder / "artifacts"),
            "WHEELTAPPER_API_KEY": self._key,
            "WHEELTAPPER_WEBHOOK_TOKEN": secrets.token_urlsafe(32),
            "WHEELTAPPER_N8N_PASSWORD": secrets.token_urlsafe(32),
            "WHEELTAPPER_PORT": str(self._ports["serve"]),
            "WHEELTAPPER_SERVE_URL": at["serve"],
            "WHEELTAPPER_PORTAL_PORT": str(self._ports["portal"]),
            "WHEELTAPPER_PORTAL_URL": at["portal"],
            "WHEELTAPPER_MONITORING_PORT": str(self._ports["evidently"]),
            "WHEELTAPPER_MONITORING_URL": at["evidently"],
            "WHEELTAPPER_MAIL_PORT": str(self._ports["mail"]),
            "SMTP_PORT": str(self._ports["smtp"]),
            "WHEELTAPPER_N8N_PORT": str(self._ports["n8n"]),
            "WHEELTAPPER_N8N_URL": at["n8n"],
            "WHEELTAPPER_DEMO_CLIPS": str(folder / "clips"),
            "WEBHOOK_URL": f"{at['n8n']}/",
            "WHEELTAPPER_AUDIT_SHARE": "0",  # a lesson asks when it says so
            "RETRAIN_EVERY": "0",  # and retrains when it says so
            "WHEELTAPPER_EPISODE_GAP_S": "0.1",  # two alarms are two questions, however soon they follow
            "DO_NOT_TRACK": "1",
            **settings,
        }
        self._inherited = {
            name: value
            for name, value in os.environ.items()
            if name in _OF_THE_MACHINE or not name.startswith(_OF_A_SITE)
        }

    def __enter__(self) -> Self:
        """Begin; nothing is started yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop everything."""
        stop(self._running.values())
        self._running.clear()

    # What a person at a terminal does.

    def command(self, *words: str) -> str:
        """Run `wheeltapper …` in the folder and return what it printed.

        Raises
        ------
        WheeltapperError
            It failed; the sentence holds its last lines.
        """
        done = subprocess.run(
            [*_wheeltapper(), *words],
            cwd=self.folder,
            env={**self._inherited, **self.settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise WheeltapperError(f"`wheeltapper {' '.join(words)}` failed: {(done.stderr or done.stdout)[-2000:]}")
        return done.stdout

    def learn(self, recordings: Path) -> None:
        """Make the reference and the first model from a folder of recordings."""
        self.command("embed", str(recordings))
        self.command("train")

    # Parts.

    def start(self, *names: str) -> None:
        """Start parts, and wait until they answer; those that run already are left alone.

        Raises
        ------
        WheeltapperError
            One does not start.
        """
        if "serve" in names and self._pages:
            names = (*names, "portal", "evidently")
        begun = [
            self._running.setdefault(
                name, Running(self._part(name), self.folder / "logs", self._inherited, self.folder)
            )
            for name in names
            if name not in self._running
        ]
        for running in begun:
            running.wait_ready()

    def stop(self, name: str) -> None:
        """End a part as an operator would."""
        stop([self._running.pop(name)])

    def kill(self, name: str) -> None:
        """Kill a part and all it started, without a chance to tidy up."""
        running = self._running.pop(name)
        running.signal(signal.SIGKILL)
        running.process.wait()

    def shows(self, page: str) -> bool:
        """Whether somebody can open that page now."""
        return _PAGES[page] in self._running

    def address(self, page: str) -> str:
        """Return where a page is, without a slash at the end."""
        return self._at[_PAGES[page]]

    def _part(self, name: str) -> Part:
        at = self._at[name]
        ready = {
            "serve": f"{at}/health/ready",
            "portal": f"{at}/_stcore/health",
            "n8n": f"{at}/healthz",
            "evidently": f"{at}/api/version",
        }
        workspace = self.data / "evidently"
        workspace.mkdir(parents=True, exist_ok=True)
        pages = ui_command(workspace, "127.0.0.1", self._ports["evidently"])
        words = ("n8n", "start") if name == "n8n" else (name,)
        return Part(
            name=name,
            command=pages if name == "evidently" else (*_wheeltapper(), *words),
            ready_url=ready.get(name, at),
            url=at,
            what="",
            ready_within_s=2 * _PATIENCE_S if name == "n8n" else _PATIENCE_S,
            environment=self.settings,
            ready=(lambda: program.ready(at)) if name == "n8n" else None,
        )

    # The service.

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Send the service one request; return status and JSON (or text), (0, None) when there is no answer."""
        request = urllib.request.Request(
            f"{self._at['serve']}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with open_local(request, timeout=_PATIENCE_S) as answer:
                return answer.status, _read(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, _read(error.read())
        except OSError:
            return 0, None

    def must(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """Send the service one request that has to succeed; return its answer.

        Raises
        ------
        WheeltapperError
            It did not.
        """
        status, said = self.ask(method, path, body)
        if not 200 <= status < 300:
            raise WheeltapperError(f"{method} {path} was answered {status}: {said}")
        return said

    def predict(self, clip: Path, machine: str) -> dict[str, Any]:
        """Let the service judge a clip."""
        return demo.predict(self._at["serve"], self._key, clip, machine)

    def answer(self, prediction: Mapping[str, Any], word: str, operator: str = "Ann", **more: object) -> None:
        """Tell the service what a person says of a prediction."""
        body = {"prediction_id": prediction["prediction_id"], "answer": word, "operator": operator, **more}
        self.must("POST", "/feedback", body)

    def retrain(self, detail: str) -> dict[str, Any]:
        """Let the service retrain; return the job once it has ended."""
        job = self.must("POST", "/retrain", {"reason": "manual", "detail": detail})
        return self.job(job["job_id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a retrain once it has ended."""

        def ended() -> dict[str, Any] | None:
            job: dict[str, Any] = self.must("GET", f"/retrain/{job_id}")
            return job if job["finished"] else None

        return self.wait(ended, "the retrain ends")

    def serving(self) -> str:
        """Return the version that the service answers with, by its own word."""
        return str(self.must("GET", "/health/ready")["model_version"])

    def mails(self) -> list[Mail]:
        """Return what has arrived in the inbox, newest first."""
        return MailStore(self.data / "mail").mails()

    def wait(self, condition: Callable[[], T | None], what: str, within_s: float = _PATIENCE_S) -> T:
        """Return what a condition gives once it gives something.

        Raises
        ------
        WheeltapperError
            It gave nothing in time, or a part has ended meanwhile.
        """
        give_up = time.monotonic() + within_s
        while not (found := condition()):
            for running in self._running.values():
                if running.ended:
                    raise WheeltapperError(running.obituary())
            if time.monotonic() > give_up:
                raise WheeltapperError(f"Waited {within_s:.0f} s in vain for this: {what}.")
            time.sleep(0.2)
        return found


def require(*needed: str) -> None:
    """Say what is missing for a lesson on this machine.

    Parameters
    ----------
    needed
        Extras of this package, or `n8n`.

    Raises
    ------
    SettingsError
        Something is missing; the sentence says how to get it.
    """
    for name in needed:
        if name == "n8n":
            home = read_settings({**os.environ, "WHEELTAPPER_API_KEY": "-", "WHEELTAPPER_WEBHOOK_TOKEN": "-"}).home
            if not program.installed(home):
                raise SettingsError("This lesson needs n8n: make n8n installs it (2.3 GB, about four minutes).")
        elif extras.missing(name):
            raise SettingsError(
                f"This lesson needs the extra '{name}': pip install -c requirements.lock -e '.[{name}]' "
                "(make run does it, too)."
            )


def _wheeltapper() -> tuple[str, ...]:
    return (sys.executable, "-m", "wheeltapper")


def _read(content: bytes) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")
