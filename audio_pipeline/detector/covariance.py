"""How a machine's columns vary together, from few rows: the directions in which normals do not differ count most.

Here: standardising, shrinking, whitening, and what machines of one site lend each other. Not here: scores (`backends`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

Floats = NDArray[np.float64]

_SCALE_FLOOR = 1e-3  # of the group's median deviation: a dead column would turn rounding noise into signal
_BORROWED_ROWS = 10  # that the other machines' covariance counts for beside a machine's own
_IDENTITY = 0.05  # share of equal variances in a covariance that is partly borrowed: it must have every direction


@dataclass(frozen=True)
class Whitening:
    """One group of columns, made white by a machine's normals.

    Parameters
    ----------
    columns
        Which.
    centre, scale
        float64[d]: standardise a row by them.
    matrix
        float64[d, d]: standardised normals times it have the covariance of white noise (Ledoit-Wolf shrunk).
    """

    columns: slice
    centre: Floats
    scale: Floats
    matrix: Floats

    @classmethod
    def fit(cls, columns: slice, vectors: Floats) -> Whitening:
        """Fit normals, float64[n, all columns] with n >= 2.

        Columns are standardised first, since the shrinkage is towards equal variances (Ledoit and Wolf, 2004).
        """
        rows = vectors[:, columns]
        centre, deviation = rows.mean(0), rows.std(0)
        floor = _SCALE_FLOOR * float(np.median(deviation[deviation > 0])) if (deviation > 0).any() else 1.0
        scale = np.maximum(deviation, floor)
        covariance, _ = ledoit_wolf((rows - centre) / scale, assume_centered=True)
        return cls(columns, centre, scale, whiten(covariance))

    def standardised(self, vectors: Floats) -> Floats:
        """Return float64[n, d]: the group's columns in deviations from the centre."""
        return np.asarray((vectors[:, self.columns] - self.centre) / self.scale)

    def apply(self, vectors: Floats) -> Floats:
        """Return float64[n, d]: the group's columns, whitened."""
        return np.asarray(self.standardised(vectors) @ self.matrix)


@dataclass(frozen=True)
class Others:
    """How one group's columns vary together within the other machines of a site, each around its own centre.

    Parameters
    ----------
    covariance
        float64[d, d], pooled within those machines, of the columns as they are.
    rows
        Degrees of freedom that it was estimated with, at least 1.
    """

    covariance: Floats
    rows: int

    def whiten(self, standard: Floats, scale: Floats) -> Floats:
        """Return float64[d, d]: whitens by a machine's covariance, the others' standing for up to ten further rows.

        Only the shape is borrowed: scaled so that the mean variance is that of the machine's own standardised rows.

        Parameters
        ----------
        standard
            float64[n, d], the machine's standardised normals.
        scale
            float64[d] that they were standardised by.
        """
        shape = self.covariance / np.outer(scale, scale)
        own, size = standard.T @ standard / len(standard), np.trace(shape) / len(scale)
        lent = min(_BORROWED_ROWS, self.rows) if size > 0 else 0
        mixed = (len(standard) * own + (lent * shape / size if lent else 0)) / (len(standard) + lent)
        return whiten((1 - _IDENTITY) * mixed + _IDENTITY * np.trace(mixed) / len(scale) * np.eye(len(scale)))


def whiten(covariance: Floats) -> Floats:
    """Return float64[d, d]: rows of that covariance times it are white."""
    values, axes = np.linalg.eigh(covariance)
    # Identical rows leave no variance at all, and no direction to prefer.
    return np.asarray(axes / np.sqrt(np.maximum(values, 1e-6 * max(float(values[-1]), 1e-6))))
