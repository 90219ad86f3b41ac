"""Intervals of shares that were counted, and of recall and false-alarm rate where only a random draw was asked about.

Here: pure functions of counts. Not here: the counting (`serve.observability.stats`).

All intervals are 95 % or more (Clopper and Pearson, 1934: exact, never too narrow). What the counts do not define is
None, "unknown", never 0 or 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from scipy.special import betaincinv

Interval = tuple[float, float]


def share_interval(part: int, whole: int, error: float = 0.05) -> Interval | None:
    """Return the Clopper-Pearson interval of a share; None when nothing was counted.

    Parameters
    ----------
    part, whole
        How many of how many.
    error
        Chance that the interval misses the true share, at most.

    Examples
    --------
    >>> low, high = share_interval(0, 10)
    >>> low, round(high, 4)
    (0.0, 0.3085)
    >>> share_interval(0, 0) is None
    True
    """
    if whole == 0:
        return None
    low = 0.0 if part == 0 else float(betaincinv(part, whole - part + 1, error / 2))
    high = 1.0 if part == whole else float(betaincinv(part + 1, whole - part, 1 - error / 2))
    return low, high


@dataclass(frozen=True)
class Counts:
    """What is known of a period.

    Parameters
    ----------
    alarms, normals
        Clips called anomaly, and clips called normal.
    alarms_answered, alarms_confirmed
        Alarms that a person judged, and those judged a real fault.
    drawn_answered, drawn_faults
        Of the clips called normal: those drawn at random that a person judged, and those judged a fault.
    """

    alarms: int
    normals: int
    alarms_answered: int
    alarms_confirmed: int
    drawn_answered: int
    drawn_faults: int


@dataclass(frozen=True)
class Estimate:
    """A figure, with its interval; both None: unknown."""

    value: float | None
    interval: Interval | None


def recall_and_false_alarm_rate(counts: Counts) -> tuple[Estimate, Estimate]:
    """Estimate both from the two layers: alarms, and the random draw among the clips called normal.

    With A alarms of which a share p is real, and N clips called normal of which a share m is faulty, recall is
    A p / (A p + N m) and the false-alarm rate A (1 - p) / (A (1 - p) + N (1 - m)). Either is monotonic in p and in m,
    so that the intervals of those, each at half the error, bound it (Bonferroni). This takes the answered alarms for a
    fair sample of all alarms: true when every alarm is asked about; when a budget chooses among them, they are the
    doubtful ones, and p is too low rather than too high.

    Examples
    --------
    >>> recall, rate = recall_and_false_alarm_rate(Counts(20, 980, 20, 15, 100, 1))
    >>> round(recall.value, 3), round(rate.value, 4)
    (0.605, 0.0051)
    >>> recall_and_false_alarm_rate(Counts(20, 980, 20, 15, 0, 0))[0].value is None
    True
    """
    unknown = Estimate(None, None)
    if counts.drawn_answered == 0 or (counts.alarms and counts.alarms_answered == 0):
        return unknown, unknown
    missed = counts.drawn_faults / counts.drawn_answered
    missed_low, missed_high = share_interval(counts.drawn_faults, counts.drawn_answered, 0.025) or (0.0, 1.0)
    real = counts.alarms_confirmed / counts.alarms_answered if counts.alarms_answered else 0.0
    real_low, real_high = share_interval(counts.alarms_confirmed, counts.alarms_answered, 0.025) or (0.0, 0.0)

    def recall(p: float, m: float) -> float | None:
        return _of(counts.alarms * p, counts.normals * m)

    def false_alarm_rate(p: float, m: float) -> float | None:
        return _of(counts.alarms * (1 - p), counts.normals * (1 - m))

    return (
        _estimate(recall(real, missed), recall(real_low, missed_high), recall(real_high, missed_low)),
        _estimate(
            false_alarm_rate(real, missed),
            false_alarm_rate(real_high, missed_low),
            false_alarm_rate(real_low, missed_high),
        ),
    )


def _of(part: float, rest: float) -> float | None:
    return part / (part + rest) if part + rest > 0 else None


def _estimate(value: float | None, low: float | None, high: float | None) -> Estimate:
    if value is None:
        return Estimate(None, None)
    return Estimate(value, (0.0 if low is None else low, 1.0 if high is None else high))
