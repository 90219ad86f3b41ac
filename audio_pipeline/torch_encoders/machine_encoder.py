"""Our own encoder: log-mel statistics, and what a wav2vec2 transformer was trained to hear in how sound changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Wav2Vec2Config
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2Encoder

from audio_pipeline.encoder import ColumnGroup
from audio_pipeline.torch_encoders.logmel import COARSE, FINE, LogMel
from audio_pipeline.torch_encoders.pooling import StatisticsPool

FRAME_HOP_S = COARSE.hop / COARSE.rate
TRAINED = "trained_dynamics"
"""The group of columns that training makes. Distances in it have a unit, which training learned: where the network
hears nothing, rows lie within it (benchmarks/synthetic/FINDINGS.md)."""
COLUMNS = 32
"""Of the trained group. Few: in columns that no fault changes, what varies by chance adds up, and a handful of clips
cannot tell it from a fault (benchmarks/synthetic/FINDINGS.md)."""
_PER_STEP = 4  # frames that the transformer sees as one: 128 ms


def compact_config() -> Wav2Vec2Config:
    """The transformer: 3 layers of width 128; settings of the convolutional front end are not used."""
    return Wav2Vec2Config(
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=512,
        num_conv_pos_embeddings=15,
        num_conv_pos_embedding_groups=16,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        layerdrop=0.0,
        attn_implementation="eager",  # type: ignore[call-arg]
    )


class MachineEncoder(nn.Module):
    """Statistics of log-mel frames, and what a transformer makes of how the frames change.

    Every band's average level is taken off before the transformer, as wav2vec2's own `group` norm does: how loud a band
    is on the whole the statistics tell better, and a network that hears it learns that first and little else
    (benchmarks/synthetic/FINDINGS.md). What is left is the course of time: strokes, beats, gaps, unrest.
    """

    def __init__(self) -> None:
        super().__init__()
        config = compact_config()
        self.coarse = LogMel(COARSE)
        self.fine = LogMel(FINE)
        self.project = nn.Linear(_PER_STEP * COARSE.bands, config.hidden_size)
        self.transformer = Wav2Vec2Encoder(config)  # type: ignore[no-untyped-call]
        self.pool = StatisticsPool()
        self.head = nn.Linear(2 * config.hidden_size, COLUMNS)

    def spectra(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Samples float32[batch, n] → coarse log-mel [batch, T, bands], fine log-mel [batch, T', bands]."""
        return self.coarse(audio), self.fine(audio)

    def plain(self, coarse: Tensor, fine: Tensor) -> dict[str, Tensor]:
        """Both spectra → what strikes and what goes on, float32[batch, bands] each: nothing is learned for these."""
        return {"logmel_peak": self.pool.near_maximum(coarse), "finemel_mean": fine.mean(1)}

    def dynamics(self, coarse: Tensor) -> Tensor:
        """Coarse log-mel float32[batch, T, bands] → the trained columns, float32[batch, COLUMNS]."""
        changes = (coarse - coarse.mean(1, keepdim=True)) / 2
        changes = functional.pad(changes, (0, 0, 0, _PER_STEP - 1))
        steps = changes.shape[1] // _PER_STEP
        # shape[0], not len(): the latter would fix the batch size on export
        packed = changes[:, : steps * _PER_STEP].reshape(changes.shape[0], steps, -1)
        states = self.transformer(self.project(packed)).last_hidden_state
        columns: Tensor = self.head(torch.cat([states.mean(1), self.pool.deviation(states)], dim=1))
        return columns

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Samples float32[batch, n] → embedding float32[batch, columns], frames float32[batch, T, 128]."""
        coarse, fine = self.spectra(audio)
        return torch.cat([*self.plain(coarse, fine).values(), self.dynamics(coarse)], dim=1), coarse

    def groups(self) -> tuple[dict[str, ColumnGroup], dict[str, ColumnGroup]]:
        """Columns of the embedding and of the frames, in order."""
        columns = column_groups(
            [
                Part("logmel", "peak", COARSE.bands, top_hz=COARSE.top_hz),
                Part("finemel", "mean", FINE.bands, top_hz=FINE.top_hz),
                Part("trained", "dynamics", COLUMNS, absolute=True),
            ]
        )
        return columns, column_groups([Part("logmel", "none", COARSE.bands, top_hz=COARSE.top_hz)])


class Part(NamedTuple):
    """What consecutive columns are (see `ColumnGroup`), and how many."""

    source: str
    pooling: str
    width: int
    absolute: bool = False
    top_hz: float | None = None


def column_groups(parts: Sequence[Part]) -> dict[str, ColumnGroup]:
    """Number the columns of consecutive parts, and name them.

    >>> list(column_groups([Part("logmel", "mean", 128), Part("logmel", "peak", 128)]))
    ['logmel_mean', 'logmel_peak']
    """
    groups, start = {}, 0
    for source, pooling, width, absolute, top_hz in parts:
        name = source if pooling == "none" else f"{source}_{pooling}"
        groups[name] = ColumnGroup(
            start=start, stop=start + width, source=source, pooling=pooling, absolute=absolute, top_hz=top_hz
        )
        start += width
    return groups
