"""What the transformer is trained for, as pure functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def contrast(columns: Tensor, fault: Tensor, temperature: float = 0.1) -> Tensor:
    """Supervised contrast (Khosla et al., arXiv 2004.11362): healthy clips of a machine are alike, and nothing else is.

    Parameters
    ----------
    columns
        float[machines, clips, d].
    fault
        bool[machines, clips]: each such clip has a fault of its own.
    temperature
        The lower, the more the nearest others count.
    """
    rows = columns.flatten(0, 1)
    rows = functional.normalize((rows - rows.mean(0)) / (rows.std(0) + 1e-6), dim=1)
    itself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    likeness = (rows @ rows.T / temperature).masked_fill(itself, -torch.inf)
    share = likeness - torch.logsumexp(likeness, 1, keepdim=True)
    machine = torch.arange(len(fault), device=rows.device).repeat_interleave(fault.shape[1])
    healthy = ~fault.flatten()
    alike = (machine[:, None] == machine[None]) & healthy[:, None] & healthy[None] & ~itself
    per_clip = share.masked_fill(~alike, 0.0).sum(1) / alike.sum(1).clamp(min=1)
    return -per_clip[healthy].mean()
