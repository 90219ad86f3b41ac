from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import soundfile

from audio_pipeline.artifacts import ModelStore
from audio_pipeline.reference import read_reference
from tests.cli.command import Plant
from tests.pipeline.recordings import RATE, fan, write_dataset
from tests.pipeline.trained import publish


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    """Embedded once, without a model."""
    root = tmp_path_factory.mktemp("plant")
    made = Plant(write_dataset(root / "recordings"), root / "data", root / "artifacts")
    answer = made.run("embed", made.recordings)
    assert answer.code == 0, answer.err
    return made


@pytest.fixture(scope="session")
def plant(embedded: Plant) -> Plant:
    """Embedded, and with a model that serves."""
    ModelStore(embedded.artifacts).set_current(publish(embedded.artifacts, read_reference(embedded.data)))
    return embedded


@pytest.fixture
def copied(plant: Plant, tmp_path: Path) -> Plant:
    """The same, to break things in."""
    shutil.copytree(plant.data, tmp_path / "data")
    shutil.copytree(plant.artifacts, tmp_path / "artifacts")
    return Plant(plant.recordings, tmp_path / "data", tmp_path / "artifacts")


@pytest.fixture
def knocking(tmp_path: Path) -> Path:
    path = tmp_path / "knocking.wav"
    soundfile.write(path, fan(999, knocking=True), RATE)
    return path


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    path = tmp_path / "healthy.wav"
    soundfile.write(path, fan(998), RATE)
    return path
