"""The field's baseline, rebuilt small: the autoencoder of DCASE Task 2 on five log-mel frames.

640 values (five frames of 128 bands) → 128, 128, 128, 128 → 8 → 128, 128, 128, 128 → 640, batch norm and ReLU between
(Koizumi et al., DCASE 2020 Task 2 baseline). A clip scores its mean squared error. The baseline trains for 100 epochs
on about a thousand clips; here 5 to 80 clips are known, and the time is bounded: 600 steps of 256 (100 epochs of five
clips, 6 of eighty), the rate falling to nothing.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

FRAMES, BOTTLENECK, WIDTH = 5, 8, 128
_BATCH, _STEPS, _RATE = 256, 600, 2e-3


def autoencoder_scores(known: NDArray[np.float16], tested: NDArray[np.float16], seed: int) -> NDArray[np.float64]:
    """Train on healthy clips and score others.

    Parameters
    ----------
    known, tested
        float16[clips, 128, frames]: log-mel in dB.
    seed
        Of weights and batches.
    """
    torch.manual_seed(seed)
    rows = torch.from_numpy(_vectors(known).reshape(-1, FRAMES * known.shape[1]))
    centre, scale = rows.mean(), rows.std()  # one level and one spread for all: the network's start is made for both
    network = _network(rows.shape[1])
    optimiser = torch.optim.Adam(network.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _STEPS)
    network.train()
    for _ in range(_STEPS):
        batch = (rows[torch.randint(len(rows), (_BATCH,))] - centre) / scale
        loss = ((network(batch) - batch) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    network.eval()
    scores = np.empty(len(tested))
    with torch.no_grad():
        for number, clip in enumerate(tested):
            batch = (torch.from_numpy(_vectors(clip[None])[0]) - centre) / scale
            scores[number] = float(((network(batch) - batch) ** 2).mean())
    return scores


def _vectors(clips: NDArray[np.float16]) -> NDArray[np.float32]:
    """float32[clips, frames - 4, 640]."""
    windows = np.lib.stride_tricks.sliding_window_view(clips, FRAMES, axis=2)  # [clips, bands, frames - 4, 5]
    return np.ascontiguousarray(windows.transpose(0, 2, 3, 1), np.float32).reshape(len(clips), windows.shape[2], -1)


def _network(width: int) -> nn.Sequential:
    sizes = [width, WIDTH, WIDTH, WIDTH, WIDTH, BOTTLENECK, WIDTH, WIDTH, WIDTH, WIDTH]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, width))
