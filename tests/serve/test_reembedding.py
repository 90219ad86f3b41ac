"""Another encoder takes over: references and answers first, then encoder and model together."""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from audio_pipeline.artifacts import ModelStore
from audio_pipeline.encoder import DEFAULT_ENCODER, ENCODER_FILE, MANIFEST_FILE, Encoder
from audio_pipeline.errors import SettingsError
from audio_pipeline.reference import read_reference, write_reference
from serve.answers.production import ProductionTable
from serve.database.connection import Database
from serve.database.predictions import vectors
from serve.models.reembedding import Reembedding
from serve.settings import Settings
from tests.serve.clips import KEY, clip
from tests.serve.server import serving
from tests.serve.test_history import service_of
from tests.serve.test_predict import as_form
from wheeltapper.cli import main

AUTH = {"Authorization": f"Bearer {KEY}"}


def other_encoder(artifacts: Path) -> Encoder:
    """The shipped encoder with one spectrum twice as loud: other vectors, and another hash."""
    folder = artifacts / "encoders" / "other"
    folder.mkdir(parents=True)
    model = onnx.load(DEFAULT_ENCODER / ENCODER_FILE)
    bands = next(constant for constant in model.graph.initializer if constant.name == "fine.bands")
    bands.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(bands), bands.name))
    onnx.save(model, folder / ENCODER_FILE)
    manifest = json.loads((DEFAULT_ENCODER / MANIFEST_FILE).read_text())
    manifest |= {"name": "other", "sha256": hashlib.sha256((folder / ENCODER_FILE).read_bytes()).hexdigest()}
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    return Encoder.load(folder)


@pytest.fixture
def plant(settings: Callable[..., Settings], trained: tuple[Path, tuple[str, str]], tmp_path: Path) -> Settings:
    """Settings of a service with the reference that its model was trained on."""
    shutil.copytree(trained[0].parent / "data-0", tmp_path / "data")
    return settings()


def reembed(plant: Settings, *words: str) -> int:
    folders = ["--data", str(plant.data_dir), "--artifacts", str(plant.artifacts_dir), "--workers", "1"]
    return main(["reembed", "--encoder", "other", *folders, *words])


def test_reference_answers_encoder_and_model_change_over_while_the_service_runs(
    plant: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = other_encoder(plant.artifacts_dir)
    with serving(plant) as client:
        answered = predicted(client, 900, rattle=0.5)
        told = {"prediction_id": answered, "answer": "anomaly", "operator": "Ada"}
        assert client.post("/feedback", json=told, headers=AUTH).status_code == 201
        unanswered = predicted(client, 901)
        before = {name: stored(client, name) for name in (answered, unanswered)}
        was = ModelStore(plant.artifacts_dir).current()
        assert was is not None
        assert reembed(plant, "--json") == 0
        report = json.loads(capsys.readouterr().out)
        assert (report["previous"], report["answers"], report["missing"]) == (was.model, 1, [])
        current = ModelStore(plant.artifacts_dir).current()
        assert current is not None
        assert (current.model, current.encoder_sha256) == (report["version"], encoder.manifest.sha256)
        reference = read_reference(plant.data_dir, encoder.manifest.sha256)
        assert len(reference) == report["rows"] == 30
        assert not any((plant.data_dir / "reembedded").rglob("*.csv")), "it was moved, not written once more"
        service_of(client).model.look()
        after = client.post("/predict", **as_form(clip(902, rattle=0.5), machine="fan/id_00")).json()
        assert (after["encoder"], after["model_version"]) == ("other", report["version"])
        # The answered clip's vectors are the new encoder's, the other's are history and stay.
        group = encoder.manifest.groups["finemel_mean"].columns
        np.testing.assert_allclose(
            stored(client, answered)[:, group], before[answered][:, group] + np.log(2), atol=1e-3
        )
        np.testing.assert_array_equal(stored(client, unanswered), before[unanswered])
        # The fault that was confirmed under the old encoder is known to the new model.
        assert ModelStore(plant.artifacts_dir).load(current.model).manifest["data"]["production_rows"] in (0, 1)
        nearest = client.get(f"/predictions/{after['prediction_id']}/explanation").json()["nearest"]
        assert nearest[0]["id"] == answered
        history = client.get("/models", headers=AUTH).json()
        assert history["current"] == report["version"]
        lineage = client.get(f"/models/{report['version']}").json()
        assert [use["prediction_id"] for use in lineage["answers"]] == [answered]


def test_recordings_that_are_gone_are_refused_or_left_out_and_what_was_done_is_kept(
    plant: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = other_encoder(plant.artifacts_dir)
    reference = read_reference(plant.data_dir)
    own = plant.data_dir / "recordings"
    own.mkdir()
    copied = [str(shutil.copy(path, own / f"{n}.wav")) for n, path in enumerate(reference.paths.tolist())]
    write_reference(plant.data_dir, replace(reference, paths=np.array(copied)))
    Path(copied[3]).unlink()
    Path(copied[5]).write_bytes(clip(999))  # another recording in its place is not the clip
    assert reembed(plant) == 2
    assert "2 of 30 reference clips are gone" in capsys.readouterr().err
    assert read_reference(plant.data_dir).encoder_sha256 == reference.encoder_sha256, "the old one serves on"
    for path in copied:
        Path(path).unlink(missing_ok=True)
    capsys.readouterr()
    assert reembed(plant, "--drop-missing", "--json") == 0, "what was embedded is in the cache"
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], sorted(told["missing"])) == (28, sorted([copied[3], copied[5]]))
    assert read_reference(plant.data_dir, encoder.manifest.sha256).clips.tolist() == [
        sha256 for n, sha256 in enumerate(reference.clips.tolist()) if n not in (3, 5)
    ]


