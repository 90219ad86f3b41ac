"""Any wav2vec2-family checkpoint becomes an ONNX encoder that gives what torch gives."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra 'train': pip install -c requirements.lock -e '.[train]'")
pytest.importorskip("transformers")

import torch
from transformers import BertConfig, BertModel, HubertConfig, HubertModel, Wav2Vec2Config, Wav2Vec2Model

from audio_pipeline.encoder import ENCODER_FILE, Encoder
from audio_pipeline.errors import ParityError, UserError
from audio_pipeline.torch_encoders import export as export_module
from audio_pipeline.torch_encoders.checkpoint import CheckpointEncoder
from audio_pipeline.torch_encoders.export import export_encoder
from wheeltapper.cli import main

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": (16, 16, 16),
    "conv_kernel": (10, 3, 3),
    "conv_stride": (5, 4, 4),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}


def checkpoint(folder: Path, norm: str, stable: bool) -> Path:
    torch.manual_seed(0)
    config = Wav2Vec2Config(**SIZES, feat_extract_norm=norm, do_stable_layer_norm=stable)
    Wav2Vec2Model(config).save_pretrained(folder)
    return folder


def export(module: CheckpointEncoder, folder: Path, **options: bool) -> Encoder:
    export_encoder(
        module,
        folder,
        name="tiny",
        frame_hop_s=module.frame_hop_s,
        description="A tiny network for a test.",
        source={},
        parity_seconds=(0.25, 1.7),
        **options,
    )
    return Encoder.load(folder)


@pytest.mark.parametrize(("norm", "stable"), [("group", False), ("layer", True)])
def test_both_kinds_of_feature_extractor_are_exported_with_parity(tmp_path, norm, stable):
    encoder = export(CheckpointEncoder(str(checkpoint(tmp_path / "hf", norm, stable))), tmp_path / "encoder")
    worst = max(encoder.manifest.parity["max_abs_difference"].values())
    assert worst <= 1e-4
    assert list(encoder.manifest.groups) == ["wav2vec2_mean", "wav2vec2_std", "wav2vec2_peak"]
    audio = np.random.default_rng(1).normal(size=(1, 9_000)).astype(np.float32)
    module = CheckpointEncoder(str(tmp_path / "hf")).eval()
    with torch.no_grad():
        vectors, frames = module(torch.from_numpy(audio))
    found = encoder.embed(audio)
    np.testing.assert_allclose(found.vectors, vectors.numpy(), atol=1e-4)
    np.testing.assert_allclose(found.frames, frames.numpy(), atol=1e-4)


def test_the_graph_follows_from_the_weights_and_tells_nothing_of_the_machine_that_exported_it(tmp_path):
    hf = str(checkpoint(tmp_path / "hf", "group", stable=False))
    graphs = []
    for name in ("one", "two"):
        export(CheckpointEncoder(hf), tmp_path / name)
        graphs.append((tmp_path / name / ENCODER_FILE).read_bytes())
    assert graphs[0] == graphs[1]
    assert str(Path(export_module.__file__).parent).encode() not in graphs[0]


def test_a_relative_of_wav2vec2_is_exported_too(tmp_path):
    HubertModel(HubertConfig(**SIZES)).save_pretrained(tmp_path / "hf")
    encoder = export(CheckpointEncoder(str(tmp_path / "hf")), tmp_path / "encoder")
    assert encoder.manifest.dimensions == 3 * 32


def test_the_chosen_layer_is_the_one_that_is_pooled(tmp_path):
    folder = str(checkpoint(tmp_path / "hf", "group", stable=False))
    module = CheckpointEncoder(folder, layer=2).eval()
    audio = torch.randn(1, 8_000)
    whole = Wav2Vec2Model.from_pretrained(folder).eval()
    with torch.no_grad():
        normalised = (audio - audio.mean()) / torch.sqrt(audio.var(correction=0) + 1e-7)
        expected = whole(normalised, output_hidden_states=True).hidden_states[2]
        _, frames = module(audio)
    torch.testing.assert_close(frames, expected, atol=1e-5, rtol=1e-4)


def test_int8_is_smaller_and_says_so(tmp_path):
    module = CheckpointEncoder(str(checkpoint(tmp_path / "hf", "group", stable=False)))
    small = export(module, tmp_path / "int8", int8=True)
    assert small.manifest.precision == "int8"


def test_a_graph_that_differs_from_torch_is_refused_and_nothing_is_written(tmp_path, monkeypatch):
    module = CheckpointEncoder(str(checkpoint(tmp_path / "hf", "group", stable=False)))
    real = module.pool.forward
    calls = []

    def changes_after_export(frames):
        # The export traces the module first; what torch computes from then on is something else.
        calls.append(frames)
        return real(frames) + (0.01 if not torch.compiler.is_exporting() else 0.0)

    monkeypatch.setattr(module.pool, "forward", changes_after_export)
    with pytest.raises(ParityError, match=r"differs from torch by 1\.0e-02"):
        export(module, tmp_path / "encoder")
    assert not (tmp_path / "encoder").exists()


@pytest.mark.parametrize("int8", [False, True])
def test_a_network_that_gives_no_numbers_is_refused(tmp_path, int8):
    module = CheckpointEncoder(str(checkpoint(tmp_path / "hf", "group", stable=False)))
    with torch.no_grad():
        module.network.encoder.layers[1].feed_forward.output_dense.bias[3] = torch.nan
    with pytest.raises(ParityError, match="differs from torch by inf"):
        export(module, tmp_path / "encoder", int8=int8)
    assert not (tmp_path / "encoder").exists()


@pytest.mark.parametrize("command", ["export-encoder", "pretrain"])
def test_no_command_replaces_an_encoder_that_models_may_need(tmp_path, capsys, command):
    folder = str(checkpoint(tmp_path / "hf", "group", stable=False))
    there = tmp_path / "artifacts" / "encoders" / "mine"
    before = export(CheckpointEncoder(folder), there).manifest
    options = {
        "export-encoder": [folder, "--name", "mine", "--layer", "1", "--artifacts", str(tmp_path / "artifacts")],
        "pretrain": [str(tmp_path / "run"), "--export", str(there)],
    }
    assert main([command, *options[command]]) == 2
    assert "choose another name" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()  # said before hours of training, not after
    assert Encoder.load(there).manifest == before


@pytest.mark.parametrize("layer", [0, 4])
def test_a_layer_that_is_not_there_is_refused_with_the_range(tmp_path, layer):
    folder = checkpoint(tmp_path / "hf", "group", stable=False)
    with pytest.raises(UserError, match="layers 1 to 3"):
        CheckpointEncoder(str(folder), layer)


def test_a_network_of_another_family_is_refused_by_name(tmp_path):
    small = BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=50)
    BertModel(small).save_pretrained(tmp_path / "bert")
    with pytest.raises(UserError, match="'bert' network"):
        CheckpointEncoder(str(tmp_path / "bert"))


def test_a_damaged_preprocessor_is_refused_with_the_remedy(tmp_path):
    (checkpoint(tmp_path / "hf", "group", stable=False) / "preprocessor_config.json").write_text("{")
    with pytest.raises(UserError, match="cannot be loaded"):
        CheckpointEncoder(str(tmp_path / "hf"))


def test_a_folder_without_a_checkpoint_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(UserError, match=r"Name a local folder with config\.json and weights"):
        CheckpointEncoder(str(tmp_path))
