"""The folder that `write_dataset` and `wheeltapper synth` make."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest
import soundfile

from audio_pipeline.clip import read
from audio_pipeline.datasets import discover
from audio_pipeline.errors import SettingsError
from audio_pipeline.sensor import check
from audio_pipeline.synth import KINDS, SynthRecipe, write_dataset
from audio_pipeline.synth.dataset import COLUMNS
from tests.cli.command import wheeltapper

SMALL = SynthRecipe(("fan", "valve"), machines_per_kind=2, normals=2, anomalies=3, seconds=1.5, severities=(0.4, 0.9))


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows(truth: Path) -> list[dict[str, str]]:
    with truth.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_folder_is_understood_as_mimii_and_the_table_names_every_recording(tmp_path: Path) -> None:
    seen: list[None] = []
    table = rows(write_dataset(tmp_path / "made", SMALL, on_clip=lambda: seen.append(None)))
    found = discover(tmp_path / "made")
    assert {recording.machine for recording in found} == {"fan/id_00", "fan/id_01", "valve/id_00", "valve/id_01"}
    assert len(found) == len(table) == len(seen) == SMALL.clips == 20
    assert tuple(table[0]) == COLUMNS
    labels = {str(recording.path.relative_to(tmp_path / "made")): recording.target for recording in found}
    assert labels == {row["path"]: row["fault"] != "" for row in table}
    for row in table:
        samples, rate = soundfile.read(tmp_path / "made" / row["path"], dtype="float32")
        assert (rate, samples.shape) == (16_000, (24_000,))
        assert 0.01 < abs(samples).max() < 0.999
    assert {row["severity"] for row in table} == {"", "0.4", "0.9"}


def test_the_same_recipe_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        write_dataset(tmp_path / name, SynthRecipe(("pump",), normals=2, anomalies=2, seconds=1.0, seed=seed))
    one, two, three = (digests(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two
    assert one.keys() == three.keys()
    assert all(one[path] != three[path] for path in one)


def test_a_machine_stays_the_same_whatever_else_is_made(tmp_path: Path) -> None:
    write_dataset(tmp_path / "alone", SynthRecipe(("slider",), normals=1, anomalies=1, seconds=1.0))
    write_dataset(tmp_path / "with", SynthRecipe(("fan", "slider"), 2, normals=2, anomalies=1, seconds=1.0))
    clip = Path("slider/id_00/normal/00000000.flac")
    assert (tmp_path / "alone" / clip).read_bytes() == (tmp_path / "with" / clip).read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_partial_faults_take_a_tenth_to_four_tenths_of_a_recording(kind: str, tmp_path: Path) -> None:
    recipe = SynthRecipe((kind,), normals=0, anomalies=7, seconds=4.0, partial=True)
    for row in rows(write_dataset(tmp_path / "made", recipe)):
        onset, duration = float(row["onset_s"]), float(row["duration_s"])
        assert onset >= 0
        assert onset + duration <= 4.0 + 1e-3
        assert 0.4 - 1e-3 <= duration <= 1.6 + 1e-3
        assert 0 <= float(row["low_hz"]) < float(row["high_hz"]) <= 8000


def test_no_microphone_check_finds_fault_with_the_clips_of_any_kind(tmp_path: Path) -> None:
    recipe = SynthRecipe(KINDS, normals=1, anomalies=6, seconds=2.0, severities=(1.0,), snr_db=0.0)
    for row in rows(write_dataset(tmp_path / "made", recipe)):
        report = check(read(tmp_path / "made" / row["path"]).sensor)
        assert report.ok, (row["path"], report.findings)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("keep")
    with pytest.raises(SettingsError, match="not empty"):
        write_dataset(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_interrupted_run_is_finished_by_running_it_again_and_no_other_request(tmp_path: Path) -> None:
    left = 3

    def interrupt() -> None:
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "made", SMALL, on_clip=interrupt)
    assert not (tmp_path / "made" / "truth.csv").exists()
    with pytest.raises(SettingsError, match="another request"):
        write_dataset(tmp_path / "made", SynthRecipe(("pump",)))
    write_dataset(tmp_path / "made", SMALL)
    write_dataset(tmp_path / "whole", SMALL)
    assert digests(tmp_path / "made") == digests(tmp_path / "whole")


def test_only_the_faults_that_are_asked_for_are_made(tmp_path: Path) -> None:
    recipe = SynthRecipe(("fan",), normals=0, anomalies=3, seconds=1.0, faults=("rattle", "imbalance"))
    with write_dataset(tmp_path / "made", recipe).open(newline="") as table:
        assert [row["fault"] for row in csv.DictReader(table)] == ["rattle", "imbalance", "rattle"]
    recipe = SynthRecipe(("fan",), normals=0, anomalies=3, seconds=1.0, faults=("rattle",), severities=(0.2, 0.9))
    with write_dataset(tmp_path / "one", recipe).open(newline="") as table:
        assert [row["severity"] for row in csv.DictReader(table)] == ["0.2", "0.9", "0.2"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"kinds": ("fan", "toaster")}, "'toaster': choose from fan, pump"),
        ({"kinds": ()}, "No kind"),
        ({"severities": (0.5, 1.5)}, "1.5"),
        ({"severities": (float("nan"),)}, "nan"),
        ({"snr_db": float("nan")}, "nan"),
        ({"seconds": 0.01}, "0.01 s"),
        ({"normals": 0, "anomalies": 0}, "Nothing to make"),
        ({"seed": -1}, "-1"),
        ({"faults": ("toothache",)}, "A fan cannot have 'toothache'.*rattle"),
    ],
)
def test_recipes_that_cannot_be_made_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        SynthRecipe(**{"kinds": ("fan",), **wrong})  # type: ignore[arg-type]


def test_the_command_makes_the_folder_and_says_so_for_machines(tmp_path: Path) -> None:
    answer = wheeltapper(
        "synth", tmp_path / "made", "--machine", "fan", "--machine", "valve", "--normal", 2, "--abnormal", 2,
        "--severity", 0.5, "--snr", 6, "--seconds", 1, "--seed", 0, "--partial", "--json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert answer.json["clips"] == 8
    assert len(rows(Path(answer.json["truth"]))) == 8


def test_the_command_refuses_an_unknown_machine_with_the_known_ones_and_no_traceback(tmp_path: Path) -> None:
    answer = wheeltapper("synth", tmp_path / "made", "--machine", "toaster")
    assert answer.code == 2
    assert "toaster" in answer.err
    assert all(kind in answer.err for kind in KINDS)
    assert "Traceback" not in answer.err
    assert not (tmp_path / "made").exists()
