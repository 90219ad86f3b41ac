"""Parts of Wheeltapper as processes: starting them, waiting until they answer, noticing their end, stopping them all.

Here: `Part` (what is started, what has to be installed before that, how one knows that it is up), `Program` (a process
with its log) and `Running` (a part's). Not here: which parts there are (`run`), what they do, whether a package is
installed (`extras`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from audio_pipeline.errors import WheeltapperError

STOP_S = 10.0  # a part that is asked to end has this long, then it is killed
_PR_SET_PDEATHSIG = 1

# A proxy set for the outside world must not be asked for what runs on this machine.
open_local = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


@dataclass(frozen=True)
class Preparation:
    """What has to be done once before a part can be started; `wheeltapper run` does it when serve already answers.

    Parameters
    ----------
    what
        For the person who waits, with size and time: "Streamlit (60 MB, about a minute)".
    command
        Program and arguments; it may be interrupted and started again.
    due
        Whether it is still to be done; asked at each start, so it must be quick.
    """

    what: str
    command: tuple[str, ...]
    due: Callable[[], bool]


@dataclass(frozen=True)
class Part:
    """One program that `wheeltapper run` starts.

    Parameters
    ----------
    name
        As in `--parts`, and of its log file.
    command
        Program and arguments.
    ready_url
        Answers 200 once the part can be used.
    url
        What a person opens.
    what
        What is to be found there, in a few words.
    ready_within_s
        How long to wait for `ready_url`, seconds.
    environment
        Variables of its process, beside those that are set here.
    ports
        Where it listens on this machine, each with the variable that chooses another: `{"WHEELTAPPER_PORT": 8080}`.
    prepare
        What has to be installed first, if anything.
    ready
        A closer look than `ready_url`, when one is needed.
    hint
        What to try once it is there.
    """

    name: str
    command: tuple[str, ...]
    ready_url: str
    url: str
    what: str
    ready_within_s: float = 60.0
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    prepare: Preparation | None = None
    ready: Callable[[], bool] | None = None
    hint: str = ""

    def answers(self) -> bool:
        """Whether it can be used."""
        return answers(self.ready_url) and (self.ready is None or self.ready())


class Program:
    """A process with a log, in a process group of its own; it is started at once.

    Parameters
    ----------
    name
        Of the log file and in messages.
    command
        Program and arguments.
    logs
        Folder; the output goes to `<name>.log`, that of the start before stays as `<name>.log.1`.
    environment
        Variables beside the inherited ones.
    inherited
        Variables; this process's when left out.
    folder
        Where it runs; where this process does when left out.

    Raises
    ------
    WheeltapperError
        It cannot be started.
    """

    def __init__(
        self,
        name: str,
        command: tuple[str, ...],
        logs: Path,
        environment: Mapping[str, str] | None = None,
        inherited: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.name = name
        self.log = logs / f"{name}.log"
        logs.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("wb") as log:
            try:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=folder,
                    env={**(os.environ if inherited is None else inherited), **(environment or {})},
                    # Ctrl-C reaches us alone, and we end the parts in order; whatever a part started ends with it.
                    start_new_session=True,
                    preexec_fn=_end_with_parent,
                )
            except OSError as e:
                raise WheeltapperError(f"{name} could not be started ({command[0]}: {e.strerror}).") from e

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self.process.poll() is not None

    def obituary(self) -> str:
        """Say that it ended, how, and what it said last."""
        code = self.process.returncode
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"{self.name} {how}. Its log {self.log} ends with:\n{self.last_lines()}"

    def last_lines(self, count: int = 10) -> str:
        """Return the end of the log, indented."""
        with self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 64 * 1024))
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-count:]) or "    (nothing)"

    def signal(self, number: int) -> None:
        """Send a signal to the process and everything that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


class Running(Program):
    """A part's process.

    Parameters
    ----------
    part
        What to start.
    logs, inherited, folder
        As of `Program`.
    """

    def __init__(
        self, part: Part, logs: Path, inherited: Mapping[str, str] | None = None, folder: Path | None = None
    ) -> None:
        self.part = part
        super().__init__(part.name, part.command, logs, part.environment, inherited, folder)

    def wait_ready(self) -> None:
        """Return once the part answers.

        Raises
        ------
        WheeltapperError
            It ended first, or did not answer in time; the sentence holds its last log lines.
        """
        deadline = time.monotonic() + self.part.ready_within_s
        while not self.part.answers():
            if self.ended:
                raise WheeltapperError(self.obituary())
            if time.monotonic() > deadline:
                raise WheeltapperError(
                    f"{self.part.name} did not answer at {self.part.ready_url} within "
                    f"{self.part.ready_within_s:.0f} s. Its log {self.log} ends with:\n{self.last_lines()}"
                )
            time.sleep(0.2)


def stop(running: Iterable[Program], within_s: float = STOP_S) -> None:
    """End parts and everything they started: asked first, killed when they do not listen."""
    parts = list(running)
    for part in parts:
        part.signal(signal.SIGTERM)
    deadline = time.monotonic() + within_s
    while not all(part.ended for part in parts) and time.monotonic() < deadline:
        time.sleep(0.05)
    for part in parts:
        part.signal(signal.SIGKILL)  # what is left of its group, if anything
        part.process.wait()


def answers(url: str) -> bool:
    """Whether a GET of the URL on this machine is answered 200 right now."""
    try:
        with open_local(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def free_ports(count: int) -> list[int]:
    """Return so many ports of this machine that nobody listens on, each followed by another free one (n8n's)."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as probe, socket.socket() as beside:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            try:
                beside.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            if not any(abs(port - other) < 2 for other in found):
                found.append(port)
    return found


def _end_with_parent() -> None:
    # Killed without a chance to tidy up, we would leave parts behind that hold their ports; Linux can end them for us.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
