"""The store of models: what is published stays what it is, and what serves is always one whole version."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from audio_pipeline.artifacts import Current, ModelStore, find_encoder
from audio_pipeline.errors import BrokenArtifact, SettingsError

ENCODER = "ab" * 32


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path)


def publish(store: ModelStore, content: bytes = b"graph", **more: object) -> str:
    return store.publish({"classifier.onnx": content}, {"encoder_sha256": ENCODER, **more})


def test_a_published_version_loads_as_it_was(store: ModelStore) -> None:
    version = publish(store, parent="model-0", created="2026-01-01T00:00:00Z")
    model = store.load(version)
    assert (model.parent, model.encoder_sha256, model.created) == ("model-0", ENCODER, "2026-01-01T00:00:00Z")
    assert (model.folder / "classifier.onnx").read_bytes() == b"graph"


def test_nothing_serves_before_a_version_is_promoted(store: ModelStore) -> None:
    publish(store)
    assert store.current() is None


def test_promoting_points_at_model_and_encoder(store: ModelStore) -> None:
    version = publish(store)
    store.set_current(version)
    assert store.current() == Current(version, ENCODER)
    assert json.loads((store.root / "current.json").read_bytes()) == {"model": version, "encoder_sha256": ENCODER}


def test_publishing_the_same_twice_is_one_version(store: ModelStore) -> None:
    assert publish(store) == publish(store)
    assert len(store.list()) == 1


def test_a_new_manifest_over_the_same_graph_is_a_new_version(store: ModelStore) -> None:
    assert publish(store, rate=0.01) != publish(store, rate=0.02)


def test_versions_are_listed_oldest_first(store: ModelStore) -> None:
    later = publish(store, created="2026-02-01")
    earlier = publish(store, created="2026-01-01")
    assert [model.version for model in store.list()] == [earlier, later]


@pytest.mark.parametrize("name", ["classifier.onnx", "model.json"])
def test_a_tampered_file_is_refused_and_named(store: ModelStore, name: str) -> None:
    version = publish(store)
    path = store.models / version / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(BrokenArtifact, match=name):
        store.load(version)


def test_a_tampered_version_cannot_be_promoted(store: ModelStore) -> None:
    good, bad = publish(store, b"good"), publish(store, b"bad")
    store.set_current(good)
    (store.models / bad / "classifier.onnx").write_bytes(b"evil")
    with pytest.raises(BrokenArtifact):
        store.set_current(bad)
    assert store.current() == Current(good, ENCODER)


def test_a_missing_file_is_refused_and_named(store: ModelStore) -> None:
    version = publish(store)
    (store.models / version / "classifier.onnx").unlink()
    with pytest.raises(BrokenArtifact, match=r"classifier\.onnx"):
        store.load(version)


@pytest.mark.parametrize("version", ["model-000000000000", "../..", "", "."])
def test_an_unknown_version_is_refused(store: ModelStore, version: str) -> None:
    publish(store)
    with pytest.raises(SettingsError, match="no model version"):
        store.load(version)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"model": "x"}'])
def test_a_damaged_pointer_is_refused_with_the_remedy(store: ModelStore, content: bytes) -> None:
    (store.root / "current.json").write_bytes(content)
    with pytest.raises(BrokenArtifact, match="promote"):
        store.current()


def test_readers_see_one_whole_pointer_while_a_writer_is_killed(store: ModelStore) -> None:
    """kill -9 during a storm of promotions: the pointer names one of the versions, and it loads."""
    versions = [publish(store, f"graph {i}".encode()) for i in range(2)]
    script = (
        "import itertools, pathlib, sys; from audio_pipeline.artifacts import ModelStore\n"
        "store = ModelStore(pathlib.Path(sys.argv[1])); print('go', flush=True)\n"
        "for version in itertools.cycle(sys.argv[2:]): store.set_current(version)"
    )
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", script, store.root, *versions], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            current = store.current()
            assert current is None or current.model in versions
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        current = store.current()
        assert current is not None
        store.load(current.model)


def fake_encoder(root: Path, name: str, sha256: str) -> Path:
    folder = root / "encoders" / name
    folder.mkdir(parents=True)
    (folder / "encoder.json").write_text(json.dumps({"name": name, "sha256": sha256}))
    return folder


def test_an_encoder_is_found_by_name_and_by_hash(tmp_path: Path) -> None:
    folder = fake_encoder(tmp_path, "mine-abababababab", ENCODER)
    assert find_encoder(tmp_path, "mine-abababababab") == folder
    assert find_encoder(tmp_path, ENCODER) == folder
    assert find_encoder(tmp_path, ENCODER[:12]) == folder


def test_the_shipped_encoder_is_found_from_an_empty_artifacts_folder(tmp_path: Path) -> None:
    assert (find_encoder(tmp_path, "default") / "encoder.onnx").is_file()


def test_an_unknown_encoder_name_is_refused_with_those_there(tmp_path: Path) -> None:
    fake_encoder(tmp_path, "mine", ENCODER)
    with pytest.raises(SettingsError, match="mine, default"):
        find_encoder(tmp_path, "yours")


def test_a_models_encoder_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(BrokenArtifact, match="cdcdcdcdcdcd"):
        find_encoder(tmp_path, "cd" * 32)
