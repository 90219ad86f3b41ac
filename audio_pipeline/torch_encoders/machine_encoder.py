"""Our own encoder: log-mel front end, transformers' wav2vec2 transformer on top, statistics of both side by side."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import Wav2Vec2Config
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2Encoder

from audio_pipeline.encoder import ColumnGroup
from audio_pipeline.torch_encoders.logmel import COARSE, FINE, LogMel
from audio_pipeline.torch_encoders.pooling import POOLINGS, StatisticsPool

FRAME_HOP_S = COARSE.hop / COARSE.rate
SCORED = frozenset({"finemel_mean", "logmel_peak"})
"""What goes on, and what strikes. Chosen on the labelled development sets (see ARCHITECTURE, "How it was chosen")."""
COLUMNS = 64
"""Of each of the two trained groups."""


def compact_config() -> Wav2Vec2Config:
    """The shipped encoder's transformer: 3 layers of width 128."""
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
        attn_implementation="eager",  # type: ignore[call-arg]
    )


class MachineEncoder(nn.Module):
    """A wav2vec2 transformer that corrects log-mel frames, which keep level and loudness.

    wav2vec2's own front end normalises every band over time (`group`) or every frame over bands (`layer`): the first
    erases a steady fault, the second a click. Here only the clip's own mean is taken off, and since the transformer's
    layers normalise every frame too, it does not replace the frames: it adds to them what it has learned, starting
    from nothing. It sees two spectra: one fine in time (64 ms windows, up to 8 kHz), one fine in frequency (256 ms, up
    to 4 kHz).

    Parameters
    ----------
    config
        Sizes of the transformer (the convolutional front end's settings are not used).
    """

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.config = config
        self.coarse = LogMel(COARSE)
        self.fine = LogMel(FINE)
        self.width = COARSE.bands + FINE.bands
        self.project = nn.Linear(self.width, config.hidden_size)
        self.transformer = Wav2Vec2Encoder(config)  # type: ignore[no-untyped-call]
        self.correct = nn.Linear(config.hidden_size, self.width)
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)
        self.pool = StatisticsPool(POOLINGS)
        # Statistics of all clips have much in common; contrast needs what is different, means and peaks on one scale.
        self.balance = nn.BatchNorm1d(len(POOLINGS) * self.width, affine=False)
        self.steady = nn.Linear(2 * self.width, COLUMNS, bias=False)
        self.striking = nn.Linear(self.width, COLUMNS, bias=False)

    def spectra(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Samples float32[batch, n] → coarse log-mel [batch, T, bands], fine log-mel [batch, T', bands]."""
        return self.coarse(audio), self.fine(audio)

    def hidden(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Both spectra → corrected frames float32[batch, T, 256]."""
        steps = FINE.hop // COARSE.hop
        repeated = fine[:, :, None].expand(-1, -1, steps, -1).flatten(1, 2)[:, : coarse.shape[1]]
        centred = torch.cat([s - s.mean(dim=(1, 2), keepdim=True) for s in (coarse, repeated)], dim=2)
        states: Tensor = self.transformer(self.project(centred / 2)).last_hidden_state
        corrected: Tensor = centred + self.correct(states)
        return corrected

    def trained(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Corrected frames → the trained columns: of what goes on (mean, deviation), of what strikes (near-maximum).

        Two groups, since a detector that takes the larger of both scores needs each to be clean of the other's noise.
        """
        going_on, striking = self.balance(self.pool(hidden)).split([2 * self.width, self.width], dim=1)
        return self.steady(going_on), self.striking(striking)

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Samples float32[batch, n] → embedding float32[batch, 640], frames float32[batch, T, 384]."""
        coarse, fine = self.spectra(audio)
        hidden = self.hidden(coarse, fine)
        embedding = torch.cat([self.pool(coarse), fine.mean(1), *self.trained(hidden)], dim=1)
        return embedding, torch.cat([coarse, hidden], dim=2)

    def groups(self) -> tuple[dict[str, ColumnGroup], dict[str, ColumnGroup]]:
        """Columns of the embedding and of the frames, in order."""
        statistics = [("logmel", pooling, COARSE.bands) for pooling in POOLINGS]
        learned = [("wav2vec2", kind, COLUMNS) for kind in ("steady", "striking")]
        return (
            column_groups([*statistics, ("finemel", "mean", FINE.bands), *learned], SCORED),
            column_groups([("logmel", "none", COARSE.bands), ("wav2vec2", "none", self.width)]),
        )


def column_groups(parts: list[tuple[str, str, int]], scored: frozenset[str] | None = None) -> dict[str, ColumnGroup]:
    """Name consecutive columns, given (source, pooling, width) of each part; all are scored unless some are named.

    >>> list(column_groups([("logmel", "mean", 128), ("logmel", "peak", 128)]))
    ['logmel_mean', 'logmel_peak']
    """
    groups, start = {}, 0
    for source, pooling, width in parts:
        name = source if pooling == "none" else f"{source}_{pooling}"
        groups[name] = ColumnGroup(
            start=start, stop=start + width, source=source, pooling=pooling, scored=scored is None or name in scored
        )
        start += width
    return groups
