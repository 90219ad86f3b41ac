"""From frames to one vector: mean, deviation and near-maximum over time, with free batch and time axes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

POOLINGS = ("mean", "std", "peak")
PEAK_RATIO = 0.5
PEAK_FRAMES = 16
"""Frames that the near-maximum looks at; the next one would weigh 2e-5."""


class StatisticsPool(nn.Module):
    """Pool frames over time by `POOLINGS`: `mean`, `std` (population) and `peak`.

    `peak` is global weighted ranking pooling: frames sorted by value, falling, weighted 1, r, r², … with r = 0.5.
    Kolesnikov and Lampert, arXiv 1603.06098; for machine sound Guan et al. (TWFR-GMM), arXiv 2305.03328.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ranks: Tensor
        self.register_buffer("ranks", torch.arange(PEAK_FRAMES, dtype=torch.float32), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """float32[batch, T, d] → float32[batch, d * len(POOLINGS)], side by side in that order."""
        return torch.cat([frames.mean(1), self.deviation(frames), self.near_maximum(frames)], dim=1)

    def deviation(self, frames: Tensor) -> Tensor:
        """float32[batch, T, d] → float32[batch, d]: population standard deviation."""
        return torch.sqrt(frames.var(1, correction=0) + 1e-8)

    def near_maximum(self, frames: Tensor) -> Tensor:
        """float32[batch, T, d] → float32[batch, d]: global weighted ranking pooling."""
        # A fixed k keeps the time axis free in ONNX; clips of fewer frames than k see filler of weight zero.
        filler = torch.full_like(frames[:, :1], -1e4).expand(-1, PEAK_FRAMES, -1)
        top = torch.topk(torch.cat([frames, filler], dim=1), PEAK_FRAMES, dim=1).values
        weights = PEAK_RATIO**self.ranks * (self.ranks < frames.shape[1]).to(frames.dtype)
        return (top * (weights / weights.sum())[:, None]).sum(1)
