"""Loading and calling a classifier: what is broken is refused with a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from audio_pipeline.detector.classifier import Classifier
from audio_pipeline.detector.training import fit, train
from audio_pipeline.errors import BrokenArtifact
from tests.detector.gaussian import encoder, site

_, KNOWN = site(0, 2, 20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return train(KNOWN, encoder(), tmp_path, false_alarm_rate=0.05)


def test_a_published_model_loads_under_its_version_and_scores_as_when_it_was_fitted(folder: Path) -> None:
    loaded = Classifier.load(folder)
    assert loaded.version == folder.name
    fresh = Classifier.from_bytes(*fit(KNOWN, encoder(), false_alarm_rate=0.05))
    one, other = (of.score(KNOWN.vectors, KNOWN.machines.tolist()) for of in (loaded, fresh))
    assert np.array_equal(one.score, other.score)


def change_manifest(change: Callable[[dict[str, object]], object]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        content = json.loads((folder / "model.json").read_bytes())
        change(content)
        (folder / "model.json").write_text(json.dumps(content))

    return apply


def flip_a_byte(folder: Path) -> None:
    graph = bytearray((folder / "classifier.onnx").read_bytes())
    graph[len(graph) // 2] ^= 1
    (folder / "classifier.onnx").write_bytes(graph)


def cut_in_half(folder: Path) -> None:
    graph = (folder / "classifier.onnx").read_bytes()
    (folder / "classifier.onnx").write_bytes(graph[: len(graph) // 2])


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / "classifier.onnx").unlink(), "cannot be read"),
        (lambda folder: (folder / "model.json").unlink(), "There is no model in"),
        (flip_a_byte, "not the file that its manifest names"),
        (cut_in_half, "not the file that its manifest names"),
        (lambda folder: (folder / "classifier.onnx").write_bytes(b""), "not the file that its manifest names"),
        (lambda folder: (folder / "model.json").write_bytes(b"{"), "cannot be used"),
        (lambda folder: (folder / "model.json").write_bytes(b"\xff\xfe"), "cannot be used"),
        (lambda folder: (folder / "model.json").write_bytes(b"[]"), "cannot be used"),
        (change_manifest(lambda content: content.update(schema_version=99)), "schema 99"),
        (change_manifest(lambda content: content.update(surprise=1)), "cannot be used"),
        (change_manifest(lambda content: content.pop("machines")), "cannot be used"),
        (change_manifest(lambda content: content.update(calibration={})), "calibration 'known' is missing"),
        (change_manifest(lambda content: content.update(files={})), "not the file that its manifest names"),
        (change_manifest(lambda content: content.update(dimensions=25)), "no classifier of 25 columns"),
    ],
)
def test_a_missing_damaged_or_changed_file_is_refused(
    folder: Path, damage: Callable[[Path], object], sentence: str
) -> None:
    damage(folder)
    with pytest.raises(BrokenArtifact, match=sentence):
        Classifier.load(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokenArtifact, match="wheeltapper train"):
        Classifier.load(tmp_path / "nowhere")


def test_bytes_that_are_no_graph_and_a_graph_that_is_no_classifier_are_refused() -> None:
    _, manifest = fit(KNOWN, encoder())
    with pytest.raises(BrokenArtifact, match="cannot be loaded"):
        Classifier.from_bytes(b"not a graph", manifest)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in ("audio", "loud")]
    other = helper.make_graph([helper.make_node("Abs", ["audio"], ["loud"])], "other", values[:1], values[1:])
    model = helper.make_model(other, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    with pytest.raises(BrokenArtifact, match="no classifier"):
        Classifier.from_bytes(model.SerializeToString(), manifest)


@pytest.mark.parametrize("shape", [(3, 23), (3, 25), (24,), (1, 3, 24)])
def test_vectors_of_another_width_are_refused(shape: tuple[int, ...]) -> None:
    classifier = Classifier.from_bytes(*fit(KNOWN, encoder()))
    with pytest.raises(BrokenArtifact, match="takes 24 columns"):
        classifier.score(np.zeros(shape, np.float32), ["fan/0"] * 3)
    with pytest.raises(BrokenArtifact, match="takes 24 columns"):
        classifier.score(KNOWN.vectors[:3], ["fan/0"] * 3, np.zeros(shape, np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_refused(value: float) -> None:
    classifier = Classifier.from_bytes(*fit(KNOWN, encoder()))
    broken = KNOWN.vectors[:2].copy()
    broken[1, 7] = value
    for vectors, confirmed in ((broken, None), (KNOWN.vectors[:2], broken)):
        with pytest.raises(BrokenArtifact, match="not finite"):
            classifier.score(vectors, ["fan/0"] * 2, confirmed)


@pytest.mark.parametrize("value", [1e25, 3e38])
def test_vectors_too_large_for_a_finite_score_are_refused(value: float) -> None:
    classifier = Classifier.from_bytes(*fit(KNOWN, encoder()))
    vectors = KNOWN.vectors[:2].copy()
    vectors[1] = value
    with pytest.raises(BrokenArtifact, match="too large to be scored"):
        classifier.score(vectors, ["fan/0"] * 2)


def test_a_machine_too_many_is_refused() -> None:
    with pytest.raises(BrokenArtifact, match="2 vectors came with 3 machines"):
        Classifier.from_bytes(*fit(KNOWN, encoder())).score(KNOWN.vectors[:2], ["fan/0"] * 3)


def test_no_rows_have_no_scores() -> None:
    scores = Classifier.from_bytes(*fit(KNOWN, encoder())).score(KNOWN.vectors[:0], [])
    assert scores.score.shape == scores.p_value.shape == (0,)
