"""Our own encoder: log-mel statistics, and a narrow group of columns that was trained, from them and a wav2vec2."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import Wav2Vec2Config
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2Encoder

from audio_pipeline.encoder import ColumnGroup
from audio_pipeline.torch_encoders.logmel import COARSE, FINE, LogMel
from audio_pipeline.torch_encoders.pooling import POOLINGS, StatisticsPool

FRAME_HOP_S = COARSE.hop / COARSE.rate
TRAINED = "trained_contrast"
"""The group of columns that training makes."""
SCORED = frozenset({"finemel_mean", "logmel_peak", TRAINED})
"""What goes on, what strikes, and where faults of hundreds of other machines showed."""
COLUMNS = 24
"""Of the trained group. Few: in columns that no fault changes, what varies by chance adds up, and a handful of clips
cannot tell it from a fault (benchmarks/synthetic/FINDINGS.md)."""
PLAIN = {
    ("logmel", "mean"): COARSE.bands,
    ("logmel", "std"): COARSE.bands,
    ("logmel", "peak"): COARSE.bands,
    ("finemel", "mean"): FINE.bands,
}
"""Width of each group that nothing is learned for."""
_SLIGHT = 1e-3  # added to how much frames change before the logarithm: silence is no fault


def compact_config() -> Wav2Vec2Config:
    """The transformer: 3 layers of width 128."""
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
    """Statistics of log-mel frames, and a projection of many of them to the few columns in which faults show.

    wav2vec2's own front end normalises every band over time (`group`) or every frame over bands (`layer`): the first
    erases a steady fault, the second a click. Here only the clip's own mean is taken off before the transformer, and
    since its layers normalise every frame too, it does not replace the frames: it adds to them what it has learned,
    starting from nothing. It sees two spectra, one fine in time (64 ms windows, up to 8 kHz) and one fine in frequency
    (256 ms, up to 4 kHz), in steps of 128 ms: four frames of the one beside one of the other.

    The plain statistics are of the frames as they are. The trained columns are a projection of statistics of the
    corrected frames: of the coarse ones mean, level of the mean power, deviation and how much neighbours differ; of the
    fine ones mean and deviation.

    Parameters
    ----------
    config
        Sizes of the transformer (the convolutional front end's settings are not used); None: no transformer, the
        trained columns are a projection of the frames' own statistics.
    """

    def __init__(self, config: Wav2Vec2Config | None) -> None:
        super().__init__()
        self.config = config
        self.coarse = LogMel(COARSE)
        self.fine = LogMel(FINE)
        self.per_step = FINE.hop // COARSE.hop
        if config is not None:
            self.project = nn.Linear(self.per_step * COARSE.bands + FINE.bands, config.hidden_size)
            self.transformer = Wav2Vec2Encoder(config)  # type: ignore[no-untyped-call]
            self.correct = nn.Linear(config.hidden_size, self.per_step * COARSE.bands + FINE.bands)
            nn.init.zeros_(self.correct.weight)
            nn.init.zeros_(self.correct.bias)
        self.pool = StatisticsPool(POOLINGS)
        self.head = nn.Linear(4 * COARSE.bands + 2 * FINE.bands, COLUMNS)

    def spectra(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Samples float32[batch, n] → coarse log-mel [batch, T, bands], fine log-mel [batch, T', bands]."""
        return self.coarse(audio), self.fine(audio)

    def states(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Both spectra → the transformer's states, float32[batch, T', hidden]: 128 ms each."""
        steps = fine.shape[1]
        level = coarse.mean(dim=(1, 2), keepdim=True)
        filler = torch.zeros_like(coarse[:, :1]).expand(-1, self.per_step - 1, -1)
        whole = torch.cat([coarse - level, filler], dim=1)[:, : steps * self.per_step]
        seen = torch.cat([whole.reshape(whole.shape[0], steps, -1), fine - level], dim=2)
        states: Tensor = self.transformer(self.project(seen / 2)).last_hidden_state
        return states

    def corrections(self, states: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """What is added to both spectra: float32[batch, frames, bands], float32[batch, T', bands]."""
        quick, slow = self.correct(states).split([self.per_step * COARSE.bands, FINE.bands], dim=2)
        # shape[0], not len(): the latter would fix the batch size on export
        quick = quick.reshape(quick.shape[0], quick.shape[1] * self.per_step, COARSE.bands)[:, :frames]
        return quick, slow

    def corrected(self, coarse: Tensor, fine: Tensor) -> tuple[Tensor, Tensor]:
        """Both spectra with the transformer's corrections."""
        if self.config is None:
            return coarse, fine
        quick, slow = self.corrections(self.states(coarse, fine), coarse.shape[1])
        return coarse + quick, fine + slow

    def statistics(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """What the trained columns are a projection of: both spectra, corrected or not → float32[batch, 768]."""
        changes = self.pool.deviation(coarse[:, 1:] - coarse[:, :-1])
        parts = [
            coarse.mean(1),
            torch.log(torch.exp(coarse).mean(1)),
            self.pool.deviation(coarse),
            torch.log(changes + _SLIGHT),
            fine.mean(1),
            self.pool.deviation(fine),
        ]
        return torch.cat(parts, dim=1)

    def contrast(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Corrected spectra → the trained columns, float32[batch, COLUMNS]."""
        columns: Tensor = self.head(self.statistics(coarse, fine))
        return columns

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Samples float32[batch, n] → embedding float32[batch, columns], frames float32[batch, T, 128]."""
        coarse, fine = self.spectra(audio)
        trained = self.contrast(*self.corrected(coarse, fine))
        return torch.cat([self.pool(coarse), fine.mean(1), trained], dim=1), coarse

    def groups(self) -> tuple[dict[str, ColumnGroup], dict[str, ColumnGroup]]:
        """Columns of the embedding and of the frames, in order."""
        statistics = [(source, pooling, width) for (source, pooling), width in PLAIN.items()]
        learned = ("trained", "contrast", COLUMNS)
        return column_groups([*statistics, learned], SCORED), column_groups([("logmel", "none", COARSE.bands)])


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
