"""The command line as a user meets it: evaluate, predict, models; refusals in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_pipeline.reference import read_reference
from tests.cli.command import Plant, wheeltapper
from tests.pipeline.recordings import RATE, fan
from tests.pipeline.trained import publish


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from wheeltapper.cli import main; main(['--help'])\n"
        "assert not {'torch', 'onnxruntime', 'sklearn', 'librosa', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("embed", "train", "evaluate", "predict", "models", "serve", "synth"):
        assert command in done.stdout


@pytest.mark.parametrize("command", ["embed", "evaluate", "predict", "models"])
def test_each_command_explains_itself(command: str) -> None:
    answer = wheeltapper(command, "--help")
    assert answer.code == 0, answer.err
    assert command in answer.out


def test_the_service_carries_nothing_that_only_training_needs() -> None:
    code = (
        "import sys, serve.app; "
        "assert not {'torch', 'transformers', 'sklearn', 'pandas', 'scipy.stats', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_another_model_serves_when_promoted_and_until_rolled_back(copied: Plant) -> None:
    first = copied.run("models", "list", "--json").json["current"]
    second = publish(copied.artifacts, read_reference(copied.data), rate=0.1, parent=first)
    listed = copied.run("models", "list", "--json").json
    assert listed["current"] == first
    assert [model["version"] for model in listed["models"]] == [first, second]
    assert copied.run("models", "promote", second).code == 0
    assert copied.run("models", "show", "current").json["parent"] == first
    assert copied.run("models", "rollback", "--json").json == {"current": first, "previous": second}


def test_a_knocking_fan_is_told_from_a_healthy_one(plant: Plant, knocking: Path, healthy: Path) -> None:
    answer = plant.run("predict", knocking, healthy, "--machine", "fan/id_00", "--json")
    assert answer.code == 0, answer.err
    bad, good = answer.json
    assert bad["score"] > good["score"]
    assert bad["p_value"] < good["p_value"]
    assert set(bad) >= {
        "anomaly", "score", "threshold", "p_value", "sensor", "machine", "model_version", "encoder", "duration_s",
        "windows",
    }  # fmt: skip
    assert set(bad["windows"][0]) >= {"start_s", "end_s", "score"}


def test_a_verdict_is_explained_in_words(plant: Plant, knocking: Path) -> None:
    answer = plant.run("predict", knocking)
    assert answer.code == 0, answer.err
    for part in ("knocking.wav", "score", "threshold", "of 100 healthy clips"):
        assert part in answer.out


def test_one_bad_file_among_good_ones_does_not_hide_their_verdicts(plant: Plant, healthy: Path, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound at all")
    answer = plant.run("predict", tmp_path / "text.wav", healthy, "--json")
    assert answer.code == 2
    assert [("score" in entry, "error" in entry) for entry in answer.json] == [(False, True), (True, False)]
    assert "text.wav" in answer.err
    assert "Traceback" not in answer.err


def test_evaluation_of_held_out_rows_prints_a_table_and_writes_files(plant: Plant, tmp_path: Path) -> None:
    answer = plant.run("evaluate", "--out", tmp_path)
    assert answer.code == 0, answer.err
    for word in ("fan/id_00", "AUC", "pAUC", "F1", "recall"):
        assert word in answer.out
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written["overall"]["auc"] > 0.9
    for name in ("roc.png", "scores.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_evaluation_of_a_folder_agrees_with_predict(plant: Plant, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    for kind, seeds in (("normal", range(500, 510)), ("abnormal", range(600, 605))):
        (fresh / "fan/id_00" / kind).mkdir(parents=True)
        for seed in seeds:
            soundfile.write(fresh / "fan/id_00" / kind / f"{seed}.wav", fan(seed, kind == "abnormal"), RATE)
    answer = plant.run("evaluate", fresh, "--out", tmp_path, "--json")
    assert answer.code == 0, answer.err
    overall = answer.json["overall"]
    assert (overall["normals"], overall["anomalies"]) == (10, 5)
    assert overall["auc"] > 0.9
    normals = sorted((fresh / "fan/id_00/normal").iterdir())
    verdicts = plant.run("predict", *normals, "--machine", "fan/id_00", "--json").json
    assert overall["false_alarm_rate"] == pytest.approx(np.mean([verdict["anomaly"] for verdict in verdicts]))


@pytest.mark.parametrize("name", ["classifier.onnx", "model.json"])
def test_a_tampered_model_is_refused_in_one_line(copied: Plant, healthy: Path, name: str) -> None:
    (path,) = copied.artifacts.glob(f"models/*/{name}")
    path.write_bytes(path.read_bytes() + b"\n")
    answer = copied.run("predict", healthy)
    assert answer.code == 3
    assert name in answer.err
    assert len(answer.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("evaluate",), "model"),
        (("predict", "x.wav"), "wheeltapper train"),
        (("embed", "nowhere"), "nowhere"),
        (("embed", ".", "--encoder", "mine"), "mine"),
        (("models", "promote", "model-000"), "model-000"),
        (("models", "rollback"), "wheeltapper train"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_no_traceback(
    tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    answer = wheeltapper(*words, WHEELTAPPER_DATA=tmp_path / "d", WHEELTAPPER_ARTIFACTS=tmp_path / "a")
    assert answer.code in (2, 3)
    assert sentence in answer.err
    assert "Traceback" not in answer.err


def test_a_database_that_does_not_answer_is_told_in_a_sentence(tmp_path: Path) -> None:
    folders = {"WHEELTAPPER_DATA": tmp_path / "d", "WHEELTAPPER_ARTIFACTS": tmp_path / "a"}
    for words in (("serve", "--port", "0"), ("models", "list")):
        answer = wheeltapper(*words, DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing", **folders)
        assert answer.code == 3
        assert "The database does not answer" in answer.err
        assert "Traceback" not in answer.err


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    clips = Path("data/demo/reference").resolve()
    answer = wheeltapper("embed", clips, "--out", tmp_path / "file" / "data", "--workers", 1)
    assert answer.code == 3
    assert str(tmp_path / "file") in answer.err
    assert "cannot be read or written (Not a directory)" in answer.err
    assert "Traceback" not in answer.err
