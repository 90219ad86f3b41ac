"""The figures equal scikit-learn's, in Evidently's reports too, and what is undefined is unknown."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from evidently.core.report import Snapshot
from sklearn import metrics

from audio_pipeline.errors import ReferenceDataError
from monitoring.quality import AnsweredClips, figures, has_fallen, read_answered
from monitoring.reports import Stamp, quality_report

STAMP = Stamp(datetime(2026, 11, 24, tzinfo=UTC), "m")
THEIRS = {
    "f1": metrics.f1_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
    "recall": metrics.recall_score,
    "precision": metrics.precision_score,
}


def value_of(snapshot: Snapshot, metric: str, **labels: str) -> float:
    """Read a figure off a snapshot, by the metric's class and its parameters."""
    for entry in snapshot.dict()["metrics"]:
        config = entry["config"]
        if config["type"].endswith(f":{metric}") and all(config.get(name) == value for name, value in labels.items()):
            return float(entry["value"])
    raise KeyError(metric)


def test_figures_equal_scikit_learns_whenever_they_are_defined() -> None:
    rng = np.random.default_rng(0)
    for rows in (2, 7, 60, 500):
        targets = rng.random(rows) < 0.4
        targets[:2] = True, False
        verdicts = targets ^ (rng.random(rows) < 0.2)
        verdicts[0] = True
        found = figures(targets, verdicts)
        clips = AnsweredClips(np.zeros((rows, 3), np.float32), targets, verdicts)
        report = quality_report(clips, {"recall": 0.25, "false_alarm_rate": None}, STAMP)
        for name, function in THEIRS.items():
            assert getattr(found, name) == pytest.approx(function(targets, verdicts), abs=1e-9)
            shown = value_of(report, "WheeltapperAnswerFigure", figure=name)
            assert shown == pytest.approx(function(targets, verdicts), abs=1e-9)
        matrix = metrics.confusion_matrix(targets, verdicts, labels=[False, True]).ravel().tolist()
        assert matrix == [found.true_negative, found.false_positive, found.false_negative, found.true_positive]
        assert value_of(report, "WheeltapperGivenFigure", figure="audit_recall") == 0.25
        assert math.isnan(value_of(report, "WheeltapperGivenFigure", figure="audit_false_alarm_rate"))


@pytest.mark.parametrize(
    ("target", "unknown"), [(True, {"balanced_accuracy"}), (False, {"f1", "balanced_accuracy", "recall"})]
)
def test_one_class_leaves_unknown_what_it_does_not_define(target: bool, unknown: set[str]) -> None:
    targets, verdicts = np.full(6, target), np.array([True, False] * 3)
    found = figures(targets, verdicts)
    report = quality_report(AnsweredClips(np.zeros((6, 3), np.float32), targets, verdicts), {}, STAMP)
    for name in THEIRS:
        assert (getattr(found, name) is None) == (name in unknown)
        assert math.isnan(value_of(report, "WheeltapperAnswerFigure", figure=name)) == (name in unknown)
    assert figures(targets, np.zeros(6, bool)).precision is None


def test_the_table_reads_back_without_a_row_that_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "prod_data.csv"
    assert len(read_answered(path)) == 0
    path.write_text("emb_1,emb_2,target,prediction\n")
    assert read_answered(path).vectors.shape == (0, 2)
    path.write_text("emb_1,emb_2,target,prediction\n0.1,-2.0,True,False\n1.0,3.0,False,False\n0.5,0.")
    found = read_answered(path)
    assert found.vectors.tolist() == [[pytest.approx(0.1), -2.0], [1.0, 3.0]]
    assert (found.targets.tolist(), found.verdicts.tolist()) == ([True, False], [False, False])
    path.write_text("emb_1,target,prediction\n0.1,perhaps,False\n")
    with pytest.raises(ReferenceDataError, match="rebuild"):
        read_answered(path)


def test_a_fall_of_quality_is_told_from_chance_and_from_other_questions() -> None:
    rng = np.random.default_rng(0)
    alarms = np.ones(100, bool)
    for _ in range(50):
        assert has_fallen(rng.random(100) < 0.8, alarms, 0.05 / 720) is None
    fallen = np.concatenate([rng.random(70) < 0.9, rng.random(30) < 0.2])
    assert "alarms" in str(has_fallen(fallen, alarms, 0.05 / 720))
    # More clips called normal are asked about, all confirmed: no fall.
    asked = np.concatenate([np.ones(60, bool), np.zeros(60, bool)])
    assert has_fallen(asked, asked, 0.05 / 720) is None
