"""Figures of merit: the textbook's on what the data define, unknown on what they do not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from audio_pipeline.evaluation import evaluate
from audio_pipeline.metrics import harmonic_mean, measure
from audio_pipeline.plots import histogram_png, roc_png

PNG = b"\x89PNG"


def test_figures_agree_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    targets = random.random(200) < 0.4
    scores = random.standard_normal(200) + targets
    verdicts = scores > 1
    found = measure("fan", targets, scores, verdicts)
    assert found.auc == pytest.approx(roc_auc_score(targets, scores))
    assert found.pauc == pytest.approx(roc_auc_score(targets, scores, max_fpr=0.1))
    assert found.f1 == pytest.approx(f1_score(targets, verdicts))
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(targets, verdicts))
    assert found.precision == pytest.approx(precision_score(targets, verdicts))
    assert found.recall == pytest.approx(recall_score(targets, verdicts))


def test_without_anomalies_what_needs_them_is_unknown() -> None:
    found = measure("fan", np.zeros(4, bool), np.arange(4.0), np.array([False, False, False, True]))
    assert (found.auc, found.pauc, found.recall, found.balanced_accuracy, found.f1) == (None,) * 5
    assert found.false_alarm_rate == 0.25
    assert found.precision == 0.0


def test_without_an_alarm_precision_is_unknown() -> None:
    found = measure("fan", np.array([True, False]), np.array([1.0, 0.0]), np.zeros(2, bool))
    assert (found.precision, found.recall, found.f1) == (None, 0.0, 0.0)


def test_nothing_at_all_is_all_unknown() -> None:
    found = measure("fan", np.zeros(0, bool), np.zeros(0), np.zeros(0, bool))
    assert {value for key, value in vars(found).items() if key not in ("name", "normals", "anomalies")} == {None}


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.booleans()), max_size=30))
def test_figures_are_shares_or_unknown(clips: list[tuple[bool, int, bool]]) -> None:
    columns = list(zip(*clips, strict=True)) or [(), (), ()]
    found = measure("x", np.array(columns[0], bool), np.array(columns[1], float), np.array(columns[2], bool))
    for key, value in vars(found).items():
        if key not in ("name", "normals", "anomalies"):
            assert value is None or 0 <= value <= 1


def test_the_summary_is_the_harmonic_mean_over_domains_and_machines() -> None:
    random = np.random.default_rng(1)
    targets = random.random(400) < 0.5
    scores = random.standard_normal(400) + targets
    machines = ["fan/id_00"] * 200 + ["valve/section_00"] * 200
    domains = [""] * 200 + ["source", "target"] * 100
    found = evaluate(targets, scores, scores > 1, machines, domains, unit="clip")
    assert [metrics.name for metrics in found.machines] == ["fan/id_00", "valve/section_00"]
    assert [metrics.name for metrics in found.domains] == ["valve/section_00 source", "valve/section_00 target"]
    fan, valve = found.machines
    source, target = found.domains
    assert found.harmonic_mean == pytest.approx(harmonic_mean([fan.auc, fan.pauc, source.auc, target.auc, valve.pauc]))
    valve_targets, valve_scores = targets[200:], scores[200:]
    rows = (np.arange(200) % 2 == 0) | valve_targets  # DCASE: a domain's normals against all anomalies of the machine
    assert source.auc == pytest.approx(roc_auc_score(valve_targets[rows], valve_scores[rows]))
    json.dumps(found.to_json(), allow_nan=False)


def test_one_machine_without_anomalies_makes_the_summary_unknown() -> None:
    targets = np.array([True, False, False])
    found = evaluate(targets, np.arange(3.0), targets, ["a", "a", ""], ["", "", ""], unit="clip")
    assert found.harmonic_mean is None
    assert [metrics.name for metrics in found.machines] == ["a", "unknown"]
    assert found.overall.auc is not None


def test_pictures_are_drawn_for_ordinary_and_for_poor_data() -> None:
    random = np.random.default_rng(0)
    targets, scores = random.random(50) < 0.5, random.random(50)
    machines = np.array(["fan", ""] * 25)
    assert roc_png(targets, scores, machines).startswith(PNG)
    assert roc_png(np.zeros(50, bool), scores, machines).startswith(PNG)
    assert histogram_png(targets, scores, 0.5).startswith(PNG)
    assert histogram_png(np.zeros(3, bool), np.ones(3), None).startswith(PNG)
