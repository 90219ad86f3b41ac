"""Whether the scores of one model have moved since it began: the newest against those before.

Here: the split and the test. The reference's own scores are no yardstick: the model has learned from those clips.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from monitoring.drift import Finding

METHOD = "Kolmogorov-Smirnov, newest against earlier predictions of the same model"
_NEWEST, _EARLIER, _LEAST = 100, 500, 20


def split(models: NDArray[np.str_]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the rows of the earlier and of the newest predictions by the model of the last one.

    Parameters
    ----------
    models
        str[N], in the order of time.
    """
    rows = np.flatnonzero(models == models[-1]) if len(models) else np.empty(0, int)
    newest = min(_NEWEST, len(rows) // 2)
    return rows[: len(rows) - newest][:_EARLIER], rows[len(rows) - newest :]


def compare_with_earlier(scores: NDArray[np.float64], models: NDArray[np.str_], level: float) -> Finding:
    """Test the newest scores of the last model against its earlier ones.

    Parameters
    ----------
    scores, models
        float64[N] and str[N], in the order of time.
    level
        What one look may spend.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scores = np.concatenate([rng.normal(size=200), rng.normal(size=100) + 2])
    >>> compare_with_earlier(scores, np.full(300, "m"), 1e-4).status
    'drift'
    >>> compare_with_earlier(scores[:30], np.full(30, "m"), 1e-4).status
    'too_few'
    """
    earlier, newest = split(models)
    if len(newest) < _LEAST:
        message = f"Too few to tell: {len(earlier) + len(newest)} predictions of this model, {2 * _LEAST} are needed."
        return Finding("too_few", message, len(newest), len(earlier), method=METHOD)
    found: Any = ks_2samp(scores[earlier], scores[newest])
    p_value = max(float(found.pvalue), 1e-300)
    moved = p_value <= level
    return Finding(
        status="drift" if moved else "ok",
        message=f"The newest {len(newest)} scores {'differ from' if moved else 'are like'} the {len(earlier)} before.",
        rows=len(newest),
        reference_rows=len(earlier),
        score=-math.log10(p_value),
        threshold=-math.log10(level),
        p_value=p_value,
        effect=0.5 + float(found.statistic) / 2,
        method=METHOD,
    )
