"""Confirmed false alarms stop alarming, without loosening what everything else is measured by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audio_pipeline.detector.classifier import Classifier
from audio_pipeline.detector.training import fit
from audio_pipeline.errors import TrainingError
from tests.detector.gaussian import Machine, encoder, join, reference

WIDTH = 16


def test_a_confirmed_false_alarm_quiets_its_like_and_leaves_the_threshold_alone() -> None:
    random = np.random.default_rng(0)
    healthy = Machine(1, WIDTH)
    normals = reference(healthy.draw(random, 80))
    shift = np.zeros(WIDTH, np.float32)
    shift[3] = 12.0  # a healthy state that the reference does not have: a door that stands open
    odd = reference(healthy.draw(random, 20) + shift)
    asked_about = replace(odd, calibrates=np.zeros(len(odd), bool))
    both = join(replace(normals, calibrates=np.ones(len(normals), bool)), asked_about)

    plain, told, careless = (
        Classifier.from_bytes(*fit(data, encoder(WIDTH, 2))) for data in (normals, both, replace(both, calibrates=None))
    )
    fresh_odd, fresh = healthy.draw(random, 300) + shift, healthy.draw(random, 600)

    def alarms(classifier: Classifier, rows: np.ndarray) -> float:
        return float((classifier.score(rows, ["fan/a"] * len(rows)).p_value <= 0.05).mean())

    assert told.manifest.calibration["known"].rows == plain.manifest.calibration["known"].rows == 80
    assert careless.manifest.calibration["known"].rows == 100
    assert alarms(plain, fresh_odd) == 1.0
    assert alarms(told, fresh_odd) < 0.5
    # What nobody asked about alarms as often as promised, not more and not much less.
    assert 0.01 < alarms(told, fresh) < 0.09


def test_a_machine_known_from_false_alarms_alone_is_a_known_machine() -> None:
    random = np.random.default_rng(1)
    known, new = Machine(1, WIDTH), Machine(2, WIDTH, centre=4)
    normals = reference(known.draw(random, 40))
    asked_about = reference(new.draw(random, 12), "fan/b")
    data = join(replace(normals, calibrates=np.ones(40, bool)), replace(asked_about, calibrates=np.zeros(12, bool)))
    graph, manifest = fit(data, encoder(WIDTH, 2))
    assert manifest.machines == ("fan/a", "fan/b")
    scores = Classifier.from_bytes(graph, manifest).score(new.draw(random, 200), ["fan/b"] * 200).score
    assert abs(float(np.median(scores))) < 1.0


def test_without_a_row_that_may_calibrate_there_is_no_threshold() -> None:
    normals = reference(Machine(1, WIDTH).draw(np.random.default_rng(2), 20))
    with pytest.raises(TrainingError, match="sounded odd"):
        fit(replace(normals, calibrates=np.zeros(20, bool)), encoder(WIDTH, 2))
