"""The unit of the trained columns: how far healthy clips of one machine lie apart, on average over training's machines.

Within-class covariance normalisation (Hatch, Kajarekar and Stolcke, Interspeech 2006): a linear map after which healthy
clips of a machine differ by the same in every direction. It becomes part of the network's last layer.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from audio_pipeline.detector.covariance import Floats
from audio_pipeline.torch_encoders.machine_encoder import MachineEncoder

_RIDGE = 1.0  # of the mean variance: no direction in which training's machines hardly vary is blown up


def within_machines(encoder: MachineEncoder, batches: Iterable[tuple[Tensor, Tensor, Tensor]]) -> Floats:
    """Return float64[d, d]: the covariance of a machine's healthy clips in the trained columns, mean over episodes.

    Parameters
    ----------
    encoder
        The network.
    batches
        As `loop.Batches` makes them.
    """
    found = []
    with torch.no_grad():
        for coarse, _, fault in batches:
            columns = encoder.dynamics(coarse).reshape(*fault.shape, -1).double().numpy()
            found += [np.cov(rows[~ill].T) for rows, ill in zip(columns, fault.numpy(), strict=True)]
    return np.asarray(np.mean(found, axis=0))


def give_unit(encoder: MachineEncoder, covariance: Floats) -> None:
    """Whiten the trained columns in place, given what `within_machines` found."""
    variances, axes = np.linalg.eigh(covariance)
    white = torch.from_numpy(axes / np.sqrt(variances + _RIDGE * variances.mean()))
    with torch.no_grad():
        for part in (encoder.head.weight, encoder.head.bias):
            part.copy_(white.T @ part.double())
