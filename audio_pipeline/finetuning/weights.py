"""An encoder's weights read back from its ONNX graph: the folder that serves is all that fine-tuning needs.

Exporting keeps the names of most weights; those of matrix products are stored transposed under made-up names, and are
found again by the bias that is added to the product, or, without a bias, by their shape and order. Whatever is mistaken
on the way is noticed: the network has to give what the graph gives, or it is refused.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from audio_pipeline.encoder import ENCODER_FILE, Encoder
from audio_pipeline.errors import SettingsError
from audio_pipeline.torch_encoders.export import PARITY_LIMIT, measure_parity
from audio_pipeline.torch_encoders.machine_encoder import MachineEncoder

_SECONDS = (1.0, 3.3)
Arrays = dict[str, NDArray[np.generic]]


def load(folder: Path) -> MachineEncoder:
    """Make the torch network of an encoder folder.

    Parameters
    ----------
    folder
        Of an encoder that `wheeltapper pretrain` or `finetune` made, at full precision.

    Raises
    ------
    BrokenArtifact
        The folder is damaged.
    SettingsError
        It is another network.
    """
    manifest = Encoder.load(folder).manifest
    refusal = (
        f"The encoder {manifest.name} cannot be fine-tuned: only networks of this software can, as `wheeltapper "
        "pretrain` makes them, at full precision"
    )
    if manifest.precision != "fp32":
        raise SettingsError(f"{refusal}; this one has {manifest.precision}: fine-tune the one it was made from.")
    graph = onnx.load(folder / ENCODER_FILE).graph
    constants = {constant.name: np.array(numpy_helper.to_array(constant)) for constant in graph.initializer}
    module = MachineEncoder()
    found = _found(graph, constants, module)
    missing = [name for name in module.state_dict() if name not in found]
    if missing:
        raise SettingsError(f"{refusal}; this one has no {missing[0]}.")
    if manifest.groups != module.groups()[0]:
        raise SettingsError(
            f"{refusal}; this one has the columns of an earlier version: go over to the encoder that ships first "
            "(`wheeltapper reembed`)."
        )
    module.load_state_dict({name: torch.from_numpy(value) for name, value in found.items()})
    module.eval()
    worst = max(measure_parity(module, folder / ENCODER_FILE, _SECONDS).values())
    if worst > PARITY_LIMIT:
        raise SettingsError(f"{refusal}; this one differs from the network it should be by {worst:.1e}.")
    return module


def _found(graph: onnx.GraphProto, constants: Arrays, module: nn.Module) -> Arrays:
    """What of the network's state the graph holds, by name."""
    wanted = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    found = {name: constants[name] for name, shape in wanted.items() if _is(constants.get(name), shape)}
    added = {source: node for node in graph.node if node.op_type == "Add" for source in node.input}
    unnamed: list[NDArray[np.generic]] = []
    for node in graph.node:
        if node.op_type not in ("MatMul", "Gemm") or node.input[1] not in constants or node.input[1] in wanted:
            continue
        weight = constants[node.input[1]]
        if weight.ndim != 2:
            continue
        biases = [*node.input[2:], *(added[node.output[0]].input if node.output[0] in added else ())]
        owner = next((bias.removesuffix(".bias") for bias in biases if bias.endswith(".bias")), None)
        turned = weight.T if node.op_type == "MatMul" else weight
        if owner is not None and _is(turned, wanted.get(f"{owner}.weight")):
            found[f"{owner}.weight"] = np.ascontiguousarray(turned)
        else:
            unnamed.append(np.ascontiguousarray(turned))
    for name, shape in wanted.items():
        if name not in found:
            match = next((number for number, weight in enumerate(unnamed) if _is(weight, shape)), None)
            if match is not None:
                found[name] = unnamed.pop(match)
    return found


def _is(value: NDArray[np.generic] | None, shape: tuple[int, ...] | None) -> bool:
    return value is not None and shape is not None and value.shape == shape


def trainable(module: MachineEncoder) -> dict[str, nn.Parameter]:
    """The upper layers: the last of the transformer, and what makes the trained columns of its states.

    What lies below has learned from thousands of machines what sound is; a handful of clips of a few machines would
    only make it forget.
    """
    upper = ("head.", f"transformer.layers.{len(module.transformer.layers) - 1}.")
    return {name: value for name, value in module.named_parameters() if name.startswith(upper)}
