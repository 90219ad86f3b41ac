"""What the confirmed faults of one machine add to its scores: values and arithmetic.

Not here: fitting it, and why it is so (`supervision`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audio_pipeline.detector.covariance import Floats, Whitening

LIKENESS_SHARPNESS = 2.0
TINY = 1e-9


@dataclass(frozen=True)
class LikenessGroup:
    """One group of columns of a `Head`.

    Parameters
    ----------
    name, whitening
        Which columns, and how they are whitened.
    directions
        float64[d, C]: of the faults, each of length 1 / sqrt(d).
    median, spread
        Of the likeness of held-out normals.
    weight
        How much the group counts.
    """

    name: str
    whitening: Whitening
    directions: Floats
    median: float
    spread: float
    weight: float

    def score(self, vectors: Floats) -> Floats:
        """Return float64[n]: the normalised likeness, times the weight."""
        return self.weight * (likeness(self.whitening.apply(vectors), self.directions) - self.median) / self.spread


@dataclass(frozen=True)
class Head:
    """What the confirmed faults of one machine add to its scores.

    Parameters
    ----------
    groups
        Every group of columns.
    median, spread
        Of the sum over groups, on held-out normals.
    gain
        Score a deviation.
    recordings, faults
        How many there were.
    held_out_lifts
        float64[n]: of the machine's own normals, in the order of `MachineModel.rows`, each by models without its fold.
    fault_lifts
        float64[m]: of the faults, each by directions without its recording.
    """

    groups: tuple[LikenessGroup, ...]
    median: float
    spread: float
    gain: float
    recordings: int
    faults: Floats
    held_out_lifts: Floats
    fault_lifts: Floats

    def lift(self, vectors: Floats) -> Floats:
        """Return float64[n], never negative."""
        return self.of_total(np.sum([group.score(vectors) for group in self.groups], axis=0))

    def of_total(self, total: Floats) -> Floats:
        """Return float64[n]: the lift that the groups' sum, float64[n], amounts to."""
        return np.asarray(self.gain * np.maximum((total - self.median) / self.spread, 0.0))


def likeness(white: Floats, directions: Floats) -> Floats:
    """Return float64[n]: log-mean-exp of the projections of whitened rows, float64[n, d], on directions, [d, C]."""
    table = LIKENESS_SHARPNESS * white @ directions
    highest = table.max(axis=1)
    return np.asarray((highest + np.log(np.exp(table - highest[:, None]).mean(axis=1))) / LIKENESS_SHARPNESS)
