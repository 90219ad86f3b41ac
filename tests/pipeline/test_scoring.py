"""From clip to verdict, with an encoder and a classifier under ONNX Runtime."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audio_pipeline.artifacts import ModelStore
from audio_pipeline.clip import decode, to_wav
from audio_pipeline.datasets import discover
from audio_pipeline.embedding import embed_clip
from audio_pipeline.embedding_job import EmbeddingCache, embed_recordings
from audio_pipeline.encoder import DEFAULT_ENCODER, Encoder
from audio_pipeline.errors import BrokenArtifact
from audio_pipeline.evaluation import evaluate_clips
from audio_pipeline.reference import Reference
from audio_pipeline.scoring import Scorer
from tests.pipeline.recordings import fan, write_dataset
from tests.pipeline.trained import publish


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("reference")
    encoder = Encoder.load(DEFAULT_ENCODER)
    recordings = discover(write_dataset(folder / "clips", normals=40, anomalies=8))
    return embed_recordings(recordings, encoder, EmbeddingCache(folder, encoder.manifest.sha256)).reference


@pytest.fixture
def artifacts(tmp_path: Path, reference: Reference) -> Path:
    ModelStore(tmp_path).set_current(publish(tmp_path, reference))
    return tmp_path


def test_a_knocking_fan_is_an_anomaly_and_a_healthy_one_is_not(artifacts: Path) -> None:
    scorer = Scorer.load(artifacts)
    bad = scorer.score(decode(to_wav(fan(900, knocking=True))), "fan/id_00")
    good = scorer.score(decode(to_wav(fan(901))), "fan/id_00")
    assert bad.anomaly
    assert bad.score > bad.threshold
    assert not good.anomaly
    assert good.p_value > bad.p_value
    assert bad.rate_asked == 0.05
    assert bad.sensor.ok


def test_a_verdict_says_which_window_decided(artifacts: Path) -> None:
    sound = fan(902, seconds=20)
    sound[-4 * 16_000 :] = fan(903, knocking=True, seconds=4)
    verdict = Scorer.load(artifacts).score(decode(to_wav(sound)))
    assert [(window.start_s, window.end_s) for window in verdict.windows] == [(0, 10), (5, 15), (10, 20)]
    assert verdict.deciding_window == 2
    assert verdict.score == max(window.score for window in verdict.windows)
    assert len(verdict.vectors) == 3
    content = json.loads(json.dumps(verdict.to_json(), allow_nan=False))
    assert content["windows"][2]["end_s"] == 20
    assert content["sensor"]["ok"] is True


def test_the_stages_and_the_whole_give_the_same_verdict(artifacts: Path) -> None:
    scorer = Scorer.load(artifacts)
    clip = decode(to_wav(fan(904, seconds=12)))
    assert scorer.classify(clip, embed_clip(scorer.encoder, clip), "fan/id_00").to_json() == (
        scorer.score(clip, "fan/id_00").to_json()
    )


def test_evaluation_judges_clips_as_the_scorer_does(artifacts: Path, reference: Reference) -> None:
    scorer = Scorer.load(artifacts)
    result, clips = evaluate_clips(scorer, reference)
    assert (result.overall.normals, result.overall.anomalies) == (40, 8)
    assert result.overall.auc == pytest.approx(1.0)
    assert result.overall.recall == 1.0
    by_hand = {scorer.judge(reference.vectors[[row]], "fan/id_00").score for row in range(len(reference))}
    assert set(clips.scores.tolist()) == by_hand


def test_clips_of_several_thresholds_have_none_for_all(tmp_path: Path, reference: Reference) -> None:
    ModelStore(tmp_path).set_current(publish(tmp_path, reference, rate=0.3))
    scorer = Scorer.load(tmp_path)
    _, clips = evaluate_clips(scorer, reference)
    assert clips.threshold == scorer.judge(reference.vectors[:1], "fan/id_00").threshold
    hashes = reference.clips.copy()
    hashes[1] = hashes[0]  # one clip of two windows among those of one
    _, clips = evaluate_clips(scorer, replace(reference, clips=hashes))
    assert clips.threshold is None


def test_nothing_serves_before_the_first_model(tmp_path: Path) -> None:
    with pytest.raises(BrokenArtifact, match="wheeltapper train"):
        Scorer.load(tmp_path)


def test_a_model_whose_encoder_is_gone_is_refused(tmp_path: Path, reference: Reference) -> None:
    orphan = Reference(**{**vars(reference), "encoder_sha256": "ab" * 32})
    ModelStore(tmp_path).set_current(publish(tmp_path, orphan))
    with pytest.raises(BrokenArtifact, match="No encoder with sha256 abababababab"):
        Scorer.load(tmp_path)


def test_a_tampered_classifier_is_refused(artifacts: Path) -> None:
    (path,) = artifacts.glob("models/*/classifier.onnx")
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    with pytest.raises(BrokenArtifact, match=r"classifier\.onnx"):
        Scorer.load(artifacts)


def test_confirmed_faults_are_passed_to_the_graph(artifacts: Path) -> None:
    scorer = Scorer.load(artifacts)
    clip = decode(to_wav(fan(905)))
    wrong_width = np.zeros((1, 3), dtype=np.float32)
    with pytest.raises(BrokenArtifact):
        scorer.score(clip, "", wrong_width)
