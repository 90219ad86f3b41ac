"""Faults are found where they show, though every other group of columns sees nothing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from audio_pipeline.detector.classifier import Classifier
from audio_pipeline.detector.training import fit
from tests.detector.gaussian import Machine, encoder, reference

WIDTH, GROUPS = 48, 4
EACH = WIDTH // GROUPS


def auc(group: int, normals: int, deviations: float, machine: str = "fan/a") -> float:
    """Shift the columns of one group, and of no other, by so many of their deviations."""
    random, made = np.random.default_rng(group), Machine(group, WIDTH)
    classifier = Classifier.from_bytes(*fit(reference(made.draw(random, normals)), encoder(WIDTH, GROUPS)))
    healthy, faulty = made.draw(random, 300), made.draw(random, 300)
    own = slice(group * EACH, (group + 1) * EACH)
    faulty[:, own] += (deviations * np.linalg.norm(made.mixing[:, own], axis=0)).astype(np.float32)
    rows = np.concatenate([healthy, faulty])
    return float(roc_auc_score(np.arange(600) >= 300, classifier.score(rows, [machine] * 600).score))


@pytest.mark.parametrize("group", range(GROUPS))
@pytest.mark.parametrize("machine", ["fan/a", ""])
def test_a_fault_in_one_group_of_columns_is_found(group: int, machine: str) -> None:
    assert auc(group, normals=150, deviations=1.6, machine=machine) > 0.95


@pytest.mark.parametrize("group", range(GROUPS))
def test_a_fault_in_one_group_is_found_with_few_normals(group: int) -> None:
    assert auc(group, normals=20, deviations=1.6) > 0.9


@pytest.mark.parametrize("seed", range(3))
def test_columns_in_their_own_unit_stay_silent_where_they_hear_nothing_and_speak_where_they_do(seed: int) -> None:
    random, made = np.random.default_rng(seed), Machine(seed, WIDTH)
    deaf, hears = slice(0, EACH), slice(EACH, 2 * EACH)
    unit = np.linalg.norm(made.mixing, axis=0).astype(np.float32)

    def drawn(rows: int) -> NDArray[np.float32]:
        vectors = made.draw(random, rows)
        vectors[:, deaf] *= np.float32(0.02) / unit[deaf]  # of the unit, whatever the fault
        return vectors

    known, healthy, faulty, of_its_unit = drawn(30), drawn(500), drawn(500), drawn(500)
    faulty[:, hears] += 0.6 * unit[hears]
    of_its_unit[:, deaf] += 2
    aucs = {}
    for absolute in (False, True):
        by = encoder(WIDTH, GROUPS, absolute={0} if absolute else ())
        classifier = Classifier.from_bytes(*fit(reference(known), by))
        scores = [classifier.score(rows, ["fan/a"] * 500).score for rows in (healthy, faulty, of_its_unit)]
        aucs[absolute] = [roc_auc_score(np.arange(1000) >= 500, np.concatenate([scores[0], s])) for s in scores[1:]]
    assert aucs[True][0] > aucs[False][0] + 0.005
    assert aucs[True][1] > 0.99


def test_one_machines_healthy_sound_is_another_machines_fault() -> None:
    random = np.random.default_rng(0)
    fans = [Machine(number, WIDTH, centre=-5 + 6 * number) for number in range(2)]
    vectors = np.concatenate([fan.draw(random, 60) for fan in fans])
    known = reference(vectors, ["fan/0"] * 60 + ["fan/1"] * 60)
    classifier = Classifier.from_bytes(*fit(known, encoder(WIDTH, GROUPS)))
    other = fans[1].draw(random, 200)
    assert (classifier.score(other, ["fan/0"] * 200).p_value <= 0.01).all()
    assert (classifier.score(other, ["fan/1"] * 200).p_value > 0.05).mean() > 0.8
    assert (classifier.score(other, [""] * 200).p_value > 0.05).mean() > 0.8


def test_machines_of_one_hall_tell_each_other_how_columns_hang_together() -> None:
    """Each with five normals: what moves all columns of a hall together is no fault, seen in the others' normals."""
    gains = []
    for seed in range(4):
        random, hall = np.random.default_rng(seed), Machine(seed, WIDTH)
        places = random.standard_normal((7, WIDTH)).astype(np.float32) * 3
        vectors = np.concatenate([hall.draw(random, 5) + place for place in places])
        names = [f"fan/{number}" for number in range(7) for _ in range(5)]
        way = random.standard_normal(WIDTH).astype(np.float32) * np.float32(0.6)
        rows = hall.draw(random, 600) + places[0]
        rows[300:] += way
        alone, together = (
            Classifier.from_bytes(*fit(known, encoder(WIDTH, GROUPS))).score(rows, ["fan/0"] * 600).score
            for known in (reference(vectors[:5], names[:5]), reference(vectors, names))
        )
        faulty = np.arange(600) >= 300
        gains.append(roc_auc_score(faulty, together) - roc_auc_score(faulty, alone))
    assert np.mean(gains) > 0.01
    assert min(gains) > -0.01
