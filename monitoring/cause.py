"""What a drift looks like: the microphone's, the machine's, or one that cannot be told.

Here: the rule, on spectra alone. Not here: whether there is drift (`drift`).

A microphone, a cover over it, or a changed gain curve multiplies the spectrum: every moment of every clip moves by the
same smooth curve. Its mean over time and its near-maximum move alike, its spread over time does not change. Added noise
fills the quiet moments instead (the spread shrinks, the maximum stays); a machine that runs faster or is another one
moves single lines, which is not smooth. With several machines, a curve that all of them share is the sensor's, too, if
they have drifted alike. Whatever fits none of these is called unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Cause = Literal["machine", "sensor", "unknown"]
Array = NDArray[np.floating[Any]]

_SMOOTH, _ROUGH = 0.85, 0.6  # shares of the change that a cubic over the bands explains
_ALIKE = 0.35  # part of the change by which mean and near-maximum may differ, and the spread may change
_SHARED = 0.8  # share of the machines' changes that one common curve explains


@dataclass(frozen=True)
class SpectrumColumns:
    """Where an embedding holds a spectrum's statistics over time; bands of equal number, low to high.

    Attributes
    ----------
    mean, std, peak
        Columns; None where the encoder has none.
    """

    mean: slice
    std: slice | None = None
    peak: slice | None = None

    @classmethod
    def of(cls, groups: Mapping[str, Mapping[str, Any]]) -> SpectrumColumns | None:
        """Find them among the groups of `encoder.json`; None when there is no spectrum."""
        found: dict[tuple[str, str], slice] = {
            (str(group["source"]), str(group["pooling"])): slice(int(group["start"]), int(group["stop"]))
            for group in groups.values()
        }
        for source in ("logmel", "finemel"):
            if (source, "mean") in found:
                return cls(found[source, "mean"], found.get((source, "std")), found.get((source, "peak")))
        return None


def cause_of(changes: Sequence[Array], columns: SpectrumColumns | None) -> Cause:
    """Name what the drift of one or more machines looks like.

    Parameters
    ----------
    changes
        One a machine that drifted: float[n], mean of its recent clips less that of its reference.
    columns
        Where the spectrum is.

    Examples
    --------
    >>> columns = SpectrumColumns(slice(0, 64), slice(64, 128), slice(128, 192))
    >>> tilt, still = np.linspace(-1, 1, 64), np.zeros(64)
    >>> cause_of([np.concatenate([tilt, still, tilt])], columns)
    'sensor'
    >>> lines = np.where(np.arange(64) % 9 == 4, 1.0, 0.0)
    >>> cause_of([np.concatenate([lines, still, lines])], columns)
    'machine'
    """
    if columns is None or not changes:
        return "unknown"
    curves = np.array([_without_level(change[columns.mean]) for change in changes])
    if len(curves) > 1 and _share_of_common(curves) >= _SHARED:
        return "sensor"
    verdicts = {_of_one(change, columns) for change in changes}
    return verdicts.pop() if len(verdicts) == 1 else "unknown"


def _of_one(change: Array, columns: SpectrumColumns) -> Cause:
    curve = _without_level(change[columns.mean])
    size = _size(curve)
    if size == 0:
        return "unknown"
    smooth = smoothness(curve)
    moves_alike = all(
        _size(other) <= _ALIKE * size
        for other in ([_without_level(change[columns.peak]) - curve] if columns.peak is not None else [])
        + ([_without_level(change[columns.std])] if columns.std is not None else [])
    )
    if smooth >= _SMOOTH and moves_alike:
        return "sensor"
    return "machine" if smooth <= _ROUGH else "unknown"


def smoothness(curve: Array) -> float:
    """Return the share of a curve's variance that a cubic over its bands explains."""
    bands = np.linspace(-1, 1, len(curve))
    fitted = np.polynomial.Polynomial.fit(bands, curve, 3)(bands)
    total = float(np.var(curve))
    return 1 - float(np.mean((curve - fitted) ** 2)) / total if total > 0 else 0.0


def _without_level(curve: Array) -> Array:
    # The encoder scales every clip to the same power: the level of a spectrum is no finding.
    return np.asarray(curve - curve.mean())


def _size(curve: Array) -> float:
    return float(np.sqrt(np.mean(curve**2)))


def _share_of_common(curves: Array) -> float:
    total = float(np.mean(curves**2))
    return 1 - float(np.mean((curves - curves.mean(axis=0)) ** 2)) / total if total > 0 else 0.0
