"""Which clips are worth a question, when there are more of them than questions a day.

Here: the pure rules. Not here: what was asked already, the day's count, opening a question (`questions`).

A clip's worth is how much an answer would tell: how close the score is to the threshold (**uncertain**), how unlike
everything asked about before the clip sounds (**novel**), less with each question the day has already spent on the
same machine (**spread**). Clips come as a stream and cannot be sorted at the end of the day, so each has to exceed a
price: the worth that only as many of the recent candidates exceeded as there are questions left for the candidates
still to come. With questions enough for all the price is nothing; it rises as they are spent, and falls as the day
passes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Candidates that a price can be read from; before that, the first ones are all asked about.
_ENOUGH = 10
DOUBTFUL = 0.75
"""A "normal" verdict this uncertain is worth a question by itself: the score is within 0.29 thresholds of an alarm."""


def uncertainty(score: float, threshold: float) -> float:
    """Say how close a score is to the threshold, from 0 (far) to 1 (on it).

    Parameters
    ----------
    score, threshold
        Of one clip. Scores are normalised by the healthy clips', so that the threshold itself is a measure of scale.

    Examples
    --------
    >>> uncertainty(3.0, 3.0), round(uncertainty(6.0, 3.0), 2)
    (1.0, 0.37)
    """
    return math.exp(-abs(score - threshold) / max(abs(threshold), 1.0))


def novelty(vector: NDArray[np.float32], asked: NDArray[np.float32]) -> float:
    """Say how unlike all that was asked about a clip sounds, from 0 to 1.

    Parameters
    ----------
    vector
        float32[n], the deciding window's.
    asked
        float32[Q, n], those of earlier questions.

    Returns
    -------
    float
        The share of earlier questions that had a nearer neighbour among themselves than this clip has; 1 while there
        are fewer than two. No unit of distance has to be chosen for that.
    """
    if len(asked) < 2:
        return 1.0
    own = np.linalg.norm(asked - vector, axis=1).min()
    squares = (asked * asked).sum(axis=1)
    between = squares[:, None] + squares[None, :] - 2 * asked @ asked.T
    np.fill_diagonal(between, np.inf)
    nearest = np.sqrt(np.maximum(between.min(axis=1), 0))
    return float((nearest <= own).mean())


def worth(uncertain: float, novel: float, asked_of_machine: int) -> float:
    """Weigh a candidate, from 0 to 1.

    Parameters
    ----------
    uncertain, novel
        See `uncertainty` and `novelty`.
    asked_of_machine
        Questions about the same machine since the day began.
    """
    return (uncertain + novel) / 2 / (1 + asked_of_machine)


def is_worth_asking(value: float, recent: Sequence[float], left: int, expected: float) -> bool:
    """Decide about one candidate.

    Parameters
    ----------
    value
        Its worth.
    recent
        Worths of the candidates before it.
    left
        Questions left today.
    expected
        Candidates still to come today, this one not counted.
    """
    if left <= 0:
        return False
    if left > expected or len(recent) < _ENOUGH:
        return True
    return value >= float(np.quantile(np.asarray(recent), 1 - left / (expected + 1)))


def audit_share(asked_for: float, slots: int, normals_a_day: float) -> float:
    """Return the share of "normal" verdicts to draw, so that the day's slots last for the whole day.

    A draw that stopped once the slots are used up would only ever hear mornings.

    Examples
    --------
    >>> audit_share(0.02, 4, 100), audit_share(0.02, 4, 10_000)
    (0.02, 0.0004)
    """
    return min(asked_for, slots / normals_a_day) if normals_a_day > 0 else asked_for


def audit_slots(per_day: int) -> int:
    """Return how many of a day's questions are kept for the audit draw: a fifth, at least one.

    Examples
    --------
    >>> audit_slots(20), audit_slots(3), audit_slots(0)
    (4, 1, 0)
    """
    return math.ceil(per_day / 5)
