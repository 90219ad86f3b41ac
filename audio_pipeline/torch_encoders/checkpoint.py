"""Any Hugging Face checkpoint of the wav2vec2 family as an encoder: one layer's hidden states, pooled."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from audio_pipeline.encoder import ColumnGroup
from audio_pipeline.errors import UserError
from audio_pipeline.torch_encoders.machine_encoder import Part, column_groups
from audio_pipeline.torch_encoders.pooling import POOLINGS, StatisticsPool

FAMILY = ("wav2vec2", "hubert", "wav2vec2-conformer", "wavlm", "unispeech", "unispeech-sat", "data2vec-audio")
SAMPLE_RATE = 16_000


class CheckpointEncoder(nn.Module):
    """A wav2vec2-family network cut after one layer, its hidden states pooled over time.

    Parameters
    ----------
    checkpoint
        A name on the Hugging Face hub or a local folder with `config.json` and weights.
    layer
        How many transformer layers to keep, 1 to all of them; None keeps all. The network's final norm, where it has
        one, still applies.

    Raises
    ------
    UserError
        If the checkpoint cannot be read, is of another family, or has not that many layers.
    """

    def __init__(self, checkpoint: str, layer: int | None = None) -> None:
        super().__init__()
        try:
            config = AutoConfig.from_pretrained(checkpoint)
            if config.model_type not in FAMILY:
                raise UserError(
                    f"The checkpoint {checkpoint} is a {config.model_type!r} network. Name one of the wav2vec2 "
                    f"family: {', '.join(FAMILY)}."
                )
            self.network = AutoModel.from_pretrained(checkpoint, attn_implementation="eager")
            self.normalise = _normalises(checkpoint)
        except (OSError, ValueError) as e:
            raise UserError(
                f"The checkpoint {checkpoint} cannot be loaded: {str(e).splitlines()[0]} Name a local folder with "
                "config.json and weights, or a name on the Hugging Face hub while that can be reached."
            ) from e
        layers = self.network.encoder.layers
        self.layer = len(layers) if layer is None else layer
        if not 1 <= self.layer <= len(layers):
            raise UserError(f"The checkpoint {checkpoint} has layers 1 to {len(layers)}; layer {layer} was asked for.")
        del layers[self.layer :]
        self.hidden_size = int(config.hidden_size)
        self.hop = 1
        for stride in config.conv_stride:
            self.hop *= int(stride)
        self.pool = StatisticsPool()

    @property
    def frame_hop_s(self) -> float:
        """Seconds from one frame to the next."""
        return self.hop / SAMPLE_RATE

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Samples float32[batch, n] → embedding float32[batch, 3 hidden], frames float32[batch, T, hidden]."""
        if self.normalise:
            variance, mean = torch.var_mean(audio, dim=1, keepdim=True, correction=0)
            audio = (audio - mean) / torch.sqrt(variance + 1e-7)
        hidden = self.network(audio).last_hidden_state
        return self.pool(hidden), hidden

    def groups(self) -> tuple[dict[str, ColumnGroup], dict[str, ColumnGroup]]:
        """Columns of the embedding and of the frames, in order."""
        return (
            column_groups([Part("wav2vec2", pooling, self.hidden_size) for pooling in POOLINGS]),
            column_groups([Part("wav2vec2", "none", self.hidden_size)]),
        )


def _normalises(checkpoint: str) -> bool:
    """Whether the checkpoint's own preprocessor takes off the mean and scales to unit variance (the default)."""
    preprocessor = Path(checkpoint) / "preprocessor_config.json"
    if Path(checkpoint).is_dir():
        settings = json.loads(preprocessor.read_text()) if preprocessor.exists() else {}
    else:
        from transformers import AutoFeatureExtractor

        settings = AutoFeatureExtractor.from_pretrained(checkpoint).to_dict()  # type: ignore[no-untyped-call]
    return bool(settings.get("do_normalize", True))
