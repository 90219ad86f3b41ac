"""Parts as processes, with small real programs in place of the service."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from audio_pipeline.errors import WheeltapperError
from wheeltapper.parts import Part, Running, stop
from wheeltapper.run import watch

WEB_SERVER = (
    "import http.server, sys; http.server.test(http.server.SimpleHTTPRequestHandler, port={port}, bind='127.0.0.1')"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(code: str, port: int = 1, ready_within_s: float = 20.0) -> Part:
    url = f"http://127.0.0.1:{port}/"
    return Part("toy", (sys.executable, "-c", code), url, url, "a toy", ready_within_s)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(condition: object, seconds: float = 10.0) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Running]]:
    running: list[Running] = []
    yield running
    stop(running, within_s=0.1)


def test_a_part_is_ready_once_it_answers(
    tmp_path: Path, started: list[Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # of no concern to what runs on this machine
    port = free_port()
    started.append(Running(program(WEB_SERVER.format(port=port), port), tmp_path))
    started[0].wait_ready()
    assert not started[0].ended


def test_a_part_that_dies_at_the_start_is_told_with_its_last_words(tmp_path: Path, started: list[Running]) -> None:
    started.append(Running(program("import sys; sys.exit('the disk is full')"), tmp_path))
    with pytest.raises(WheeltapperError, match=r"toy ended with exit code 1(.|\n)*the disk is full"):
        started[0].wait_ready()


def test_a_part_that_never_answers_is_given_up(tmp_path: Path, started: list[Running]) -> None:
    started.append(Running(program("import time; time.sleep(60)", free_port(), ready_within_s=0.5), tmp_path))
    with pytest.raises(WheeltapperError, match="toy did not answer"):
        started[0].wait_ready()


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    part = Part("toy", ("/nowhere/toy",), "", "", "")
    with pytest.raises(WheeltapperError, match="/nowhere/toy"):
        Running(part, tmp_path)


def test_the_log_of_the_start_before_is_kept(tmp_path: Path) -> None:
    for word in ("first", "second"):
        stop([running := Running(program(f"print('{word}', flush=True)"), tmp_path)], within_s=0)
        running.process.wait()
        (tmp_path / "toy.log").write_text(word)  # it may have been stopped before it could print
    assert (tmp_path / "toy.log").read_text() == "second"
    assert (tmp_path / "toy.log.1").read_text() == "first"


def test_stopping_ends_also_what_a_part_started_and_what_does_not_listen(tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    code = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {deaf!r}]); print(child.pid, flush=True); child.wait()"
    )
    running = Running(program(code), tmp_path)
    assert wait_until(lambda: "deaf" in running.log.read_text())
    grandchild = int(next(line for line in running.log.read_text().split() if line.isdigit()))
    stop([running], within_s=1.0)
    assert running.ended
    assert wait_until(lambda: not alive(grandchild))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_part_ends_even_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path; from wheeltapper.parts import *\n"
            "part = Part('toy', (sys.executable, '-c', 'import time; time.sleep(60)'), '', '', '')\n"
            f"print(Running(part, Path({str(tmp_path)!r})).process.pid, flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert alive(child)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert wait_until(lambda: not alive(child))


def test_one_part_that_dies_is_told_and_the_others_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dies = Running(Part("short", (sys.executable, "-c", "import sys; sys.exit('worn out')"), "", "", ""), tmp_path)
    stays = Running(Part("long", (sys.executable, "-c", "import time; time.sleep(3)"), "", "", ""), tmp_path)
    with pytest.raises(WheeltapperError, match="Nothing is running"):
        watch([dies, stays])
    told = capsys.readouterr().err
    assert "short ended with exit code 1" in told
    assert "worn out" in told
    assert "Still running: long." in told
