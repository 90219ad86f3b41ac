"""`wheeltapper embed`: the reference of the contract, whatever is broken, doubled, interrupted or killed on the way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.command import Plant
from tests.pipeline.recordings import write_dataset


def test_embedding_writes_the_reference_of_the_contract(embedded: Plant) -> None:
    answer = embedded.run("embed", embedded.recordings, "--json")
    summary = answer.json
    lines = (embedded.data / "ref_data.csv").read_text().splitlines()
    assert summary["rows"] == len(lines) - 1 == 72
    assert summary["columns"] == len(lines[0].split(","))
    assert summary["from_cache"] == 72
    assert summary["machines"] == ["fan/id_00"]
    assert summary["anomaly_rows"] == 12


def test_the_reference_is_the_same_bytes_for_any_number_of_workers(embedded: Plant, tmp_path: Path) -> None:
    tables = [(embedded.data / "ref_data.csv").read_bytes()]
    for workers in (1, 5):
        out = tmp_path / str(workers)
        assert embedded.run("embed", embedded.recordings, "--out", out, "--workers", workers).code == 0
        tables.append((out / "ref_data.csv").read_bytes())
    assert len(set(tables)) == 1


def interruptible() -> None:
    """Make a process hear Ctrl-C, which background jobs do not, and be slower than the one who presses it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.nice(19)


def start_embedding(plant: Plant, out: Path) -> subprocess.Popen[str]:
    """Start the job in a process; return when the first clips are in its cache."""
    process = subprocess.Popen(
        [sys.executable, "-m", "wheeltapper", "embed", plant.recordings, "--out", out, "--workers", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "WHEELTAPPER_ARTIFACTS": str(plant.artifacts)},
        preexec_fn=interruptible,
    )
    until = time.monotonic() + 60
    while time.monotonic() < until and len(list(out.rglob("*.npz"))) < 3:
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_embedding_goes_on_where_it_stopped(
    embedded: Plant, tmp_path: Path, number: signal.Signals
) -> None:
    many = Plant(
        write_dataset(tmp_path / "many", normals=120, anomalies=0, seconds=4), tmp_path / "data", embedded.artifacts
    )
    process = start_embedding(many, many.data)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "Interrupted" in err
        assert "Traceback" not in err
    assert not (many.data / "ref_data.csv").exists()
    again = many.run("embed", many.recordings, "--json")
    assert again.code == 0, again.err
    assert 3 <= again.json["from_cache"] < 120
    assert again.json["rows"] == 120
    fresh = many.run("embed", many.recordings, "--out", tmp_path / "fresh", "--json")
    assert fresh.json["sha256"] == again.json["sha256"]
    assert not list(many.data.rglob("*.tmp")) or number == signal.SIGKILL


def test_broken_and_doubled_files_are_skipped_and_said(tmp_path: Path, embedded: Plant) -> None:
    recordings = write_dataset(tmp_path / "recordings", normals=5, anomalies=3)
    normal, abnormal = recordings / "fan/id_00/normal", recordings / "fan/id_00/abnormal"
    (normal / "text.wav").write_text("no sound at all")
    (normal / "empty.wav").touch()
    (normal / "cut.wav").write_bytes((normal / "00000000.wav").read_bytes()[:5000])
    shutil.copy(normal / "00000001.wav", normal / "twin.wav")
    shutil.copy(normal / "00000002.wav", abnormal / "contradiction.wav")
    out = tmp_path / "data"
    summary = embedded.run("embed", recordings, "--out", out, "--json").json
    reasons = {Path(skipped["path"]).name: skipped["reason"] for skipped in summary["skipped"]}
    assert set(reasons) == {"text.wav", "empty.wav", "cut.wav", "twin.wav", "contradiction.wav", "00000002.wav"}
    assert "labelled" in reasons["contradiction.wav"]
    assert summary["clips"] == 7
    loud = embedded.run("embed", recordings, "--out", out, "--strict")
    assert loud.code == 3
    assert "SKIPPED" in loud.err
    assert "text.wav" in loud.err


def test_a_folder_of_broken_files_only_is_refused(tmp_path: Path, embedded: Plant) -> None:
    place = tmp_path / "x" / "normal"
    place.mkdir(parents=True)
    (place / "text.wav").write_text("no sound at all")
    answer = embedded.run("embed", tmp_path / "x", "--out", tmp_path / "data")
    assert answer.code == 2
    assert "None of the 1 recordings" in answer.err
