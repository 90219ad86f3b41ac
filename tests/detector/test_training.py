"""From a reference set to a published model: what it needs, what it says, and that it says the same twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audio_pipeline.artifacts import ModelStore
from audio_pipeline.decision import decide
from audio_pipeline.detector.classifier import Classifier
from audio_pipeline.detector.manifest import read_manifest
from audio_pipeline.detector.training import fit, train
from audio_pipeline.reference import Reference
from tests.detector.gaussian import Machine, encoder, join, recordings, reference, site


def split(held_out_normals: int = 40, held_out_faults: int = 20, shift: float = 4.0) -> Reference:
    """60 normals to train on; held-out normals and faults to measure with."""
    machine, random = Machine(0), np.random.default_rng(5)
    held_out = held_out_normals + held_out_faults
    vectors = machine.draw(random, held_out)
    targets = np.arange(held_out) >= held_out_normals
    vectors[targets] += np.float32(shift)
    return join(
        reference(machine.draw(random, 60)),
        reference(vectors, targets=targets, groups=recordings(held_out, held_out=True)),
    )


def test_normals_alone_are_enough() -> None:
    graph, manifest = fit(site(0, 2, 30)[1], encoder())
    assert manifest.data.normal_rows == 60
    assert manifest.data.anomaly_rows == 0
    random = np.random.default_rng(0)
    odd = (10 * random.standard_normal((20, 24))).astype(np.float32)
    assert np.allclose(Classifier.from_bytes(graph, manifest).score(odd, ["fan/0"] * 20).p_value, 1 / 61)


def test_figures_that_nothing_was_held_out_for_are_unknown() -> None:
    assert fit(site(0, 1, 30)[1], encoder())[1].metrics == {"held_out": None}


def test_figures_that_one_class_does_not_define_are_null() -> None:
    figures = json.loads(json.dumps(fit(split(held_out_faults=0), encoder())[1].to_json()))["metrics"]["held_out"]
    assert figures["normals"] == 40
    assert figures["false_alarm_rate"] is not None
    assert all(figures[name] is None for name in ("auc", "pauc", "f1", "recall", "balanced_accuracy"))


def test_figures_are_of_the_held_out_rows_by_the_exported_graph() -> None:
    data = split()
    graph, manifest = fit(data, encoder(), false_alarm_rate=0.05)
    figures = manifest.metrics["held_out"]
    held_out = data.select(data.held_out)
    scores = Classifier.from_bytes(graph, manifest).score(held_out.vectors, held_out.machines.tolist())
    alarms = scores.score > manifest.thresholds["known"]
    assert figures["recall"] == pytest.approx(alarms[held_out.targets].mean())
    assert figures["false_alarm_rate"] == pytest.approx(alarms[~held_out.targets].mean())
    assert figures["auc"] > 0.95


def test_held_out_recordings_never_train() -> None:
    data = split()
    vectors = data.vectors.copy()
    vectors[data.held_out] = np.random.default_rng(9).standard_normal(vectors[data.held_out].shape) * 50
    targets = data.targets.copy()
    targets[data.held_out] = ~targets[data.held_out]
    one, other = fit(data, encoder()), fit(replace(data, vectors=vectors, targets=targets), encoder())
    assert one[0] == other[0]
    assert one[1].calibration == other[1].calibration
    assert one[1].metrics != other[1].metrics


def test_a_confirmed_fault_that_is_held_out_is_not_built_in() -> None:
    data = split()
    assert fit(data.select(~data.held_out), encoder())[0] == fit(data, encoder())[0]


def test_the_same_data_and_seed_give_the_same_graph_byte_for_byte() -> None:
    data = join(site(3, 3, 40)[1], reference(site(4, 1, 5)[1].vectors, "fan/0", np.ones(5, bool)))
    assert fit(data, encoder(), seed=1)[0] == fit(data, encoder(), seed=1)[0]


def test_another_seed_deals_other_folds_and_calibrates_anew() -> None:
    data = site(3, 1, 40)[1]
    assert fit(data, encoder(), seed=1)[1].calibration != fit(data, encoder(), seed=2)[1].calibration


def test_a_rate_out_of_reach_is_said_and_replaced_by_the_lowest_that_is_not() -> None:
    _, manifest = fit(site(0, 1, 30)[1], encoder(), false_alarm_rate=0.01)
    rate = manifest.false_alarm_rate
    assert (rate.asked, rate.used, rate.reachable) == (0.01, 1 / 31, 1 / 31)
    assert any("1.00%" in note and "99 normal windows" in note and "3.23%" in note for note in manifest.notes)


def test_a_rate_within_reach_is_used_and_nothing_is_said() -> None:
    _, manifest = fit(split(), encoder(), false_alarm_rate=0.05)
    assert manifest.false_alarm_rate.used == 0.05
    assert manifest.notes == ()


def test_the_thresholds_are_those_of_a_clip_of_one_window() -> None:
    data = split()
    graph, manifest = fit(data, encoder(), false_alarm_rate=0.05)
    for machine, key in (("fan/a", "known"), ("a stranger", "unknown")):
        scores = Classifier.from_bytes(graph, manifest).score(data.vectors[-1:], [machine])
        decision = decide(scores.score.tolist(), scores.p_value.tolist(), manifest.calibration_of(machine), 0.05)
        assert decision.threshold == manifest.thresholds[key]


def test_the_manifest_says_what_it_was_made_of_and_reads_back_as_it_was(tmp_path: Path) -> None:
    data = split()
    folder = train(data, encoder(), tmp_path, false_alarm_rate=0.05, parent="model-before")
    manifest = read_manifest(folder)
    again = fit(data, encoder(), false_alarm_rate=0.05, parent="model-before")[1]
    assert manifest == again.model_copy(update={"created": manifest.created, "files": manifest.files})
    assert (manifest.parent, manifest.machines, manifest.dimensions) == ("model-before", ("fan/a",), 24)
    assert manifest.data.model_dump() == {
        "reference_sha256": data.sha256,
        "reference_rows": 120,
        "production_rows": 0,
        "normal_rows": 60,
        "anomaly_rows": 0,
        "held_out_rows": 60,
        "trained": None,
    }
    assert {(member.group, member.start, member.stop) for member in manifest.members} == {
        ("group_0", 0, 12),
        ("group_1", 12, 24),
    }


def test_a_trained_model_is_published_and_does_not_serve_yet(tmp_path: Path) -> None:
    folder = train(site(0, 1, 30)[1], encoder(), tmp_path)
    store = ModelStore(tmp_path)
    assert store.load(folder.name).folder == folder
    assert store.current() is None


def test_the_levels_of_normal_clips_are_kept_for_the_sensor_check() -> None:
    data = join(site(0, 2, 20)[1], reference(site(0, 1, 3)[1].vectors, "fan/0", np.ones(3, bool)))
    levels = np.linspace(-40, -20, len(data))
    _, manifest = fit(replace(data, levels_db=levels), encoder())
    assert manifest.levels_db["fan/0"] == (levels[0], levels[19])
    assert manifest.levels_db["fan/1"] == (levels[20], levels[39])
