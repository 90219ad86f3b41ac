"""A confirmed fault is found again at once, and costs no healthy clip its peace."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from audio_pipeline.detector.classifier import Classifier, Scores
from audio_pipeline.detector.training import fit
from audio_pipeline.reference import Reference
from tests.detector.gaussian import encoder, join, reference, site

CONFIRMED = 5


@dataclass
class Case:
    known: Reference
    fresh: NDArray[np.float32]
    faults: NDArray[np.float32]
    twins: NDArray[np.float32]
    plain: Classifier
    trained: Classifier

    def score(self, rows: NDArray[np.float32], way: str) -> Scores:
        machines = ["fan/0"] * len(rows)
        if way == "input":
            return self.plain.score(rows, machines, self.faults)
        return self.trained.score(rows, machines)


@pytest.fixture(scope="module")
def case() -> Case:
    random = np.random.default_rng(7)
    machine, known = site(7, 1, 80)
    faults = machine[0].draw(random, CONFIRMED) + 4 * random.standard_normal((CONFIRMED, 24)).astype(np.float32)
    twins = (faults + 0.05 * random.standard_normal(faults.shape)).astype(np.float32)
    answered = join(known, reference(faults, "fan/0", np.ones(CONFIRMED, bool)))
    return Case(
        known,
        machine[0].draw(random, 1000),
        faults,
        twins,
        Classifier.from_bytes(*fit(known, encoder())),
        Classifier.from_bytes(*fit(answered, encoder())),
    )


WAYS = pytest.mark.parametrize("way", ["input", "training"])


@WAYS
def test_a_near_twin_is_as_rare_as_can_be_said(case: Case, way: str) -> None:
    assert np.allclose(case.score(case.twins, way).p_value, 1 / (len(case.known) + 1))
    assert np.allclose(case.score(case.faults, way).p_value, 1 / (len(case.known) + 1))


def test_a_slight_fault_that_passed_for_healthy_is_found_once_it_is_confirmed() -> None:
    found_before, found_after = [], []
    for seed in range(5):
        random = np.random.default_rng(seed)
        machine, known = site(seed, 1, 80)
        classifier = Classifier.from_bytes(*fit(known, encoder()))
        fault = machine[0].draw(random, 1) + 0.5 * machine[0].mixing[:1].astype(np.float32)
        twin = (fault + 0.02 * random.standard_normal(fault.shape)).astype(np.float32)
        found_before.append(classifier.score(twin, ["fan/0"]).p_value[0])
        found_after.append(classifier.score(twin, ["fan/0"], fault).p_value[0])
    assert np.median(found_before) > 0.1
    assert np.allclose(found_after, 1 / 81)


def test_normals_stay_as_they_were_until_it_is_trained_on(case: Case) -> None:
    for rows in (case.known.vectors, case.fresh):
        before, after = case.plain.score(rows, ["fan/0"] * len(rows)), case.score(rows, "input")
        assert np.allclose(before.score, after.score, atol=1e-6)
        assert np.array_equal(before.p_value, after.p_value)


@WAYS
@pytest.mark.parametrize("loudness", [0.0, 0.3, 1.0, 3.0, 30.0])
def test_no_score_ever_falls(case: Case, way: str, loudness: float) -> None:
    noise = np.random.default_rng(1).standard_normal(case.fresh.shape).astype(np.float32)
    rows = np.concatenate([case.fresh + np.float32(loudness) * noise, case.faults, case.twins])
    before = case.plain.score(rows, ["fan/0"] * len(rows)).score
    assert (case.score(rows, way).score >= before - 1e-6).all()


def test_each_further_fault_only_raises(case: Case) -> None:
    rows = np.concatenate([case.fresh[:100], case.twins])
    last = case.plain.score(rows, ["fan/0"] * len(rows)).score
    for count in range(1, CONFIRMED + 1):
        score = case.plain.score(rows, ["fan/0"] * len(rows), case.faults[:count]).score
        assert (score >= last - 1e-6).all()
        last = score


def test_a_twin_on_an_unknown_machine_is_found_too(case: Case) -> None:
    p_value = case.plain.score(case.twins, [""] * CONFIRMED, case.faults).p_value
    assert np.allclose(p_value, 1 / (len(case.known) + 1))


def test_more_faults_than_the_graph_keeps_are_thinned_out_and_still_known() -> None:
    random = np.random.default_rng(3)
    machine, known = site(3, 1, 60)
    kinds = 6 * random.standard_normal((4, 24))
    faults = machine[0].draw(random, 300) * 0.05 + kinds[np.arange(300) % 4]
    answered = join(known, reference(faults.astype(np.float32), "fan/0", np.ones(300, bool)))
    graph, manifest = fit(answered, encoder())
    assert manifest.data.anomaly_rows == 300
    p_value = Classifier.from_bytes(graph, manifest).score(faults.astype(np.float32), ["fan/0"] * 300).p_value
    assert np.allclose(p_value, 1 / 61)
