from __future__ import annotations

import hashlib
import importlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from audio_pipeline import comparison
from audio_pipeline.clip import read, to_flac
from audio_pipeline.datasets import discover
from audio_pipeline.embedding_job import EmbeddingCache, embed_recordings
from audio_pipeline.encoder import ENCODER_FILE, MANIFEST_FILE, Encoder
from audio_pipeline.errors import SettingsError, TrainingError
from audio_pipeline.finetuning import Tuning, finetune, weights
from audio_pipeline.finetuning.tuning import tune
from audio_pipeline.reembedding import Recordings
from audio_pipeline.reference import Reference, read_reference, write_reference
from audio_pipeline.scoring import Scorer
from audio_pipeline.torch_encoders.export import export_encoder, measure_parity
from audio_pipeline.torch_encoders.machine_encoder import FRAME_HOP_S, MachineEncoder
from serve.database import jobs
from serve.database.connection import Database
from serve.retraining.job import Retrain
from serve.settings import Settings
from tests.pipeline.recordings import fan, write_dataset
from wheeltapper.cli import main

TINY = Tuning(steps=2, episodes=1, reference=4, healthy=2, faulty=2, seconds=1.0)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifacts folder with one encoder of ours, none of whose weights is zero."""
    torch.manual_seed(7)
    module = MachineEncoder()
    with torch.no_grad():
        for value in module.parameters():
            value.add_(0.02 * torch.randn_like(value))
    root = tmp_path_factory.mktemp("artifacts")
    export_encoder(
        module,
        root / "encoders" / "ours",
        name="ours",
        frame_hop_s=FRAME_HOP_S,
        description="For a test.",
        source={},
        parity_seconds=(1.0,),
    )
    return root


@pytest.fixture(scope="module")
def plant(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reference]:
    """A data folder with a reference of that encoder."""
    root = tmp_path_factory.mktemp("plant")
    encoder = Encoder.load(artifacts / "encoders" / "ours")
    folder = write_dataset(root / "recordings", normals=40, anomalies=6, seconds=1.0)
    few = folder / "fan" / "id_01" / "normal"  # a machine of which there is too little to learn from
    few.mkdir(parents=True)
    for number in range(4):
        (few / f"{number}.flac").write_bytes(to_flac(fan(100 + number, seconds=1.0)))
    recordings = discover(folder)
    cache = EmbeddingCache(root / "data" / "cache", encoder.manifest.sha256)
    return root / "data", write_reference(root / "data", embed_recordings(recordings, encoder, cache).reference)


def test_the_weights_read_back_from_the_graph_are_those_that_were_exported(artifacts: Path) -> None:
    folder = artifacts / "encoders" / "ours"
    torch.manual_seed(7)
    original = MachineEncoder()
    with torch.no_grad():
        for value in original.parameters():
            value.add_(0.02 * torch.randn_like(value))
    loaded = weights.load(folder).state_dict()
    for name, value in original.state_dict().items():
        torch.testing.assert_close(loaded[name], value, msg=name)


def test_another_network_is_refused_with_the_reason(artifacts: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(artifacts / "encoders" / "ours", tmp_path / "other"))
    told = json.loads((folder / MANIFEST_FILE).read_text())
    (folder / MANIFEST_FILE).write_text(json.dumps(told | {"precision": "int8"}))
    with pytest.raises(SettingsError, match="at full precision"):
        weights.load(folder)
    # Every weight is there, and yet it is not this network: another spectrum at its front.
    model = onnx.load(folder / ENCODER_FILE)
    bands = next(constant for constant in model.graph.initializer if constant.name == "fine.bands")
    bands.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(bands), bands.name))
    onnx.save(model, folder / ENCODER_FILE)
    told["sha256"] = hashlib.sha256((folder / ENCODER_FILE).read_bytes()).hexdigest()
    (folder / MANIFEST_FILE).write_text(json.dumps(told))
    with pytest.raises(SettingsError, match="differs from the network"):
        weights.load(folder)


def test_an_encoder_with_the_columns_of_an_earlier_version_is_refused_with_the_remedy(
    artifacts: Path, tmp_path: Path
) -> None:
    older = Path(shutil.copytree(artifacts / "encoders" / "ours", tmp_path / "older"))
    told = json.loads((older / MANIFEST_FILE).read_text())
    told["groups"] = {name.replace("logmel_peak", "logmel_std"): group for name, group in told["groups"].items()}
    (older / MANIFEST_FILE).write_text(json.dumps(told))
    with pytest.raises(SettingsError, match=r"earlier version.*wheeltapper reembed"):
        weights.load(older)


def test_only_the_upper_layers_change_and_the_loss_falls(artifacts: Path) -> None:
    module = weights.load(artifacts / "encoders" / "ours")
    before = {name: value.clone() for name, value in module.state_dict().items()}
    losses: list[float] = []
    tuning = replace(TINY, steps=60, rate=1e-3, episodes=4, reference=6, healthy=6, faulty=6, hold=0.0)
    tune(module, {"fan/id_00": [fan(n, seconds=2.0) for n in range(12)]}, tuning, lambda _, loss: losses.append(loss))
    changed = {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith(("transformer.layers.2.", "head.")) for name in changed)
    assert np.mean(losses[-20:]) < np.mean(losses[:20])


def test_the_same_seed_gives_the_same_encoder(artifacts: Path) -> None:
    sounds = {"fan/id_00": [fan(n, seconds=1.0) for n in range(8)]}
    one, two = (tune(weights.load(artifacts / "encoders" / "ours"), sounds, TINY).state_dict() for _ in range(2))
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_too_few_clips_are_refused(artifacts: Path) -> None:
    module = weights.load(artifacts / "encoders" / "ours")
    with pytest.raises(TrainingError, match="Record more"):
        tune(module, {"fan/id_00": [fan(n) for n in range(5)]}, TINY)


class Heard(Exception):
    """Ends a fine-tuning before it begins."""


def test_a_recording_longer_than_a_window_is_learned_from_as_it_is(
    artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Encoder.load(artifacts / "encoders" / "ours")
    recordings = discover(write_dataset(tmp_path / "recordings", normals=3, anomalies=3, seconds=22.0))
    cache = EmbeddingCache(tmp_path / "cache", encoder.manifest.sha256)
    reference = embed_recordings(recordings, encoder, cache).reference
    heard: dict[str, list[np.ndarray]] = {}

    def hear(_module: object, sounds: dict[str, list[np.ndarray]], *_: object) -> None:
        heard.update(sounds)
        raise Heard

    monkeypatch.setattr(importlib.import_module("audio_pipeline.finetuning.finetune"), "tune", hear)
    with pytest.raises(Heard):
        finetune(reference, artifacts, Recordings(tmp_path / "clips"), tuning=TINY)
    trained = reference.select(~reference.held_out & ~reference.targets)
    wanted = [read(path).samples for path in dict.fromkeys(trained.paths.tolist())]
    assert [len(samples) for samples in wanted] == [352_000] * len(wanted)
    for found, samples in zip(heard["fan/id_00"], wanted, strict=True):
        np.testing.assert_array_equal(found, samples)


def test_an_encoder_that_is_no_better_is_not_kept(artifacts: Path, plant: tuple[Path, Reference]) -> None:
    data, reference = plant
    there = sorted(path.name for path in (artifacts / "encoders").iterdir())
    result = finetune(reference, artifacts, Recordings(data / "clips"), tuning=replace(TINY, rate=1e-9))
    assert result.folder is None
    assert result.comparison.interval is not None
    assert result.comparison.interval[0] <= 0
    assert sorted(path.name for path in (artifacts / "encoders").iterdir()) == there
    # The same clips judge both, none of them trained on; every healthy one is there with a fault mixed in as well.
    held_out = reference.select(reference.held_out)
    assert result.comparison.normals == (~held_out.targets).sum()
    assert result.comparison.anomalies == len(held_out)
    assert held_out.targets.any()


def test_without_a_fault_of_the_plant_synthetic_ones_judge(artifacts: Path, plant: tuple[Path, Reference]) -> None:
    data, reference = plant
    healthy = reference.select(~reference.targets)
    assert finetune(healthy, artifacts, Recordings(data / "clips"), tuning=TINY).comparison.anomalies


def test_a_retrain_goes_on_without_fine_tuning_where_that_is_refused(
    artifacts: Path, plant: tuple[Path, Reference], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Path(shutil.copytree(artifacts, tmp_path / "artifacts"))
    data = Path(shutil.copytree(plant[0], tmp_path / "data"))
    assert main(["train", "--data", str(data), "--artifacts", str(own)]) == 0
    monkeypatch.setattr("audio_pipeline.finetuning.tuning.MIN_CLIPS", 1000)
    settings = Settings(_env_file=None, data_dir=data, artifacts_dir=own, finetune_steps=1)  # type: ignore[call-arg]
    database = Database(settings.database)
    database.migrate()
    with database.write() as session:
        job, _ = jobs.create(session, "manual", "", "finetune", 0)
    assert Retrain(settings, database, "a test").run(job.id) != "failed"
    with database.read() as session:
        (told,) = jobs.latest(session, 1)
    assert "Only the classifier is trained: the encoder could not be fine-tuned." in told.detail
    database.close()


def test_an_encoder_that_is_better_is_published_and_takes_over(
    artifacts: Path,
    plant: tuple[Path, Reference],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = Path(shutil.copytree(artifacts, tmp_path / "artifacts"))
    data = Path(shutil.copytree(plant[0], tmp_path / "data"))
    folders = ["--data", str(data), "--artifacts", str(own)]
    assert main(["train", *folders]) == 0
    capsys.readouterr()

    favour(monkeypatch)
    assert main(["finetune", *folders, "--steps", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    folder = Path(told["encoder"])
    manifest = Encoder.load(folder).manifest
    assert folder.name == f"tuned-{manifest.sha256[:12]}"
    assert manifest.sha256 == hashlib.sha256((folder / "encoder.onnx").read_bytes()).hexdigest()
    assert manifest.source["parent"] == "ours"
    known = plant[1].select(~plant[1].held_out & ~plant[1].targets)
    assert manifest.source["clips"] == (known.machines == "fan/id_00").sum() < len(known)
    assert "fine-tuned on 1 machine" in manifest.description
    before = Encoder.load(own / "encoders" / "ours").manifest
    assert manifest.groups == before.groups
    assert max(measure_parity(weights.load(folder), folder / "encoder.onnx", (1.0,)).values()) < 1e-4
    current = json.loads((own / "current.json").read_text())
    assert current == {"model": told["version"], "encoder_sha256": manifest.sha256}
    assert json.loads((data / "ref_data.json").read_text())["encoder_sha256"] == manifest.sha256


def test_a_retrain_in_this_mode_lets_encoder_reference_and_model_take_over_together(
    artifacts: Path, plant: tuple[Path, Reference], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Path(shutil.copytree(artifacts, tmp_path / "artifacts"))
    data = Path(shutil.copytree(plant[0], tmp_path / "data"))
    assert main(["train", "--data", str(data), "--artifacts", str(own)]) == 0
    settings = Settings(_env_file=None, data_dir=data, artifacts_dir=own, finetune_steps=1)  # type: ignore[call-arg]
    database = Database(settings.database)
    database.migrate()
    before = json.loads((own / "current.json").read_text())
    favour(monkeypatch)
    with database.write() as session:
        job, _ = jobs.create(session, "manual", "", "finetune", 0)
    assert Retrain(settings, database, "a test").run(job.id) == "promoted"
    after = json.loads((own / "current.json").read_text())
    assert after["model"] != before["model"]
    assert after["encoder_sha256"] != before["encoder_sha256"]
    assert read_reference(data, after["encoder_sha256"]).clips.tolist() == plant[1].clips.tolist()
    scorer = Scorer.load(own)
    assert scorer.encoder_name == "tuned"
    assert np.isfinite(scorer.judge(read_reference(data).vectors[:1], "fan/id_00").score)
    database.close()


def favour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a step or two made it better is chance: the figure is turned in its favour, the rule is the real one."""
    monkeypatch.setattr(comparison, "_bootstrap", lambda *_: np.full(comparison.DRAWS, 0.1))
