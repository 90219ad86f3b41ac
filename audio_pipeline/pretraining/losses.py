"""What encoders are trained for, as pure functions of tensors: machines told apart, faults above healthy clips.

The scores are those of `audio_pipeline.detector.backends` for one machine alone with few known clips, differentiable,
and its nearest neighbour's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from audio_pipeline.detector.backends import SAME, SAME_UNIT, SHARPNESS, AbsoluteGroup, RelativeGroup


def log_scores(reference: Tensor, tested: Tensor) -> Tensor:
    """Log distances of tested clips from a machine's known healthy ones.

    Parameters
    ----------
    reference
        float[n, d] with n >= 4.
    tested
        float[m, d].

    Returns
    -------
    Tensor
        float64[3, m]: shrunk Mahalanobis (Ledoit-Wolf), nearest neighbour, nearest neighbour over local density.
        Columns are standardised by the reference. The inverse covariance is applied through an n x n system (Woodbury),
        so that the cost does not grow with d².
    """
    reference, tested = reference.double(), tested.double()
    count, width = reference.shape
    centre, deviation = reference.mean(0), reference.std(0, correction=0)
    scale = torch.maximum(deviation, 1e-3 * deviation.detach().median() + 1e-9)
    known, new = (reference - centre) / scale, (tested - centre) / scale
    gram = known @ known.T
    mean_variance = gram.diagonal().sum() / (count * width)
    shrinkage = _ledoit_wolf(gram, width)
    ridge = shrinkage * mean_variance
    cross = new @ known.T
    system = gram + torch.eye(count, dtype=gram.dtype, device=gram.device) * (count * ridge / (1 - shrinkage))
    explained = (cross * torch.linalg.solve(system, cross.T).T).sum(1)
    from_centre = ((new**2).sum(1) - explained) / ridge
    squares = gram.diagonal()
    distances = ((new**2).sum(1)[:, None] + squares[None] - 2 * cross).clamp(min=0)
    between = (squares[:, None] + squares[None] - 2 * gram).clamp(min=0) + SAME * width
    between = between + torch.diag(torch.full((count,), torch.inf, dtype=gram.dtype, device=gram.device))
    density = 0.5 * torch.log(between.sort(1).values[:, : min(5, count - 2)].sqrt().mean(1) ** 2)
    nearest = distances.argmin(1)
    neighbour = 0.5 * torch.log(distances.gather(1, nearest[:, None])[:, 0] + SAME * width)
    return torch.stack([torch.log(from_centre + SAME * width), neighbour, neighbour - density[nearest]])


def _ledoit_wolf(gram: Tensor, width: int) -> Tensor:
    """The shrinkage of Ledoit and Wolf (2004) from the Gram matrix of centred rows, kept off 0 and 1."""
    count = len(gram)
    trace = gram.diagonal().sum() / count
    squared = (gram**2).sum() / count**2
    spread = squared - trace**2 / width
    noise = ((gram.diagonal() ** 2).sum() / count - squared) / count
    return (noise / spread.clamp(min=1e-9)).clamp(0.02, 0.98)


def absolute_distances(reference: Tensor, tested: Tensor) -> Tensor:
    """Distance of tested clips, float[m, d], from the nearest known one, float[n, d] → float64[1, m]."""
    apart = tested.double()[:, None] - reference.double()[None]
    return ((apart**2).sum(2).min(1).values + SAME_UNIT).sqrt()[None]


def standard_scores(raw: Sequence[Tensor], fault: Sequence[Tensor], floor: float) -> list[Tensor]:
    """Raw scores of several episodes in one group of columns → float64[m] each, about 0 for what is healthy.

    Each backend is normalised by its own scores of the tested healthy clips, then the backends are averaged. A handful
    of clips gives a poor spread: it is drawn towards that of all episodes, as the detector draws it to the site's. What
    the detector counts only beyond some deviations counts in full here: from faults that do not reach that far there
    is most to learn.

    Parameters
    ----------
    raw
        float64[backends, m] each.
    fault
        bool[m] each.
    floor
        Of the spread, as the detector's.
    """
    healthy = [scores[:, ~ill] for scores, ill in zip(raw, fault, strict=True)]
    usual = torch.stack([scores.var(1, correction=0) for scores in healthy]).mean(0)
    scored = []
    for scores, own in zip(raw, healthy, strict=True):
        spread = ((own.var(1, correction=0) + usual) / 2 + 1e-6).sqrt() + floor
        scored.append(((scores - own.mean(1, keepdim=True)) / spread[:, None]).mean(0))
    return scored


def ranking(scores: Tensor, fault: Tensor) -> Tensor:
    """How far faults are from standing above healthy clips: softplus over all pairs, a smooth 1 - AUC."""
    behind = scores[~fault][:, None] - scores[fault][None]
    return functional.softplus(behind).mean()


def fused_ranking(
    groups: Mapping[str, Tensor], reference: Sequence[int], fault: Tensor, absolute: Collection[str] = ()
) -> Tensor:
    """Ranking loss of a batch of episodes, of all groups' scores fused: each learns what the others miss.

    Parameters
    ----------
    groups
        Columns by group, float32[episodes, clips, d].
    reference
        How many clips of each episode, the first ones, are known to be healthy.
    fault
        bool[episodes, clips].
    absolute
        The groups whose distances have a unit.
    """
    tested_fault = [ill[count:] for ill, count in zip(fault, reference, strict=True)]
    scores = []
    for name, columns in groups.items():
        measure, kind = (absolute_distances, AbsoluteGroup) if name in absolute else (log_scores, RelativeGroup)
        raw = [measure(rows[:count], rows[count:]) for rows, count in zip(columns, reference, strict=True)]
        scores.append(standard_scores(raw, tested_fault, kind.SPREAD_FLOOR))
    fused = [torch.logsumexp(SHARPNESS * torch.stack(parts), 0) / SHARPNESS for parts in zip(*scores, strict=True)]
    return torch.stack([ranking(s, ill) for s, ill in zip(fused, tested_fault, strict=True)]).mean()


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
