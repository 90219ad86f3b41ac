"""The shipped encoder: same vector whatever the batch, verified files, log-mel columns as the field computes them."""

import json
import shutil

import librosa
import numpy as np
import pytest

from audio_pipeline.encoder import DEFAULT_ENCODER, ENCODER_FILE, MANIFEST_FILE, Encoder, read_manifest
from audio_pipeline.errors import BrokenArtifact
from audio_pipeline.mel import slaney_centres


@pytest.fixture(scope="module")
def encoder():
    return Encoder.load(DEFAULT_ENCODER)


def noise(count: int, batch: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(batch, count)).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.25, 1.0, 10.0])
def test_a_clip_has_the_same_vector_alone_and_in_a_batch(encoder, seconds):
    batch = noise(int(seconds * 16_000), batch=5)
    together = encoder.embed(batch).vectors
    alone = np.concatenate([encoder.embed(row[None]).vectors for row in batch])
    np.testing.assert_allclose(together, alone, atol=1e-5, rtol=1e-5)


def test_the_manifest_tells_columns_and_frames(encoder):
    embedding = encoder.embed(noise(48_000))
    manifest = encoder.manifest
    assert embedding.vectors.shape == (1, manifest.dimensions)
    assert embedding.frames.shape[2] == manifest.frame_dimensions
    assert embedding.frames.shape[1] == pytest.approx(3.0 / manifest.frame_hop_s, abs=1.5)


def test_loudness_of_the_whole_clip_does_not_change_the_vector(encoder):
    clip = noise(32_000)
    np.testing.assert_allclose(encoder.embed(clip).vectors, encoder.embed(clip * 0.05).vectors, atol=1e-3)


def test_stretches_of_digital_silence_have_a_vector(encoder):
    clips = noise(48_000, batch=4)
    clips[1, 10_000:30_000] = 0  # a gate, or packets that were lost
    clips[2, 1_000:] = 0
    clips[3] = 0
    found = encoder.embed(clips)
    assert np.isfinite(found.vectors).all()
    assert np.isfinite(found.frames).all()
    np.testing.assert_allclose(found.vectors[:1], encoder.embed(clips[:1]).vectors, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(found.vectors[1:2], encoder.embed(clips[1:2]).vectors, atol=1e-5, rtol=1e-5)


def test_logmel_columns_are_librosas(encoder):
    clip = noise(40_000)[0]
    clip /= np.sqrt(np.mean(clip**2))
    bands = np.log(librosa.feature.melspectrogram(y=clip, sr=16_000, n_fft=1024, hop_length=512, n_mels=128) + 1e-10)
    weights = 0.5 ** np.arange(bands.shape[1])
    peak = (np.sort(bands, axis=1)[:, ::-1] * weights).sum(1) / weights.sum()
    found = {name: encoder.embed(clip[None]).vectors[0, g.columns] for name, g in encoder.manifest.groups.items()}
    np.testing.assert_allclose(found["logmel_peak"], peak, atol=1e-3)


def test_a_changed_file_is_refused(tmp_path):
    shutil.copytree(DEFAULT_ENCODER, tmp_path / "encoder")
    with (tmp_path / "encoder" / ENCODER_FILE).open("ab") as file:
        file.write(b"x")
    with pytest.raises(BrokenArtifact, match="not the file that its manifest names"):
        Encoder.load(tmp_path / "encoder")


def test_a_missing_encoder_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(BrokenArtifact, match="export-encoder"):
        Encoder.load(tmp_path)


def test_a_manifest_of_before_is_read_and_an_unknown_key_refused(tmp_path):
    content = json.loads((DEFAULT_ENCODER / MANIFEST_FILE).read_text())
    path = tmp_path / MANIFEST_FILE
    before = content | {"stand_in": False, "groups": {k: g | {"scored": True} for k, g in content["groups"].items()}}
    path.write_text(json.dumps(before))
    assert read_manifest(tmp_path) == read_manifest(DEFAULT_ENCODER)
    path.write_text(json.dumps(content | {"stand_out": False}))
    with pytest.raises(BrokenArtifact, match="stand_out"):
        read_manifest(tmp_path)


def test_a_manifest_whose_groups_leave_a_gap_is_refused(tmp_path):
    shutil.copytree(DEFAULT_ENCODER, tmp_path / "encoder")
    path = tmp_path / "encoder" / MANIFEST_FILE
    content = json.loads(path.read_text())
    content["groups"]["finemel_mean"]["start"] += 1
    path.write_text(json.dumps(content))
    with pytest.raises(BrokenArtifact, match="do not cover"):
        Encoder.load(tmp_path / "encoder")


@pytest.mark.parametrize("top_hz", [800, 4_000, 8_000])
def test_bands_lie_where_librosas_do(top_hz):
    np.testing.assert_allclose(slaney_centres(128, top_hz), librosa.mel_frequencies(130, fmin=0, fmax=top_hz)[1:-1])
