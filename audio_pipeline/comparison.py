"""Champion against challenger: is the new model better, on clips that neither has trained on?

Here: the metric, the paired bootstrap over recordings, the rule. Not here: training, and what is done with the result
(`serve.retraining`).

Both judge the same held-out clips afresh through their own ONNX. The metric is the mean of AUC (does the order of the
scores tell faults from healthy clips?) and balanced accuracy at the model's own threshold (are the alarms right?);
it exists as soon as there is one fault and one healthy clip. The bootstrap draws recordings, not clips: windows and
pieces of one recording resemble each other. Faults and healthy recordings are drawn apart, so that no draw is without
either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.evaluation import ClipScores, score_clips
from audio_pipeline.metrics import measure
from audio_pipeline.reference import Reference
from audio_pipeline.scoring import Scorer

METRIC = "mean of AUC and balanced accuracy"
MIN_ANOMALIES, MIN_NORMALS = 5, 10
"""Held-out recordings of each kind without which nothing is compared: fewer can all fall on one side by chance."""
DRAWS = 2000
_AT_ONCE = 200  # draws in memory together
LEVEL = 0.9
RULE = (
    f"promoted when the challenger is better in 95 % of {DRAWS} draws of the held-out recordings (paired bootstrap of "
    f"the {METRIC}: the whole 90 % interval of the difference is above 0); a tie keeps the champion; at least "
    f"{MIN_ANOMALIES} recordings of faults and {MIN_NORMALS} of healthy machines are needed"
)


@dataclass(frozen=True)
class Comparison:
    """What came of it.

    Attributes
    ----------
    clips, recordings, normals, anomalies
        Held-out clips, and recordings: all, healthy, faulty.
    champion, challenger, difference
        The metric of either; None where it is not defined, or was not computed for want of recordings.
    interval
        Of the difference.
    better
        Whether the challenger is to be promoted.
    reason
        Why, in a sentence.
    details
        Further figures of either model.
    """

    clips: int
    recordings: int
    normals: int
    anomalies: int
    champion: float | None
    challenger: float | None
    difference: float | None
    interval: tuple[float, float] | None
    better: bool
    reason: str
    details: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return what the service tells about it."""
        return {
            "metric": METRIC,
            "rows": self.clips,
            "recordings": self.recordings,
            "normals": self.normals,
            "anomalies": self.anomalies,
            "champion": self.champion,
            "challenger": self.challenger,
            "difference": self.difference,
            "interval": self.interval,
            "rule": RULE,
            "details": self.details,
        }


def compare(
    champion: Scorer,
    challenger: Scorer,
    held_out: Reference,
    challengers_rows: Reference | None = None,
    seed: int = 0,
) -> Comparison:
    """Let both models judge the same clips, and say whether the challenger is better.

    Parameters
    ----------
    champion, challenger
        Loaded from their published files.
    held_out
        All windows of the held-out clips, as the champion's encoder makes them; the recording groups are drawn.
    challengers_rows
        The same clips as the challenger's encoder makes them; None: it is the same encoder.
    seed
        Of the bootstrap.
    """
    if challengers_rows is None:
        challengers_rows = held_out
    names, first = np.unique(held_out.clips, return_index=True)
    groups, targets = held_out.groups[first], held_out.targets[first]
    kinds = {label: len(np.unique(groups[targets == label])) for label in (False, True)}
    counted = {
        "clips": len(names),
        "recordings": len(np.unique(groups)),
        "normals": kinds[False],
        "anomalies": kinds[True],
    }
    if kinds[True] < MIN_ANOMALIES or kinds[False] < MIN_NORMALS:
        return Comparison(
            **counted,
            champion=None,
            challenger=None,
            difference=None,
            interval=None,
            better=False,
            reason=(
                f"Too few held-out recordings to compare on: {kinds[True]} of faults ({MIN_ANOMALIES} are needed) and "
                f"{kinds[False]} of healthy machines ({MIN_NORMALS}). The champion stays; more answers, faults among "
                "them, decide it later, or promote the challenger by hand."
            ),
            details={},
        )
    judged = [score_clips(champion, held_out), score_clips(challenger, challengers_rows)]
    for clips in judged:  # both are in the order of the clips' hashes
        assert np.array_equal(clips.targets, targets)
    values = [float(_metric(clips, np.ones((1, len(targets))))[0]) for clips in judged]
    differences = _bootstrap(judged, targets, groups, seed)
    tail = (1 - LEVEL) / 2
    low, high = (float(value) for value in np.quantile(differences, [tail, 1 - tail]))
    difference = values[1] - values[0]
    better = low > 0
    figures = f"{values[1]:.3f} against {values[0]:.3f}, difference {difference:+.3f} [{low:+.3f}, {high:+.3f}]"
    if better:
        reason = f"The challenger is better: {METRIC} {figures}."
    elif high < 0:
        reason = f"The challenger is worse: {METRIC} {figures}."
    else:
        reason = f"No proof that the challenger is better, so the champion stays: {METRIC} {figures}."
    return Comparison(
        **counted,
        champion=values[0],
        challenger=values[1],
        difference=difference,
        interval=(low, high),
        better=better,
        reason=reason,
        details={name: _figures(clips) for name, clips in zip(("champion", "challenger"), judged, strict=True)},
    )


