"""Our own encoder: log-mel front end, transformers' wav2vec2 transformer on top, statistics of both pooled side by side."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import Wav2Vec2Config
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2Encoder

from audio_pipeline.encoder import ColumnGroup
from audio_pipeline.torch_encoders.logmel import BANDS, HOP, SAMPLE_RATE, LogMel
from audio_pipeline.torch_encoders.pooling import POOLINGS, StatisticsPool

FRAME_HOP_S = HOP / SAMPLE_RATE


def compact_config() -> Wav2Vec2Config:
    """The shipped encoder's transformer: 3 layers of width 128, 0.7 million parameters."""
    return Wav2Vec2Config(
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=512,
        num_conv_pos_embeddings=31,
        num_conv_pos_embedding_groups=16,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        layerdrop=0.0,
        attn_implementation="eager",
    )


class MachineEncoder(nn.Module):
    """A wav2vec2 transformer on log-mel frames that keep level and loudness.

    wav2vec2's own front end normalises every band over time (`group`) or every frame over bands (`layer`): the first
    erases a steady fault, the second a click. Here only the clip's own mean is taken off.

    Parameters
    ----------
    config
        Sizes of the transformer (the convolutional front end's settings are not used).
    """

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.config = config
        self.logmel = LogMel()
        self.project = nn.Linear(BANDS, config.hidden_size)
        self.transformer = Wav2Vec2Encoder(config)
        self.pool = StatisticsPool()

    def hidden(self, logmel: Tensor) -> Tensor:
        """Log-mel frames float32[batch, T, 128] → hidden states float32[batch, T, hidden_size]."""
        centred = logmel - logmel.mean(dim=(1, 2), keepdim=True)
        states: Tensor = self.transformer(self.project(centred)).last_hidden_state
        return states

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Samples float32[batch, n] → (embedding float32[batch, 3 (128 + hidden)], frames float32[batch, T, 128 + hidden])."""
        logmel = self.logmel(audio)
        hidden = self.hidden(logmel)
        return torch.cat([self.pool(logmel), self.pool(hidden)], dim=1), torch.cat([logmel, hidden], dim=2)

    def groups(self) -> tuple[dict[str, ColumnGroup], dict[str, ColumnGroup]]:
        """Columns of the embedding and of the frames, in order."""
        width = {"logmel": BANDS, "wav2vec2": self.config.hidden_size}
        return (
            column_groups([(source, pooling, width[source]) for source in width for pooling in POOLINGS]),
            column_groups([(source, "none", width[source]) for source in width]),
        )


def column_groups(parts: list[tuple[str, str, int]]) -> dict[str, ColumnGroup]:
    """Name consecutive columns, given (source, pooling, width) of each part.

    >>> list(column_groups([("logmel", "mean", 128), ("logmel", "peak", 128)]))
    ['logmel_mean', 'logmel_peak']
    """
    groups, start = {}, 0
    for source, pooling, width in parts:
        name = source if pooling == "none" else f"{source}_{pooling}"
        groups[name] = ColumnGroup(start=start, stop=start + width, source=source, pooling=pooling)
        start += width
    return groups
