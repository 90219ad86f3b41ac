"""Drift is found, is not imagined, is not looked for in too few clips, and is called by its cause where that shows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from monitoring.cause import Bands, SpectrumColumns
from monitoring.drift import Rule, judge
from monitoring.kernel_test import compare
from monitoring.sample import Sample, drawn_window, joined
from monitoring.trigger import Alarms, next_alarms

COLUMNS = SpectrumColumns(Bands(slice(0, 32), 4_000), Bands(slice(32, 96), 8_000))
QUICK = Rule(looks=20)


def in_both(curve: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A change of the spectrum, as mean and near-maximum hold it: their bands differ."""
    assert COLUMNS.peak is not None
    return np.concatenate([curve(COLUMNS.mean.centres()), curve(COLUMNS.peak.centres())])


def clips(
    count: int, seed: int, machine: str = "fan/id_00", change: np.ndarray | float = 0.0, pieces: int = 1
) -> Sample:
    """Recordings that differ from each other; their pieces hardly do."""
    rng = np.random.default_rng(seed)
    recordings = rng.normal(size=(count // pieces, 96))
    vectors = np.repeat(recordings, pieces, axis=0) + 0.1 * rng.normal(size=(count, 96)) + change
    names = np.array([f"{machine} {seed} {n}" for n in range(count)])
    groups = np.array([f"{machine} {seed} {n // pieces}" for n in range(count)])
    return Sample(vectors.astype(np.float32), names, np.full(count, machine), groups)


def test_p_values_of_equal_samples_are_uniform() -> None:
    rng = np.random.default_rng(0)
    found = [
        compare(
            *(rng.normal(size=(25, 4)) for _ in range(2)), np.arange(25), np.arange(25), rng, shufflings=199
        ).p_value
        for _ in range(200)
    ]
    assert np.mean(np.array(found) <= 0.05) < 0.11  # 5 % expected, three standard deviations above
    assert np.mean(np.array(found) <= 0.5) == pytest.approx(0.5, abs=0.12)


def test_pieces_of_the_same_recordings_are_no_drift_where_separate_clips_would_be() -> None:
    reference, production = clips(80, 1, pieces=8), clips(80, 2, pieces=8)
    assert judge(reference, production, QUICK).overall.status == "ok"
    apart = Sample(production.vectors, production.clips, production.machines, production.clips)
    naive = Sample(reference.vectors, reference.clips, reference.machines, reference.clips)
    assert judge(naive, apart, QUICK).overall.p_value < QUICK.level  # what is avoided


def test_small_samples_say_too_few() -> None:
    few = judge(clips(60, 1), clips(19, 2, change=5.0), QUICK).overall
    assert (few.status, few.score, few.p_value, few.cause) == ("too_few", None, None, None)
    assert "too few" in few.message
    assert "19" in few.message
    assert judge(clips(60, 1), clips(60, 2, pieces=10, change=5.0), QUICK).overall.status == "too_few"
    assert judge(clips(0, 1), clips(60, 2), QUICK).overall.status == "too_few"
    nothing = clips(0, 1)
    assert judge(clips(60, 1), nothing, QUICK).overall.status == "too_few"


def test_a_machine_that_is_heard_more_often_has_not_drifted() -> None:
    fan, pump = 0.0, 4.0
    reference = joined([clips(80, 1, "fan", fan), clips(30, 2, "pump", pump)])
    production = joined([clips(30, 3, "fan", fan), clips(80, 4, "pump", pump)])
    found = judge(reference, production, QUICK)
    assert [found.overall.status, *(m.status for m in found.machines.values())] == ["ok"] * 3


def test_one_machine_of_three_is_named_with_clips_to_listen_to() -> None:
    reference = joined([clips(40, n, name) for n, name in enumerate("abc")])
    production = joined([clips(40, 10 + n, name, 2.0 * (name == "b")) for n, name in enumerate("abc")])
    found = judge(reference, production, Rule(), COLUMNS)
    assert found.overall.status == "drift"
    assert {name: finding.status for name, finding in found.machines.items()} == {"a": "ok", "b": "drift", "c": "ok"}
    assert found.drifted
    assert all(c.clip.startswith("b 11") and c.nearest.startswith("b 1 ") for c in found.drifted)


def test_drift_counts_however_small_a_comparisons_part_of_the_budget_is() -> None:
    # As one of many machines has it: below what the usual number of shufflings can show.
    strict = Rule(budget=0.05, looks=27_000)
    assert judge(clips(20, 1), clips(20, 2, change=5.0), strict).overall.status == "drift"


def test_machines_with_few_clips_each_are_judged_together() -> None:
    names = ("fan", "pump", "slider", "valve")
    reference = joined([clips(8, n, name) for n, name in enumerate(names)])
    fine = joined([clips(15, 10 + n, name) for n, name in enumerate(names)])
    moved = joined([clips(15, 10 + n, name, 1.5) for n, name in enumerate(names)])
    found = judge(reference, fine, QUICK)
    assert (found.overall.status, found.overall.rows, found.overall.reference_rows) == ("ok", 60, 32)
    assert {finding.status for finding in found.machines.values()} == {"too_few"}
    found = judge(reference, moved, QUICK)
    assert found.overall.status == "drift"
    assert "all machines together" in found.overall.message
    # Each is heard beside a clip of its own machine.
    assert all(c.clip.split()[0] == c.nearest.split()[0] for c in found.drifted)
    # A machine that the reference hardly knows takes no part.
    stranger = joined([fine, clips(15, 20, "press", 9.0)])
    assert judge(reference, stranger, QUICK).overall.status == "ok"
    assert judge(joined([clips(3, 30, "press"), reference]), stranger, QUICK).overall.status == "ok"


def test_many_rows_are_compared_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(400, 20)), rng.normal(size=(300, 20))
    b[:, :4] += 0.5
    rows = np.arange(400), np.arange(300)
    held = compare(a, b, *rows, np.random.default_rng(1), shufflings=999)
    monkeypatch.setattr("monitoring.kernel_test._MOST_ROWS", 400)
    many = compare(a, b, *rows, np.random.default_rng(1), shufflings=999)
    assert held.p_value == many.p_value == 0.001
    assert many.effect == pytest.approx(held.effect, abs=0.03)
    again = [
        compare(
            *(rng.normal(size=(201, 4)) for _ in range(2)), np.arange(201), np.arange(201), rng, shufflings=199
        ).p_value
        for _ in range(100)
    ]
    assert np.mean(np.array(again) <= 0.1) < 0.2  # 10 % expected, three standard deviations above


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (in_both(lambda hertz: hertz / 1000 - 2), "sensor"),
        (in_both(lambda hertz: 4.0 * (np.sin(hertz / 60) > 0.8)), "machine"),
        (np.concatenate([np.linspace(-2, 2, 32), np.zeros(64)]), "unknown"),
    ],
)
def test_the_cause_is_named_where_it_shows(change: np.ndarray, cause: str) -> None:
    found = judge(clips(60, 1), clips(60, 2, change=change), QUICK, COLUMNS).overall
    assert (found.status, found.cause) == ("drift", cause)
    assert judge(clips(60, 1), clips(60, 2, change=change), QUICK, None).overall.cause == "unknown"


