"""Every lesson as it is played at the terminal; each checks by itself what the system did."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest

from benchmarks.faults.asking_running import HOW, available
from wheeltapper import lessons
from wheeltapper.cli import main
from wheeltapper.lessons import LESSONS, Lesson
from wheeltapper.lessons.plant import Plant
from wheeltapper.lessons.stage import Stage
from wheeltapper.parts import free_ports


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", LESSONS)
def test_the_system_does_what_the_lesson_says(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if name == "lost-mail" and not available():
        warnings.warn(HOW, stacklevel=1)
        pytest.skip(HOW)
    code = main(["lesson", name, "--data", str(tmp_path / "plant")])
    told = capfd.readouterr()
    logs = "\n".join(log.read_text(errors="replace")[-2000:] for log in (tmp_path / "plant" / "logs").glob("*.log"))
    assert code == 0, f"{told.out}\n{told.err}\n{logs}"
    assert told.out.rstrip().endswith("checks held.")
    assert told.out.count("HELD") >= 4
    assert "LOOK" in told.out


def test_lessons_are_listed(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["lesson"]) == 0
    told = capfd.readouterr().out
    assert all(f"wheeltapper lesson {name} " in told for name in LESSONS)


def test_a_system_that_does_otherwise_is_told_with_exit_code_1(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(lessons.LESSONS, "toy", Lesson(__name__, "Does it tell?"))
    assert main(["lesson", "toy"]) == 1
    told = capfd.readouterr()
    assert "HELD Water is wet." in told.out
    assert told.err == "wheeltapper: Not as it should be: Fire is cold. Instead: it burns.\n"


def play(_plant: Plant, stage: Stage) -> None:
    """The toy's lesson."""
    stage.check(True, "Water is wet.", "it is dry.")
    stage.check(False, "Fire is cold.", "it burns.")


def test_what_cannot_be_played_is_refused_in_a_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["lesson", "knitting"]) == 2
    assert "Lessons: drift, poisoned-answers" in capfd.readouterr().err
    (tmp_path / "mine.txt").touch()
    assert main(["lesson", "drift", "--data", str(tmp_path)]) == 2
    assert "is not empty" in capfd.readouterr().err


def test_nothing_of_a_site_reaches_a_lesson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://the-plants-own")
    monkeypatch.setenv("SMTP_HOST", "mail.example")
    monkeypatch.setenv("WHEELTAPPER_OPERATOR_EMAIL", "ann@example.com")
    made = Plant(tmp_path / "plant")
    environment = {**made._inherited, **made.settings}
    assert not {"DATABASE_URL", "SMTP_HOST", "WHEELTAPPER_OPERATOR_EMAIL"} & set(environment)
    assert environment["PATH"] == os.environ["PATH"]


def test_ports_come_with_a_free_neighbour() -> None:
    ports = free_ports(6)
    assert len({near for port in ports for near in (port, port + 1)}) == 12
