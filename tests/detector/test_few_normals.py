"""Little or degenerate data: refused with a sentence, or fitted with a note; never a crash."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from audio_pipeline.detector.backends import folds
from audio_pipeline.detector.classifier import Classifier
from audio_pipeline.detector.training import fit
from audio_pipeline.errors import ReferenceDataError, SettingsError, TrainingError
from tests.detector.gaussian import encoder, join, recordings, reference, site


def normals(rows: int, seed: int = 0) -> NDArray[np.float32]:
    return site(seed, 1, rows)[1].vectors


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_too_few_normals_are_refused_with_the_number_needed(rows: int) -> None:
    with pytest.raises(TrainingError, match=f"{rows} normal windows are too few: at least 4"):
        fit(reference(normals(rows)), encoder())


def test_held_out_normals_and_faults_are_not_counted() -> None:
    some = join(
        reference(normals(3)),
        reference(normals(50), groups=recordings(50, held_out=True)),
        reference(normals(50), targets=np.ones(50, bool)),
    )
    with pytest.raises(TrainingError, match="3 normal windows are too few"):
        fit(some, encoder())


def test_an_empty_reference_is_refused() -> None:
    with pytest.raises(TrainingError, match="0 normal windows"):
        fit(reference(np.zeros((0, 24), np.float32)), encoder())


@pytest.mark.parametrize("rows", [4, 5, 6, 7])
def test_a_handful_of_normals_makes_a_model_that_says_what_it_cannot_promise(rows: int) -> None:
    graph, manifest = fit(reference(normals(rows)), encoder())
    assert manifest.false_alarm_rate.reachable == pytest.approx(1 / (rows + 1))
    assert any("lowest that can be promised" in note for note in manifest.notes)
    far = normals(rows) + 100
    scores = Classifier.from_bytes(graph, manifest).score(far, ["fan/a"] * rows)
    assert np.allclose(scores.p_value, 1 / (rows + 1))


def test_machines_with_too_few_share_a_model_and_a_note_names_them() -> None:
    names = ["fan/a"] * 30 + ["fan/b"] * 3 + ["fan/c"] * 2
    graph, manifest = fit(reference(normals(35), names), encoder())
    (note,) = (note for note in manifest.notes if "share" in note)
    assert "fan/b, fan/c" in note
    assert "fan/a" not in note
    rows = normals(35)
    classifier = Classifier.from_bytes(graph, manifest)
    b, c, a = (classifier.score(rows, [name] * 35).score for name in ("fan/b", "fan/c", "fan/a"))
    assert np.array_equal(b, c)
    assert not np.array_equal(a, b)


def test_a_single_machine_with_too_few_is_judged_by_the_site_and_a_note_says_so() -> None:
    graph, manifest = fit(reference(normals(32), ["fan/a"] * 30 + ["fan/b"] * 2), encoder())
    assert any("shared" in note and "fan/b" in note for note in manifest.notes)
    fresh = site(0, 1, 200)[1].vectors
    p_value = Classifier.from_bytes(graph, manifest).score(fresh, ["fan/b"] * 200).p_value
    assert (p_value <= 0.1).mean() < 0.25


def test_a_machine_whose_every_recording_is_held_out_is_unknown_and_a_note_says_so() -> None:
    hidden = reference(normals(9, seed=1), "fan/hidden", groups=recordings(9, held_out=True))
    _, manifest = fit(join(reference(normals(30)), hidden), encoder())
    assert manifest.machines == ("fan/a",)
    assert any("unknown" in note and "fan/hidden" in note for note in manifest.notes)


def test_rows_of_no_machine_train_and_are_unknown() -> None:
    graph, manifest = fit(reference(normals(30), ""), encoder())
    assert manifest.machines == ()
    scores = Classifier.from_bytes(graph, manifest).score(normals(30), [""] * 30)
    assert np.isfinite(scores.score).all()


def test_identical_rows_make_a_model_to_which_they_are_normal_and_all_else_is_not() -> None:
    rows = np.tile(normals(1), (20, 1))
    graph, manifest = fit(reference(rows), encoder())
    classifier = Classifier.from_bytes(graph, manifest)
    same, other = classifier.score(rows, ["fan/a"] * 20), classifier.score(rows + 1, ["fan/a"] * 20)
    assert np.isfinite(same.score).all()
    assert np.isfinite(other.score).all()
    assert (same.p_value > 0.5).all()
    assert np.allclose(other.p_value, 1 / 21)


@pytest.mark.parametrize("columns", [slice(0, 1), slice(0, 12), slice(0, 24)])
def test_constant_columns_do_no_harm(columns: slice) -> None:
    rows = normals(60)
    rows[:, columns] = 0.1
    graph, manifest = fit(reference(rows), encoder())
    fresh = site(0, 1, 500)[1].vectors
    fresh[:, columns] = 0.1
    scores = Classifier.from_bytes(graph, manifest).score(fresh, ["fan/a"] * 500)
    assert np.isfinite(scores.score).all()
    assert (scores.p_value <= 0.1).mean() < 0.25


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_by_row(value: float) -> None:
    rows = normals(30)
    rows[4, 2] = value
    with pytest.raises(ReferenceDataError, match=r"not finite, the first is row 5 \(4\.wav\)"):
        fit(reference(rows), encoder())


def test_vectors_of_another_width_are_refused() -> None:
    with pytest.raises(ReferenceDataError, match="20 columns"):
        fit(reference(normals(30)), encoder(20))


def test_a_reference_of_another_encoder_is_refused() -> None:
    with pytest.raises(TrainingError, match="embed the recordings again"):
        fit(replace(reference(normals(30)), encoder_sha256="00" * 32), encoder())


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.1, float("nan")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(SettingsError, match="above 0, at most 1"):
        fit(reference(normals(30)), encoder(), false_alarm_rate=rate)


@given(st.lists(st.integers(0, 15), min_size=4, max_size=60))
@settings(max_examples=50, deadline=None)
def test_windows_of_a_recording_are_left_out_together_and_something_is_always_left(of: list[int]) -> None:
    fold = folds([f"r{number}" for number in of])
    assert all((fold != number).any() and (fold == number).any() for number in np.unique(fold))
    if len(set(of)) >= 4:
        for recording in set(of):
            assert len(set(fold[np.array(of) == recording])) == 1


def test_one_long_recording_alone_is_enough_to_start() -> None:
    graph, manifest = fit(reference(normals(12), groups=recordings(1) * 12), encoder())
    assert manifest.calibration_recordings == 1
    scores = Classifier.from_bytes(graph, manifest).score(normals(12) + 100, ["fan/a"] * 12)
    assert np.allclose(scores.p_value, 1 / 13)
