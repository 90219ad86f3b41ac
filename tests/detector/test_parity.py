"""The graph under ONNX Runtime says what the float64 models say, for a row alone as in a batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from audio_pipeline.detector import calibration
from audio_pipeline.detector.backends import AbsoluteGroup, MachineModel
from audio_pipeline.detector.classifier import Classifier
from audio_pipeline.detector.graph import build
from audio_pipeline.detector.training import fit
from tests.detector.gaussian import encoder, fitted, reference, site

ENCODER = encoder(48, 3, absolute={2})
TOLERANCE = 1e-5
MACHINES = 3


@dataclass
class Case:
    models: tuple[MachineModel, ...]
    classifier: Classifier
    calibration: dict[str, NDArray[np.float32]]
    rows: NDArray[np.float32]
    machines: NDArray[np.int64]

    def expected(self) -> NDArray[np.float64]:
        table = np.stack([model.score(self.rows.astype(np.float64)) for model in self.models])
        known = (self.machines >= 1) & (self.machines <= MACHINES)
        own = table[np.where(known, self.machines - 1, 0), np.arange(len(self.rows))]
        return np.where(known, own, table.min(axis=0))


@pytest.fixture(scope="module")
def case() -> Case:
    """Normals and odd rows of three machines, each index drawn, some of them of no machine."""
    random = np.random.default_rng(0)
    made, known = site(0, MACHINES, 80, width=48)
    models = fitted(known, ENCODER)
    normals = known.vectors.astype(np.float64)
    tables = {
        "known": calibration.known_machine_scores(models, len(normals)).astype(np.float32),
        "unknown": calibration.unknown_machine_scores(models, normals).astype(np.float32),
    }
    rows = np.concatenate([machine.draw(random, 500) for machine in made])
    rows[::3] += random.standard_normal(rows[::3].shape).astype(np.float32) * 4
    machines = random.choice(np.array([0, 1, 2, 3, 4, -1, -(2**63), 2**63 - 1]), len(rows))
    return Case(models, Classifier.from_bytes(*fit(known, ENCODER)), tables, rows, machines)


def off_by(got: NDArray[np.float32], want: NDArray[np.float32] | NDArray[np.float64]) -> float:
    return float((np.abs(got - want) / np.maximum(1, np.abs(want))).max())


def test_scores_are_those_of_the_float64_models_for_known_unknown_and_impossible_machines(case: Case) -> None:
    assert off_by(case.classifier.score(case.rows, case.machines).score, case.expected()) <= TOLERANCE


def test_twins_of_confirmed_faults_are_lifted_under_the_model_of_their_own_machine(case: Case) -> None:
    random = np.random.default_rng(1)
    faults = case.rows[1::125]  # slight ones, four a machine, that pass for healthy
    steps = np.linspace(0, 1.5, 40)[:, None, None]
    rows = (faults + steps * random.standard_normal(faults.shape)).astype(np.float32).reshape(-1, faults.shape[1])
    machines = np.tile(np.repeat(np.arange(1, MACHINES + 1), 4), 40) * (random.random(len(rows)) < 0.7)
    novelty = Case(case.models, case.classifier, case.calibration, rows, machines).expected()
    own = np.where(
        machines > 0, machines - 1, np.argmin([model.score(rows.astype(np.float64)) for model in case.models], axis=0)
    )
    top = np.where(machines > 0, case.calibration["known"].max(), case.calibration["unknown"].max()) + 1
    near = np.empty(len(rows))
    for row, vector in enumerate(rows.astype(np.float64)):
        apart, size = np.zeros(len(faults)), np.zeros(len(faults))
        for group in case.models[own[row]].groups:
            if isinstance(group, AbsoluteGroup):  # in its unit, as it is
                place, fault = (of[:, group.white.columns] - group.white.centre for of in (vector[None], faults))
            else:
                place, fault = (group.white.apply(of) for of in (vector[None], faults))
            apart += ((place - fault) ** 2).mean(axis=1)
            size += (fault**2).mean(axis=1)
        near[row] = np.clip(2 - 4 * apart / size, 0, 1).max()
    assert 0.05 < (near == 0).mean() < 0.9
    assert ((near > 0) & (near < 1)).mean() > 0.05
    expected = novelty + near * np.maximum(0, top - novelty)
    got = case.classifier.score(rows, machines, faults)
    assert off_by(got.score, expected) <= TOLERANCE
    assert (expected > novelty + 0.1).mean() > 0.05


def test_p_values_count_the_calibration_scores_that_are_as_high(case: Case) -> None:
    scores, expected = case.classifier.score(case.rows, case.machines), case.expected()
    rows = len(case.calibration["known"])
    rank = np.round(scores.p_value * (rows + 1)).astype(int)
    for name, chosen in (("known", (case.machines >= 1) & (case.machines <= MACHINES)), ("unknown", None)):
        own = chosen if chosen is not None else (case.machines < 1) | (case.machines > MACHINES)
        table = case.calibration[name].astype(np.float64)
        margin = TOLERANCE * np.maximum(1, np.abs(expected[own]))
        lowest, highest = (1 + (table >= (expected[own] + sign * margin)[:, None]).sum(1) for sign in (1, -1))
        assert ((lowest <= rank[own]) & (rank[own] <= highest)).all()
        # A calibration score within rounding of a row is rare: nearly every rank is the very one.
        assert (rank[own] == 1 + (table >= expected[own][:, None]).sum(1)).mean() > 0.999


def test_a_row_exactly_on_a_calibration_score_counts_it(case: Case) -> None:
    rows, machines = case.rows[:60], np.ones(60, np.int64)
    scores = case.classifier.score(rows, machines).score
    nothing = np.zeros((0, rows.shape[1]), np.float32)
    names = case.classifier.manifest.machines
    graph = build(case.models, names, rows.shape[1], scores, case.calibration["unknown"], nothing)
    again = Classifier.from_bytes(graph, case.classifier.manifest).score(rows, machines)
    assert np.array_equal(again.score, scores)
    assert np.array_equal(np.round(again.p_value * 61), 1 + (scores[None] >= scores[:, None]).sum(1))


def test_a_row_alone_scores_as_in_a_batch(case: Case) -> None:
    confirmed = case.rows[::300]
    for faults in (None, confirmed):
        batch = case.classifier.score(case.rows, case.machines, faults).score
        for row in range(0, len(case.rows), 25):
            one = slice(row, row + 1)
            assert off_by(case.classifier.score(case.rows[one], case.machines[one], faults).score, batch[one]) <= (
                TOLERANCE
            )


def test_names_and_indices_mean_the_same(case: Case) -> None:
    names = ["fan/0", "fan/1", "fan/2", "", "a stranger"]
    rows = case.rows[:5]
    by_name, by_index = case.classifier.score(rows, names), case.classifier.score(rows, np.array([1, 2, 3, 0, 0]))
    assert np.array_equal(by_name.score, by_index.score)
    assert np.array_equal(by_name.p_value, by_index.p_value)


def test_an_unknown_machine_takes_the_lowest_of_all_scores(case: Case) -> None:
    rows = case.rows[:200]
    each = [case.classifier.score(rows, np.full(200, machine)).score for machine in range(1, MACHINES + 1)]
    assert np.array_equal(case.classifier.score(rows, np.zeros(200, np.int64)).score, np.min(each, axis=0))


def test_no_confirmed_faults_change_nothing(case: Case) -> None:
    without = case.classifier.score(case.rows, case.machines)
    none = case.classifier.score(case.rows, case.machines, np.zeros((0, case.rows.shape[1]), np.float32))
    assert np.array_equal(without.score, none.score)
    assert np.array_equal(without.p_value, none.p_value)


def test_machines_with_banks_of_different_sizes_and_a_constant_column_agree_too() -> None:
    made, known = site(1, 3, 40)
    keep = np.ones(len(known), bool)
    keep[5:38] = False  # the first machine has 7 normals
    vectors = known.vectors.copy()
    vectors[:, 3] = 0.1
    few = reference(vectors[keep], known.machines[keep].tolist())
    rows = np.concatenate([machine.draw(np.random.default_rng(3), 100) for machine in made])
    rows[:, 3] = np.float32(0.1)
    classifier = Classifier.from_bytes(*fit(few, encoder()))
    for number, model in enumerate(fitted(few, encoder()), start=1):
        got = classifier.score(rows, np.full(len(rows), number)).score
        assert off_by(got, model.score(rows.astype(np.float64))) <= TOLERANCE


def test_ten_thousand_rows_are_decided_as_the_float64_models_decide_them_at_the_threshold_too() -> None:
    random = np.random.default_rng(8)
    made, known = site(8, MACHINES, 120, width=48)
    graph, manifest = fit(known, ENCODER, false_alarm_rate=0.05)
    models, threshold = fitted(known, ENCODER), manifest.thresholds["known"]
    rows = np.concatenate([machine.draw(random, 3300) for machine in made])
    rows += (random.standard_normal(rows.shape) * random.choice([0.0, 1.0, 3.0], (len(rows), 1))).astype(np.float32)
    # And hundred rows on the way from a healthy to an odd one, brought to within 3e-5 of the threshold on either side.
    near = made[0].draw(random, 400).astype(np.float64)
    near = near[models[0].score(near) < threshold - 0.1][:100]
    far = near + random.standard_normal(near.shape) * 8
    wanted = threshold + np.where(np.arange(100) % 2 == 0, 3e-5, -3e-5) * max(1, abs(threshold))
    for _ in range(60):
        middle = (near + far) / 2
        above = models[0].score(middle) > wanted
        near, far = np.where(above[:, None], near, middle), np.where(above[:, None], middle, far)
    rows = np.concatenate([rows, far.astype(np.float32)])
    machine = np.concatenate([np.repeat([1, 2, 3], 3300), np.ones(100, np.int64)])
    assert len(rows) == 10_000
    table = np.stack([model.score(rows.astype(np.float64)) for model in models])
    expected = table[machine - 1, np.arange(len(rows))]
    got = Classifier.from_bytes(graph, manifest).score(rows, machine).score
    assert (np.abs(expected[-100:] - threshold) < 1e-4 * max(1, abs(threshold))).mean() > 0.9
    assert off_by(got, expected) <= TOLERANCE
    assert np.array_equal(got > threshold, expected > threshold)
