"""Conformal p-values: how rare a score is among healthy windows that the model had not seen.

Here: calibration scores and the table of them. Not here: the p-value itself, computed in the graph (`graph`), and the
rule for a clip (`audio_pipeline.decision`).

Why p = (1 + #{calibration scores >= s}) / (n + 1) is no lie. Each calibration score is of a normal row under a model
fitted without that row's fold: no row has helped to judge itself. A fresh normal is judged by the final model, fitted
on all rows: with more data its centre and covariance are nearer to the truth, and a bank of more neighbours is nearer
to any row, so that a fresh row's distances tend to be smaller than a calibration row's, and the p-values err towards 1
(cross-conformal prediction, Vovk 2015; the strict bound without that argument is twice the rate, Barber et al. 2021).
The constants that both are measured against, median and spread of the held-out scores, do contain the calibration row
and not the fresh one. Leaving the row out there as well made alarms four times as rare as promised and half of the
faults pass; leaving it in keeps the promise, by measurement: on Gaussian machines in `tests/detector`, and on real
ones with five normal clips each, 2.0, 3.8 and 7.4 % of fresh normals at 2, 5 and 10 % (the same clips that
`_BORROWED_ROWS` was set on).

Pooled over machines, the promise is for the site as a whole: a machine whose scores vary more than the others' raises
more than its share. Windows of one recording resemble each other: with few recordings, the promise holds less well
for a recording unlike all of them than the number of windows suggests; the manifest says how many there were.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.decision import Calibration
from audio_pipeline.detector.backends import MachineModel
from audio_pipeline.detector.covariance import Floats

_EVERY_RANK = 1000  # kept one by one; beyond, steps of about 2 %
_STEP = 1.02


def known_machine_scores(models: Sequence[MachineModel], rows: int) -> Floats:
    """Return float64[rows]: each normal's held-out score under its own machine's model.

    Parameters
    ----------
    models
        Of one site, covering every row. Where a row was used by two (a model shared by machines with too few
        normals), its own machine's counts, which comes first.
    rows
        How many normals the site has.
    """
    scores = np.full(rows, np.nan)
    for model in reversed(models):
        scores[model.rows] = model.held_out_scores
    return scores


def unknown_machine_scores(models: Sequence[MachineModel], vectors: Floats) -> Floats:
    """Return float64[rows]: each normal's score by the model that finds it least odd, held out where that saw it."""
    novelty, score = np.empty((2, len(models), len(vectors)))
    for number, model in enumerate(models):
        novelty[number], score[number] = model.novelty(vectors), model.score(vectors)
        novelty[number, model.rows], score[number, model.rows] = model.held_out_novelty, model.held_out_scores
    return np.asarray(score[novelty.argmin(axis=0), np.arange(len(vectors))])


def table(scores: NDArray[np.float32]) -> Calibration:
    """Make the bounded table that decisions and thresholds use.

    Parameters
    ----------
    scores
        float32[n], as in the graph, in any order.
    """
    descending = np.sort(scores)[::-1]
    ranks = list(range(1, min(len(scores), _EVERY_RANK) + 1))
    while ranks[-1] < len(scores):
        ranks.append(min(len(scores), int(ranks[-1] * _STEP)))
    return Calibration(len(scores), tuple(ranks), tuple(float(descending[rank - 1]) for rank in ranks))
