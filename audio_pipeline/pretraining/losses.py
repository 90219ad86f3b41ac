"""What the encoder is trained for, as pure functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def supervised_contrast(vectors: Tensor, states: Tensor, sites: Tensor, temperature: float = 0.1) -> Tensor:
    """Supervised contrastive loss (Khosla et al., arXiv 2004.11362) within sites.

    Clips of one machine in one state attract, everything else *of the same site* repels. Clips of other sites are left
    out of the denominator: they differ by their background alone, and telling backgrounds apart is not the task.

    Parameters
    ----------
    vectors
        float32[N, d], scaled to length one here.
    states
        int64[N]: one number for each machine and state (healthy, or one fault).
    sites
        int64[N]: one number for each background.

    Returns
    -------
    Tensor
        The mean over clips that have a partner.
    """
    unit = functional.normalize(vectors, dim=1)
    own = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    similarity = unit @ unit.T / temperature
    compared = (sites[:, None] == sites[None]) & ~own
    partners = (states[:, None] == states[None]) & ~own
    log_share = similarity - torch.logsumexp(similarity.masked_fill(~compared, -torch.inf), dim=1, keepdim=True)
    counts = partners.sum(1)
    per_clip = -(log_share * partners).sum(1) / counts.clamp(min=1)
    return per_clip[counts > 0].mean()


def retained_mixture(predicted: Tensor, statistics: Tensor) -> Tensor:
    """How badly the mixture's own pooled log-mel is read off the embedding: mean squared error in standard units.

    Keeps the embedding from forgetting what contrast finds useless today (compare "retain, not denoise",
    arXiv 2510.25182).
    """
    target = (statistics - statistics.mean(0)) / (statistics.std(0) + 1e-3)
    return functional.mse_loss(predicted, target)
