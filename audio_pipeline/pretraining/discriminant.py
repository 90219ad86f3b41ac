"""The few directions in which faults lie and healthy clips do not, in closed form.

A machine's detector has a handful of clips to learn from what is normal. In hundreds of columns that is little: what
varies from clip to clip in each of them adds up, and hides a fault that shows in some. Thousands of other machines know
which directions are worth looking at: Fisher's discriminant analysis, with the spread of healthy clips about their
machine's mean as the noise, and the distance of faulty clips from that mean as the signal.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def discriminant(sites: Iterable[tuple[Floats, NDArray[np.bool_]]], columns: int, ridge: float = 0.1) -> Floats:
    """Find the directions.

    Parameters
    ----------
    sites
        For each machine at its site statistics float64[clips, d] and which clips are faulty, bool[clips]; at least two
        clips must be healthy, and one faulty.
    columns
        How many directions.
    ridge
        Of the mean variance, added to all of them: directions in which nothing varies are not to be trusted.

    Returns
    -------
    NDArray
        float64[columns, d], the best direction last. Along each, healthy clips of a machine vary as much as they do in
        the statistics on average.

    Notes
    -----
    Every machine counts alike, however noisy its site: both spread and distances are in units of its healthy clips'
    mean variance. A fault far outside counts little more than one that is clear (its distance has length below one):
    those are found anyway.
    """
    within: Floats | float = 0.0
    between: Floats | float = 0.0
    count = 0
    for rows, fault in sites:
        healthy = rows[~fault]
        centre = healthy.mean(0)
        spread = (healthy - centre).T @ (healthy - centre) / (len(healthy) - 1)
        unit = float(np.trace(spread)) / len(spread)
        away = rows[fault] - centre
        away = away / np.sqrt((away**2).mean(1, keepdims=True) + unit)
        within, between = within + spread / unit, between + away.T @ away / len(away)
        count += 1
    if count == 0:
        raise ValueError("No site to learn from.")
    within, between = np.asarray(within) / count, np.asarray(between) / count
    variance, axes = np.linalg.eigh(within)
    variance = np.maximum(variance, 0) + ridge * variance.mean()
    whiten = (axes / np.sqrt(variance)) @ axes.T
    _, directions = np.linalg.eigh(whiten @ between @ whiten)
    return np.asarray((whiten @ directions[:, -columns:]).T)
