"""`wheeltapper train`: a model from the reference alone; the first one serves, later ones when promoted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import Plant, wheeltapper


@pytest.fixture
def untrained(embedded: Plant, tmp_path: Path) -> Plant:
    return Plant(embedded.recordings, embedded.data, tmp_path / "artifacts")


def test_the_first_model_serves_and_later_ones_when_promoted(untrained: Plant) -> None:
    first = untrained.run("train", "--json")
    assert first.code == 0, first.err
    assert first.json["serves"]
    second = untrained.run("train", "--false-alarm-rate", 0.05, "--json").json
    assert not second["serves"]
    assert second["version"] != first.json["version"]
    assert untrained.run("models", "list", "--json").json["current"] == first.json["version"]
    third = untrained.run("train", "--false-alarm-rate", 0.1, "--promote", "--json").json
    assert third["serves"]
    assert untrained.run("models", "rollback", "--json").json["current"] == first.json["version"]


def test_the_first_model_can_be_traced_to_the_rows_it_was_trained_on(untrained: Plant) -> None:
    version = untrained.run("train", "--json").json["version"]
    told = untrained.run("models", "show", version)
    assert told.code == 0, told.err
    with (untrained.data / "ref_data.csv").open() as table:
        rows = sum(1 for _ in table) - 1
    counted = told.json["lineage"]["reference"]["rows"]
    assert sum(counted.values()) == rows
    assert counted["trained_normal"] > 0


def test_training_prints_figures_and_the_rate_that_can_be_had(untrained: Plant) -> None:
    answer = untrained.run("train", "--false-alarm-rate", 0.001)
    assert answer.code == 0, answer.err
    assert "AUC" in answer.out
    assert "out of reach" in answer.out
    assert "serves now" in answer.out


def test_a_trained_model_tells_a_knocking_fan_from_a_healthy_one(
    untrained: Plant, knocking: Path, healthy: Path
) -> None:
    assert untrained.run("train", "--false-alarm-rate", 0.05).code == 0
    bad, good = untrained.run("predict", knocking, healthy, "--machine", "fan/id_00", "--json").json
    assert bad["anomaly"]
    assert bad["score"] > good["score"]


def test_without_a_reference_training_says_what_to_run(tmp_path: Path) -> None:
    answer = wheeltapper("train", WHEELTAPPER_DATA=tmp_path, WHEELTAPPER_ARTIFACTS=tmp_path)
    assert answer.code == 2
    assert "wheeltapper embed" in answer.err
    assert len(answer.err.strip().splitlines()) == 1


def test_an_edited_reference_is_refused_in_one_line(copied: Plant) -> None:
    table = copied.data / "ref_data.csv"
    table.write_text(table.read_text().replace("False", "True", 1))
    answer = copied.run("train")
    assert answer.code == 2
    assert "ref_data.csv" in answer.err
    assert len(answer.err.strip().splitlines()) == 1