def test_who_looks_between_the_new_encoder_and_its_vectors_looks_again(
    plant: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_encoder(plant.artifacts_dir)
    with serving(plant) as client:
        told = {"prediction_id": predicted(client, 900, rattle=0.5), "answer": "anomaly"}
        assert client.post("/feedback", json=told, headers=AUTH).status_code == 201
    database = Database(plant.database)
    table, set_current = ProductionTable(database, plant.data_dir, plant.artifacts_dir), ModelStore.set_current

    def and_look(store: ModelStore, version: str) -> None:
        set_current(store, version)
        table.catch_up()  # current.json names the new encoder, the answers' vectors are not committed yet
        assert len(lines(plant)) == 1

    monkeypatch.setattr(ModelStore, "set_current", and_look)
    assert reembed(plant) == 0
    table.catch_up()
    assert len(lines(plant)) == 2
    database.close()


def test_recordings_that_are_added_meanwhile_are_not_lost(plant: Settings) -> None:
    encoder, database = other_encoder(plant.artifacts_dir), Database(plant.database)
    database.migrate()
    work = Reembedding(plant, database)
    prepared = work.prepare(encoder)
    version = work.train(prepared)
    before = ModelStore(plant.artifacts_dir).current()
    reference = read_reference(plant.data_dir)
    meanwhile = write_reference(plant.data_dir, reference.select(np.arange(len(reference)) != 3))
    with pytest.raises(SettingsError, match="has changed"):
        work.swap(prepared, version, by="", reason="")
    assert read_reference(plant.data_dir).sha256 == meanwhile.sha256
    assert ModelStore(plant.artifacts_dir).current() == before
    database.close()


def lines(plant: Settings) -> list[str]:
    return (plant.data_dir / "prod_data.csv").read_text().splitlines()


def predicted(client: httpx.Client, seed: int, rattle: float = 0.0) -> str:
    answer = client.post("/predict", **as_form(clip(seed, rattle=rattle), machine="fan/id_00"))
    return str(answer.json()["prediction_id"])


def stored(client: httpx.Client, prediction: str) -> np.ndarray:
    with service_of(client).database.read() as session:
        return vectors(session, uuid.UUID(prediction))
