"""What a part needs is installed once, after the service answers; toy programs in place of installers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from serve.settings import Settings
from tests.run.test_parts import WEB_SERVER, free_port
from wheeltapper.extras import missing
from wheeltapper.parts import Part, Preparation, Running, stop
from wheeltapper.run import in_order, start


def toy(name: str, code: str, made: Path) -> Part:
    port = free_port()
    return Part(
        name,
        (sys.executable, "-c", WEB_SERVER.format(port=port)),
        f"http://127.0.0.1:{port}/",
        f"http://127.0.0.1:{port}/",
        "a toy",
        prepare=Preparation("a toy (no bytes)", (sys.executable, "-c", code), lambda: not made.exists()),
    )


def test_a_part_is_prepared_once_and_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tmp_path / "made"
    part = toy("toy", f"import pathlib; pathlib.Path({str(made)!r}).touch()", made)
    running: list[Running] = []
    try:
        start(part, running, Settings(data_dir=tmp_path))
        assert len(running) == 1
        told = capsys.readouterr().out
        assert told.index("Installing a toy (no bytes) for toy") < told.index("toy is ready")
        stop(running)
        running.clear()
        start(part, running, Settings(data_dir=tmp_path))
        assert "Installing" not in capsys.readouterr().out
    finally:
        stop(running)


@pytest.mark.parametrize("code", ["import sys; sys.exit('the index is away')", "print('the index is away')"])
def test_a_preparation_that_fails_is_told_and_its_part_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], code: str
) -> None:
    running: list[Running] = []
    start(toy("toy", code, tmp_path / "never"), running, Settings(data_dir=tmp_path))
    assert not running
    told = capsys.readouterr().err
    assert "toy was not started" in told
    assert "the index is away" in told
    assert "tries again" in told


def test_what_is_prepared_already_starts_before_what_is_not(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.touch()
    waits, at_once = toy("waits", "", tmp_path / "not there"), toy("at-once", "", there)
    serve = toy("serve", "", tmp_path / "not there")
    assert [part.name for part in in_order([waits, at_once, serve])] == ["serve", "at-once", "waits"]


def test_a_part_whose_port_is_taken_is_left_out_with_a_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        part = Part("toy", (sys.executable, "-c", ""), "", "", "", ports={"WHEELTAPPER_TOY_PORT": port})
        running: list[Running] = []
        start(part, running, Settings(data_dir=tmp_path))
    assert not running
    assert "WHEELTAPPER_TOY_PORT=" in capsys.readouterr().err


def test_an_installed_extra_is_not_missing() -> None:
    assert missing("dev") == []  # the tests themselves need it