def _bootstrap(
    judged: Sequence[ClipScores], targets: NDArray[np.bool_], groups: NDArray[np.str_], seed: int
) -> NDArray[np.float64]:
    """float64[DRAWS]: the difference of the metric when recordings are drawn anew, the same for both models."""
    random = np.random.default_rng(seed)
    # A recording with clips of either kind counts once in each kind: its clips are drawn with their kind.
    kinds = []
    for label in (False, True):
        rows = np.flatnonzero(targets == label)
        _, recording = np.unique(groups[rows], return_inverse=True)
        kinds.append((rows, recording, int(recording.max()) + 1))
    differences = np.empty(DRAWS)
    for first in range(0, DRAWS, _AT_ONCE):
        weights = np.empty((min(_AT_ONCE, DRAWS - first), len(targets)))
        for rows, recording, count in kinds:
            drawn = [np.bincount(random.integers(0, count, count), minlength=count) for _ in weights]
            weights[:, rows] = np.array(drawn)[:, recording]
        champion, challenger = (_metric(clips, weights) for clips in judged)
        differences[first : first + len(weights)] = challenger - champion
    return differences


def _metric(clips: ClipScores, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[D]: of D draws, float64[D, N] saying how often each clip was drawn."""
    return (_auc(clips, weights) + _balanced_accuracy(clips, weights)) / 2


def _auc(clips: ClipScores, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of (fault, healthy) pairs in the right order; a tie is half."""
    order = np.argsort(clips.scores, kind="stable")
    ties = np.flatnonzero(np.diff(clips.scores[order], prepend=-np.inf) > 0)  # where each distinct score begins
    faulty = np.add.reduceat((weights * clips.targets)[:, order], ties, axis=1)
    healthy = np.add.reduceat((weights * ~clips.targets)[:, order], ties, axis=1)
    below = np.cumsum(healthy, axis=1) - healthy
    return np.asarray((faulty * (below + healthy / 2)).sum(1) / (faulty.sum(1) * healthy.sum(1)))


def _balanced_accuracy(clips: ClipScores, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = []
    for label in (False, True):
        kind = clips.targets == label
        shares.append(weights[:, kind & (clips.verdicts == label)].sum(1) / weights[:, kind].sum(1))
    return np.asarray((shares[0] + shares[1]) / 2)


def _figures(clips: ClipScores) -> dict[str, Any]:
    figures = asdict(measure("held-out clips", clips.targets, clips.scores, clips.verdicts))
    return {name: value for name, value in figures.items() if name != "name"}
