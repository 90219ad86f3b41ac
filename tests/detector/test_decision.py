"""One rule from the scores of a clip's windows to its decision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio_pipeline.decision import Calibration, decide
from audio_pipeline.detector.calibration import table

# Few different values, so that ties are the rule.
SCORES = st.integers(-6, 6).map(float)
ROWS = st.lists(SCORES, min_size=1, max_size=60)
CLIP = st.lists(SCORES, min_size=1, max_size=12)
RATES = st.one_of(st.floats(1e-6, 1.0), st.sampled_from([0.01, 0.05, 0.1, 0.29, 0.5, 1.0]))


def p_values(calibration: list[float], scores: list[float]) -> list[float]:
    """As the graph computes them: float32."""
    counts = [1 + sum(other >= score for other in calibration) for score in scores]
    return [float(np.float32(count) / np.float32(len(calibration) + 1)) for count in counts]


def tabled(calibration: list[float]) -> Calibration:
    return table(np.array(calibration, np.float32))


@given(ROWS, CLIP, RATES)
def test_an_alarm_is_a_score_above_the_threshold_ties_included(
    calibration: list[float], clip: list[float], rate: float
) -> None:
    decision = decide(clip, p_values(calibration, clip), tabled(calibration), rate)
    assert decision.anomaly == (decision.score > decision.threshold)


@given(ROWS, CLIP, CLIP, RATES)
def test_more_windows_never_make_an_alarm_easier(
    calibration: list[float], clip: list[float], more: list[float], rate: float
) -> None:
    longer = clip + [min(score, max(clip)) for score in more]  # no window odder than the oddest there was
    short, long = (decide(of, p_values(calibration, of), tabled(calibration), rate) for of in (clip, longer))
    assert long.anomaly <= short.anomaly
    assert long.threshold >= short.threshold
    assert long.p_value >= short.p_value


@given(ROWS, CLIP, RATES)
def test_the_p_value_of_a_clip_is_the_smallest_times_the_windows(
    calibration: list[float], clip: list[float], rate: float
) -> None:
    smallest = 1 + sum(other >= max(clip) for other in calibration)
    decision = decide(clip, p_values(calibration, clip), tabled(calibration), rate)
    assert decision.p_value == pytest.approx(min(1.0, len(clip) * smallest / (len(calibration) + 1)))
    assert clip[decision.deciding_window] == decision.score == max(clip)


@given(ROWS, CLIP, RATES)
def test_the_rate_used_is_the_one_asked_for_or_the_lowest_that_can_be_kept(
    calibration: list[float], clip: list[float], rate: float
) -> None:
    decision = decide(clip, p_values(calibration, clip), tabled(calibration), rate)
    lowest = min(1.0, len(clip) / (len(calibration) + 1))
    assert decision.rate_asked == rate
    assert decision.rate_used == (rate if rate >= lowest else pytest.approx(lowest))


@given(ROWS, CLIP, RATES, RATES)
def test_a_lower_rate_never_raises_more(calibration: list[float], clip: list[float], one: float, other: float) -> None:
    low, high = (decide(clip, p_values(calibration, clip), tabled(calibration), rate) for rate in sorted((one, other)))
    assert low.anomaly <= high.anomaly


@given(ROWS, CLIP, RATES)
def test_a_clip_called_anomalous_is_at_least_as_rare_as_the_rate_used(
    calibration: list[float], clip: list[float], rate: float
) -> None:
    decision = decide(clip, p_values(calibration, clip), tabled(calibration), rate)
    if decision.anomaly:
        assert decision.p_value <= decision.rate_used + 1e-9


def test_a_whole_rank_is_not_lost_to_rounding() -> None:
    calibration = tabled([float(value) for value in range(99)])
    assert calibration.rank(rate=0.29) == 29  # 0.29 * 100 is a little under 29


@pytest.mark.parametrize("rate", [1e-5, 0.0005, 0.0123, 0.05, 0.333, 0.9])
def test_with_many_rows_only_a_grid_is_kept_and_never_the_laxer_side_of_it(rate: float) -> None:
    scores = np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
    calibration = table(scores)
    assert len(calibration.ranks) < 1200
    threshold = calibration.threshold(rate)
    realised = (scores > threshold).sum() / (len(scores) + 1)
    assert realised <= rate
    assert realised >= rate / 1.05 - 2 / len(scores)
    for score in (threshold, np.nextafter(np.float32(threshold), np.float32(9))):
        p_value = np.float32(1 + (scores >= score).sum()) / np.float32(len(scores) + 1)
        decision = decide([float(score)], [float(p_value)], calibration, rate)
        assert decision.anomaly == (decision.score > decision.threshold)