def test_a_difference_that_is_certain_and_small_is_not_called_drift() -> None:
    rng = np.random.default_rng(0)
    found = judge(
        clips(400, 1), clips(400, 2, change=0.07 * rng.normal(size=96)), Rule(newest=400, most_reference=400, looks=20)
    ).overall
    assert found.p_value is not None
    assert found.p_value < 0.0025
    assert found.effect is not None
    assert found.effect < 0.65
    assert found.status == "ok"


def test_ten_thousand_vectors_are_judged_and_the_newest_decide() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(10_000, 768)).astype(np.float32)
    names = np.arange(10_000).astype(str)
    many = Sample(vectors, names, np.full(10_000, "fan"), names)
    assert judge(many, many, Rule()).overall.status == "ok"
    moved = Sample(vectors.copy(), names, many.machines, names)
    moved.vectors[-100:] += 1.0
    assert judge(many, moved, Rule()).overall.status == "drift"


def test_the_drawn_window_does_not_change_and_each_is_drawn() -> None:
    drawn = [drawn_window(f"clip {n}", 3) for n in range(300)]
    assert drawn == [drawn_window(f"clip {n}", 3) for n in range(300)]
    assert min(np.bincount(drawn)) > 60


def test_a_reference_that_cannot_be_read_for_a_look_is_no_other_reference() -> None:
    alarms, _ = next_alarms(Alarms(), "r", ["fan"])
    between, new = next_alarms(alarms, "", [], ["fan"])
    assert new == []
    assert next_alarms(between, "r", ["fan"])[1] == []


def test_an_alarm_that_flickers_is_one_and_another_reference_begins_anew() -> None:
    alarms, asked = Alarms(), 0
    for wrong in (["a"], [], ["a"], [], ["a"]):
        alarms, new = next_alarms(alarms, "r", wrong)
        asked += len(new)
    assert asked == 1
    assert next_alarms(alarms, "r", ["a", "b"])[1] == ["b"]
    assert next_alarms(alarms, "another", ["a"])[1] == ["a"]
    for _ in range(5):
        alarms, new = next_alarms(alarms, "r", [], undecided=["a"])
    assert "a" in alarms.calm
