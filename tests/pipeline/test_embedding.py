"""Clips to vectors: nothing depends on the batch, the neighbours, the workers, or on what was done before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_pipeline.clip import decode, read, to_flac, to_wav
from audio_pipeline.datasets import discover
from audio_pipeline.embedding import embed_clip, embed_windows
from audio_pipeline.embedding_job import EmbeddingCache, embed_recordings
from audio_pipeline.encoder import DEFAULT_ENCODER, Encoder
from audio_pipeline.reembedding import Recordings
from audio_pipeline.windows import Window, split
from tests.pipeline.recordings import fan, write_dataset

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "mimii_m6dB"


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load(DEFAULT_ENCODER)


def test_a_window_alone_and_in_any_batch_has_the_same_vector(encoder: Encoder) -> None:
    windows = split(fan(1, seconds=38))
    alone = np.concatenate([embed_windows(encoder, [window]) for window in windows])
    for batch in (1, 3, 64):
        np.testing.assert_allclose(embed_windows(encoder, windows, batch * 160_000), alone, atol=1e-5, rtol=0)


def test_windows_of_mixed_lengths_keep_their_order(encoder: Encoder) -> None:
    sounds = [fan(seed, seconds=seconds) for seed, seconds in enumerate((1, 2, 1, 0.5, 2))]
    windows = [Window(0, len(sound) / 16_000, sound) for sound in sounds]
    alone = np.concatenate([embed_windows(encoder, [window]) for window in windows])
    np.testing.assert_allclose(embed_windows(encoder, windows), alone, atol=1e-5, rtol=0)


def test_a_long_clip_needs_no_more_memory_than_a_few_windows() -> None:
    """Ten minutes, in a process of its own whose peak is read afterwards."""
    code = (
        "import resource, sys, numpy as np\n"
        "from audio_pipeline.encoder import DEFAULT_ENCODER, Encoder\n"
        "from audio_pipeline.embedding import embed_windows\n"
        "from audio_pipeline.windows import split\n"
        "encoder = Encoder.load(DEFAULT_ENCODER)\n"
        "sound = np.random.default_rng(0).standard_normal(600 * 16_000, dtype=np.float32)\n"
        "embed_windows(encoder, split(sound[:400_000]))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert len(embed_windows(encoder, split(sound))) == 119\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 300, "MiB"


def test_the_level_and_the_hash_are_the_clips(encoder: Encoder) -> None:
    clip = decode(to_wav(fan(3)))
    embedded = embed_clip(encoder, clip)
    assert embedded.sha256 == clip.sha256
    assert embedded.level_db == clip.sensor.level_db
    assert embedded.vectors.shape == (1, encoder.manifest.dimensions)


def test_the_cache_gives_back_what_was_put_and_shrugs_at_damage(encoder: Encoder, tmp_path: Path) -> None:
    embedded = embed_clip(encoder, decode(to_wav(fan(4, seconds=12))))
    cache = EmbeddingCache(tmp_path, encoder.manifest.sha256)
    assert cache.get(embedded.sha256) is None
    cache.put(embedded)
    found = cache.get(embedded.sha256)
    assert found is not None
    for name in ("vectors", "starts_s", "ends_s", "level_db"):
        np.testing.assert_array_equal(getattr(found, name), getattr(embedded, name))
    assert EmbeddingCache(tmp_path, "another encoder").get(embedded.sha256) is None
    (path,) = tmp_path.rglob("*.npz")
    whole = path.read_bytes()
    for damaged in (b"", whole[:100], whole[:2000] + b"\x00" + whole[2001:], b"text"):
        path.write_bytes(damaged)
        assert cache.get(embedded.sha256) is None


def test_another_encoder_hears_the_file_itself_and_the_stored_clip_where_that_is_gone(tmp_path: Path) -> None:
    quiet = (fan(5) / 1000).astype(np.float32)  # a few steps of the store's 16 bits
    soundfile.write(tmp_path / "quiet.wav", quiet, 16_000, subtype="FLOAT")
    clip = read(tmp_path / "quiet.wav")
    store = tmp_path / "clips" / clip.sha256[:2]
    store.mkdir(parents=True)
    (store / f"{clip.sha256}.flac").write_bytes(to_flac(clip.samples))
    recordings = Recordings(tmp_path / "clips")
    whole = recordings.read(clip.sha256, str(tmp_path / "quiet.wav"))
    assert whole is not None
    np.testing.assert_array_equal(whole.samples, clip.samples)
    (tmp_path / "quiet.wav").write_bytes(b"something else")
    stored = recordings.read(clip.sha256, str(tmp_path / "quiet.wav"))
    assert stored is not None
    assert stored.sha256 == clip.sha256
    np.testing.assert_allclose(stored.samples, clip.samples, atol=2**-15)
    (store / f"{clip.sha256}.flac").unlink()
    assert recordings.read(clip.sha256, str(tmp_path / "quiet.wav")) is None


def test_rows_follow_the_recordings_and_know_where_they_came_from(encoder: Encoder, tmp_path: Path) -> None:
    recordings = discover(write_dataset(tmp_path / "clips", normals=3, anomalies=2, seconds=12))
    cache = EmbeddingCache(tmp_path / "cache", encoder.manifest.sha256)
    seen: list[bool] = []
    reference = embed_recordings(recordings, encoder, cache, workers=3, on_clip=seen.append).reference
    assert seen == [False] * 5
    assert len(reference) == 10, "two windows each"
    assert reference.starts_s.tolist() == [0.0, 2.0] * 5
    assert reference.paths.tolist() == [str(recording.path) for recording in recordings for _ in range(2)]
    assert reference.targets.tolist() == [recording.target for recording in recordings for _ in range(2)]
    assert set(reference.machines) == {"fan/id_00"}


@pytest.mark.skipif(not REAL.is_dir(), reason="real recordings are not here: they lie in ../shared/data/mimii_m6dB")
def test_real_recordings_are_embedded_without_a_loss(encoder: Encoder, tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, encoder.manifest.sha256)
    result = embed_recordings(discover(REAL), encoder, cache, workers=2)
    assert (result.clips, result.skipped) == (105, ())
    assert len(set(result.reference.machines)) == 7
