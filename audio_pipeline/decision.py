"""From the scores of a clip's windows to one decision: pure, and the same everywhere.

Here: the rule, and the threshold that it amounts to. Not here: the scores and p-values (`detector`), the order of the
steps (`scoring`).

The rule. A window's p-value is (1 + #{calibration scores >= its score}) / (rows + 1). A clip of W windows has
p = min(1, W * smallest p) (Bonferroni: valid however the windows depend on each other), so that the false-alarm rate
is one of clips, whatever their length. The lowest rate that so many calibration rows support is W / (rows + 1): a
lower one asked for is replaced by it, and the decision says so.

Everything is decided by counting calibration scores, which are whole numbers, never by comparing rounded fractions.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

# 0.29 * 100 is 28.999999999999996: without it, a rank would be lost to rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Calibration:
    """The calibration scores, as far as decisions need them.

    Parameters
    ----------
    rows
        How many calibration scores there are.
    ranks
        Increasing, from 1: which of them are kept here, counted from the highest.
    scores
        The score of each rank, not increasing. Of few rows every one is kept; of many, a grid.

    Examples
    --------
    >>> calibration = Calibration(rows=99, ranks=(1, 2, 3), scores=(5.0, 4.0, 3.5))
    >>> calibration.rank(rate=0.02, windows=1), calibration.threshold(rate=0.02, windows=1)
    (2, 4.0)
    """

    rows: int
    ranks: tuple[int, ...]
    scores: tuple[float, ...]

    def reachable(self, windows: int = 1) -> float:
        """Return the lowest false-alarm rate that can be kept for clips of so many windows."""
        return min(1.0, windows / (self.rows + 1))

    def rank(self, rate: float, windows: int = 1) -> int:
        """Return the rank, from the highest, of the calibration score that an alarm has to exceed.

        Of many rows only a grid of ranks is kept; the stricter neighbour is taken, so that decision and threshold
        always agree and the rate asked for is never exceeded.
        """
        wanted = math.floor(rate * (self.rows + 1) / windows + _ROUNDING)
        return self.ranks[max(0, bisect_right(self.ranks, wanted) - 1)]

    def threshold(self, rate: float, windows: int = 1) -> float:
        """Return the score that a clip of so many windows has to exceed for an alarm."""
        rank = self.rank(rate, windows)
        return self.scores[bisect_right(self.ranks, rank) - 1]


@dataclass(frozen=True)
class Decision:
    """What the windows of a clip amount to.

    Parameters
    ----------
    anomaly
        Whether to raise an alarm.
    score
        The highest window's.
    threshold
        What the score had to exceed; it grows with the number of windows.
    p_value
        Of the clip.
    deciding_window
        Index of the highest window; the first of equals.
    rate_asked, rate_used
        False-alarm rate of clips: asked for, and used. They differ when there are too few calibration rows.
    """

    anomaly: bool
    score: float
    threshold: float
    p_value: float
    deciding_window: int
    rate_asked: float
    rate_used: float


def decide(scores: Sequence[float], p_values: Sequence[float], calibration: Calibration, rate: float) -> Decision:
    """Decide about a clip.

    Parameters
    ----------
    scores, p_values
        One a window, from the classifier; at least one.
    calibration
        Of that classifier, for the machine given or for an unknown one.
    rate
        False-alarm rate asked for, of clips; above 0, at most 1.

    Examples
    --------
    >>> calibration = Calibration(rows=99, ranks=(1, 2), scores=(5.0, 4.0))
    >>> decide([1.0, 6.0], [0.5, 0.01], calibration, rate=0.01)
    Decision(anomaly=True, score=6.0, threshold=5.0, p_value=0.02, deciding_window=1, rate_asked=0.01, rate_used=0.02)
    """
    windows = len(scores)
    deciding = max(range(windows), key=lambda window: scores[window])
    # p-values arrive as float32: the whole number they came from is what counts.
    rank = round(min(p_values) * (calibration.rows + 1))
    return Decision(
        anomaly=rank <= calibration.rank(rate, windows),
        score=float(scores[deciding]),
        threshold=calibration.threshold(rate, windows),
        p_value=min(1.0, windows * rank / (calibration.rows + 1)),
        deciding_window=deciding,
        rate_asked=rate,
        rate_used=max(rate, calibration.reachable(windows)),
    )
