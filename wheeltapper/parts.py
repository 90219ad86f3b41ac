"""Parts of Wheeltapper as processes: starting them, waiting until they answer, noticing their end, stopping them all.

Here: `Part` (what is started and how one knows that it is up) and `Running` (its process, its log). Not here: which
parts there are (`run`), or what they do.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from audio_pipeline.errors import WheeltapperError

STOP_S = 10.0  # a part that is asked to end has this long, then it is killed
_PR_SET_PDEATHSIG = 1

# A proxy set for the outside world must not be asked for what runs on this machine.
open_local = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


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
    """

    name: str
    command: tuple[str, ...]
    ready_url: str
    url: str
    what: str
    ready_within_s: float = 60.0


class Running:
    """A part's process.

    Parameters
    ----------
    part
        What to start; it is started at once, in a process group of its own.
    logs
        Folder; the output goes to `<name>.log`, that of the start before stays as `<name>.log.1`.
    """

    def __init__(self, part: Part, logs: Path) -> None:
        self.part = part
        self.log = logs / f"{part.name}.log"
        logs.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("wb") as log:
            try:
                self.process = subprocess.Popen(
                    part.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C reaches us alone, and we end the parts in order; whatever a part started ends with it.
                    start_new_session=True,
                    preexec_fn=_end_with_parent,
                )
            except OSError as e:
                raise WheeltapperError(f"{part.name} could not be started ({part.command[0]}: {e.strerror}).") from e

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self.process.poll() is not None

    def wait_ready(self) -> None:
        """Return once the part answers.

        Raises
        ------
        WheeltapperError
            It ended first, or did not answer in time; the sentence holds its last log lines.
        """
        deadline = time.monotonic() + self.part.ready_within_s
        while not _answers(self.part.ready_url):
            if self.ended:
                raise WheeltapperError(self.obituary())
            if time.monotonic() > deadline:
                raise WheeltapperError(
                    f"{self.part.name} did not answer at {self.part.ready_url} within "
                    f"{self.part.ready_within_s:.0f} s. Its log {self.log} ends with:\n{self.last_lines()}"
                )
            time.sleep(0.2)

    def obituary(self) -> str:
        """Say that the part ended, how, and what it said last."""
        code = self.process.returncode
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"{self.part.name} {how}. Its log {self.log} ends with:\n{self.last_lines()}"

    def last_lines(self, count: int = 10) -> str:
        """Return the end of the log, indented."""
        with self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 64 * 1024))
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-count:]) or "    (nothing)"

    def signal(self, number: int) -> None:
        """Send a signal to the part and everything that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


def stop(running: Iterable[Running], within_s: float = STOP_S) -> None:
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


def _answers(url: str) -> bool:
    try:
        with open_local(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _end_with_parent() -> None:
    # Killed without a chance to tidy up, we would leave parts behind that hold their ports; Linux can end them for us.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
