"""Fresh healthy clips raise no more alarms than asked for, however few normals there were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from audio_pipeline.decision import decide
from audio_pipeline.detector.classifier import Classifier
from audio_pipeline.detector.training import fit
from tests.detector.gaussian import Machine, encoder, site

FRESH = 600
# Normals → draws of a whole site. One draw's rate hangs on its few calibration scores and scatters; their mean may not.
DRAWS = {6: 30, 14: 30, 40: 15, 150: 6}


@dataclass
class Site:
    machines: list[Machine]
    classifier: Classifier
    rows: int
    random: np.random.Generator

    def fresh(self, number: int, rows: int = FRESH) -> NDArray[np.float32]:
        return self.machines[number].draw(self.random, rows)


def sites(normals: int, machines: int = 1) -> Iterator[Site]:
    for seed in range(DRAWS[normals]):
        made, known = site(seed, machines, normals, width=16)
        graph, manifest = fit(known, encoder(16, 2))
        rows = manifest.calibration["known"].rows
        yield Site(made, Classifier.from_bytes(graph, manifest), rows, np.random.default_rng([seed, 3]))


def nominal_rates(rows: int) -> list[float]:
    """What is promised for 5 %, 10 % and the lowest rate that so many rows support."""
    return [max(rate, 1 / (rows + 1)) for rate in (0.05, 0.10, 0.0)]


def assert_kept(alarms: list[list[float]], rows: int, fresh: int, machines: int = 1) -> None:
    """Compare the mean share of alarms with the promise, plus three standard errors of it.

    The rate of one calibration of n rows scatters as Beta(k, n + 1 - k) does; fresh rows add binomial error. Rows of
    one machine move together with its model: a site of several scatters as if only one machine's rows had been drawn.
    """
    for realised, rate in zip(np.mean(alarms, axis=0), nominal_rates(rows), strict=True):
        error = np.sqrt(rate * (1 - rate) * (1 / (rows / machines + 2) + 1 / fresh) / len(alarms))
        assert realised <= rate + 3 * error, f"{rows} normals, {len(alarms)} draws: {realised:.3f} at {rate:.3f}"


def share(p_values: NDArray[np.float32], rows: int, rate: float) -> float:
    return float((np.round(p_values * (rows + 1)) <= np.floor(rate * (rows + 1) + 1e-9)).mean())


@pytest.mark.parametrize("normals", DRAWS)
def test_the_false_alarm_rate_of_one_known_machine_is_kept(normals: int) -> None:
    alarms, rows = [], 0
    for drawn in sites(normals):
        rows = drawn.rows
        p_values = drawn.classifier.score(drawn.fresh(0), ["fan/0"] * FRESH).p_value
        alarms.append([share(p_values, rows, rate) for rate in nominal_rates(rows)])
    assert rows == normals
    assert_kept(alarms, rows, FRESH)


@pytest.mark.parametrize("normals", [6, 40])
def test_the_false_alarm_rate_of_a_site_of_several_machines_is_kept(normals: int) -> None:
    alarms, rows = [], 0
    for drawn in sites(normals, machines=3):
        rows = drawn.rows
        p_values = np.concatenate(
            [drawn.classifier.score(drawn.fresh(n), [f"fan/{n}"] * FRESH).p_value for n in range(3)]
        )
        alarms.append([share(p_values, rows, rate) for rate in nominal_rates(rows)])
    assert rows == 3 * normals
    assert_kept(alarms, rows, 3 * FRESH, machines=3)


@pytest.mark.parametrize("normals", [6, 40])
def test_the_false_alarm_rate_is_kept_when_the_machine_is_not_named(normals: int) -> None:
    alarms, rows = [], 0
    for drawn in sites(normals, machines=3):
        rows = drawn.rows
        fresh = np.concatenate([drawn.fresh(number) for number in range(3)])
        p_values = drawn.classifier.score(fresh, [""] * len(fresh)).p_value
        alarms.append([share(p_values, rows, rate) for rate in nominal_rates(rows)])
    assert_kept(alarms, rows, 3 * FRESH, machines=3)


@pytest.mark.parametrize("normals", [14, 40, 150])
@pytest.mark.parametrize("windows", [2, 5])
def test_the_false_alarm_rate_of_clips_of_several_windows_is_kept(normals: int, windows: int) -> None:
    alarms, used, clips = [], 0.0, FRESH // windows
    for drawn in sites(normals):
        scores = drawn.classifier.score(drawn.fresh(0), ["fan/0"] * FRESH)
        calibration = drawn.classifier.manifest.calibration_of("fan/0")
        decisions = [
            decide(scores.score[part].tolist(), scores.p_value[part].tolist(), calibration, rate=0.05)
            for part in (slice(first, first + windows) for first in range(0, clips * windows, windows))
        ]
        used = decisions[0].rate_used
        alarms.append(np.mean([decision.anomaly for decision in decisions]))
    error = np.sqrt(used * (1 - used) * (windows / (normals + 2) + 1 / clips) / len(alarms))
    assert np.mean(alarms) <= used + 3 * error
