"""Windows cover the clip, are of one length, and are never padded."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_pipeline.clip import SAMPLE_RATE
from audio_pipeline.errors import EmptyClip, SettingsError
from audio_pipeline.windows import HOP_S, WINDOW_S, split


@settings(max_examples=200, deadline=None)
@given(
    total=st.integers(1, 40 * SAMPLE_RATE),
    window=st.integers(1_000, 12 * SAMPLE_RATE),
    share=st.floats(0.05, 1.0),
)
def test_windows_cover_every_sample_once_in_order(total, window, share):
    samples = np.arange(total, dtype=np.float32)
    hop = max(1, int(window * share))
    windows = split(samples, window / SAMPLE_RATE, hop / SAMPLE_RATE)
    starts = [round(each.start_s * SAMPLE_RATE) for each in windows]
    ends = [round(each.end_s * SAMPLE_RATE) for each in windows]
    assert {len(each.samples) for each in windows} == {min(window, total)}
    assert starts[0] == 0
    assert ends[-1] == total
    assert all(later > earlier for earlier, later in pairwise(starts))
    assert all(start <= end for start, end in zip(starts[1:], ends, strict=False)), "a sample is left out"
    assert all(start % hop == 0 for start in starts[:-1])
    for each, start, end in zip(windows, starts, ends, strict=True):
        np.testing.assert_array_equal(each.samples, samples[start:end])


@pytest.mark.parametrize(
    ("seconds", "starts"),
    [(0.25, [0]), (9.9, [0]), (10, [0]), (10.5, [0, 0.5]), (15, [0, 5]), (17, [0, 5, 7]), (20, [0, 5, 10])],
)
def test_the_default_is_ten_seconds_every_five(seconds, starts):
    windows = split(np.zeros(int(seconds * SAMPLE_RATE), dtype=np.float32))
    assert (WINDOW_S, HOP_S) == (10.0, 5.0)
    assert [each.start_s for each in windows] == starts


def test_a_window_is_a_view_and_no_copy():
    samples = np.zeros(20 * SAMPLE_RATE, dtype=np.float32)
    assert all(np.shares_memory(each.samples, samples) for each in split(samples))


@pytest.mark.parametrize(("window_s", "hop_s"), [(10, 0), (10, -1), (0, 0), (5, 6), (-1, -1)])
def test_a_window_and_hop_that_would_skip_samples_are_refused(window_s, hop_s):
    with pytest.raises(SettingsError, match="hop above zero"):
        split(np.zeros(100, dtype=np.float32), window_s, hop_s)


def test_no_samples_are_refused():
    with pytest.raises(EmptyClip):
        split(np.zeros(0, dtype=np.float32))
