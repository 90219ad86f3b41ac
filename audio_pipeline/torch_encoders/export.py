"""Torch encoder → `encoder.onnx` + `encoder.json`, refused unless ONNX Runtime gives what torch gives.

Here: any module from samples to (embedding, frames). Not here: the modules (`machine_encoder`, `checkpoint`).
"""

from __future__ import annotations

import hashlib
import math
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

from audio_pipeline.encoder import ENCODER_FILE, MANIFEST_FILE, ColumnGroup, Encoder, EncoderManifest
from audio_pipeline.errors import ParityError

PARITY_LIMIT = 1e-4
PARITY_SECONDS = (0.25, 1.0, 3.3, 10.0, 60.0)
PARITY_BATCHES = (1, 3)


class EncoderModule(Protocol):
    """What can be exported: a module with named groups of columns."""

    def __call__(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """float32[batch, samples] → embedding float32[batch, n], frames float32[batch, T, d]."""
        ...

    def groups(self) -> tuple[dict[str, ColumnGroup], dict[str, ColumnGroup]]:
        """Columns of the embedding, columns of the frames."""
        ...


def export_encoder(
    module: nn.Module,
    folder: Path,
    *,
    name: str,
    frame_hop_s: float,
    description: str,
    source: Mapping[str, Any],
    int8: bool = False,
    parity_seconds: Sequence[float] = PARITY_SECONDS,
) -> EncoderManifest:
    """Write an encoder folder, atomically, after checking the graph against torch.

    Parameters
    ----------
    module
        An `EncoderModule`.
    folder
        Replaced when the export succeeds, untouched when it fails.
    name, description, source
        Go into the manifest.
    int8
        Quantise the weights of matrix products dynamically (convolutions stay fp32: quantised ones are slower).
        Parity is then stated against the fp32 graph's torch module but not enforced.

    Raises
    ------
    ParityError
        If any value differs from torch's by more than 1e-4 at fp32, or is no number.
    """
    module = module.eval().cpu()
    embedding_groups, frame_groups = module.groups()  # type: ignore[operator]
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / ENCODER_FILE
        _to_onnx(module, model)
        if int8:
            quantised = Path(scratch) / "int8.onnx"
            quantise(model, quantised)
            quantised.replace(model)
        parity = measure_parity(module, model, parity_seconds)
        worst = max(parity.values())
        if worst > PARITY_LIMIT and (not int8 or math.isinf(worst)):
            raise ParityError(
                f"The exported graph differs from torch by {worst:.1e} (limit {PARITY_LIMIT:.0e}): "
                f"{parity}. Nothing was written. Try another layer, or report the checkpoint."
            )
        manifest = EncoderManifest(
            name=name,
            sha256=hashlib.sha256(model.read_bytes()).hexdigest(),
            dimensions=max(group.stop for group in embedding_groups.values()),
            groups=embedding_groups,
            frame_dimensions=max(group.stop for group in frame_groups.values()),
            frame_groups=frame_groups,
            frame_hop_s=frame_hop_s,
            precision="int8" if int8 else "fp32",
            description=description,
            source=dict(source),
            parity={"max_abs_difference": parity, "limit": PARITY_LIMIT},
        )
        (Path(scratch) / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n")
        folder.mkdir(parents=True, exist_ok=True)
        for file in (ENCODER_FILE, MANIFEST_FILE):
            shutil.copyfile(Path(scratch) / file, folder / (file + ".new"))
        for file in (ENCODER_FILE, MANIFEST_FILE):
            (folder / (file + ".new")).replace(folder / file)
    Encoder.load(folder)
    return manifest


def _to_onnx(module: nn.Module, path: Path) -> None:
    example = torch.from_numpy(_noise(2, 2.0))
    free = {0: torch.export.Dim("batch", min=1, max=4096), 1: torch.export.Dim("samples", min=2000, max=2**27)}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            (example,),
            input_names=["audio"],
            output_names=["embedding", "frames"],
            dynamo=True,
            dynamic_shapes=(free,),
            verbose=False,
        )
    assert program is not None  # with dynamo
    model = program.model_proto
    # Where in which source each node came from: paths of the machine that exported, and another hash with every edit.
    for part in (*model.graph.node, *model.graph.value_info, model.graph, model):
        del part.metadata_props[:]
    onnx.save(model, path)


def quantise(model: Path, target: Path) -> None:
    """Write the graph with the weights of its matrix products in 8 bits; activations are quantised on the fly.

    Products with constants that are no weights (the Fourier transform, the mel bands) keep their precision: their
    values span too many orders of magnitude.
    """
    graph = onnx.load(model).graph
    spectral = {"first", "second", "bands"}
    kept = [node.name for node in graph.node if any(source.split(".")[-1] in spectral for source in node.input)]
    quantize_dynamic(
        model, target, op_types_to_quantize=["MatMul", "Gemm"], weight_type=QuantType.QInt8, nodes_to_exclude=kept
    )


def measure_parity(module: nn.Module, model: Path, seconds: Sequence[float]) -> dict[str, float]:
    """Largest |difference| between torch and ONNX Runtime over both outputs, by length and batch size.

    A network that gives values that are no numbers is infinitely far from itself: it can serve nobody.
    """
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    figures = {}
    for length in seconds:
        for batch in PARITY_BATCHES:
            audio = _noise(batch, length)
            with torch.no_grad():
                expected = module(torch.from_numpy(audio))
            found = session.run(["embedding", "frames"], {"audio": audio})
            worst = np.max([np.abs(e.numpy() - f).max() for e, f in zip(expected, found, strict=True)])
            figures[f"{length:g}s x{batch}"] = math.inf if np.isnan(worst) else float(worst)
    return figures


def _noise(batch: int, seconds: float) -> NDArray[np.float32]:
    """Noise with a rhythm and a tone: neither silent nor uniform in time."""
    rng = np.random.default_rng(0)
    t = np.arange(int(seconds * 16_000)) / 16_000
    beat = 1 + 0.9 * np.sin(2 * np.pi * 3 * t)
    return (0.1 * rng.normal(size=(batch, len(t))) * beat + 0.1 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
