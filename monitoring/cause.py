"""What a drift looks like: the microphone's, the machine's, or one that cannot be told.

Here: the rule, on spectra alone. Not here: whether there is drift (`drift`).

A microphone, a cover over it, or a changed gain curve multiplies the spectrum: every moment of every clip moves by the
same smooth curve, so its mean over time and its near-maximum move alike. Added noise fills the quiet moments instead
(the mean rises, the maximum stays); a machine that runs faster or is another one moves single lines, which is not
smooth. With several machines, a curve that all of them share is the sensor's, too, if
they have drifted alike. Whatever fits none of these is called unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.mel import slaney_centres

Cause = Literal["machine", "sensor", "unknown"]
Array = NDArray[np.floating[Any]]

_SMOOTH, _ROUGH = 0.85, 0.6  # shares of the change that a cubic over the bands explains
_ALIKE = 0.35  # part of the change by which mean and near-maximum may differ
_SHARED = 0.8  # share of the machines' changes that one common curve explains


@dataclass(frozen=True)
class Bands:
    """Columns of an embedding that hold log-mel bands, low to high, and where the highest one ends."""

    columns: slice
    top_hz: float

    def centres(self) -> NDArray[np.float64]:
        """Return float64[bands], Hz."""
        return slaney_centres(self.columns.stop - self.columns.start, self.top_hz)


@dataclass(frozen=True)
class SpectrumColumns:
    """Where an embedding holds a spectrum's statistics over time.

    Attributes
    ----------
    mean, peak
        Mean and near-maximum; their bands may differ. None where the encoder has no near-maximum.
    """

    mean: Bands
    peak: Bands | None = None

    @classmethod
    def of(cls, groups: Mapping[str, Mapping[str, Any]]) -> SpectrumColumns | None:
        """Find them among the groups of `encoder.json`; None when there is no mean spectrum."""
        found = {
            str(group["pooling"]): Bands(slice(int(group["start"]), int(group["stop"])), float(group["top_hz"]))
            for group in groups.values()
            if group.get("top_hz") is not None
        }
        return cls(found["mean"], found.get("peak")) if "mean" in found else None


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
    >>> columns = SpectrumColumns(Bands(slice(0, 64), 4_000), Bands(slice(64, 128), 4_000))
    >>> tilt, lines = np.linspace(-1, 1, 64), np.where(np.arange(64) % 9 == 4, 1.0, 0.0)
    >>> cause_of([np.concatenate([tilt, tilt])], columns)
    'sensor'
    >>> cause_of([np.concatenate([lines, lines])], columns)
    'machine'
    """
    if columns is None or not changes:
        return "unknown"
    curves = np.array([_without_level(change[columns.mean.columns]) for change in changes])
    if len(curves) > 1 and _share_of_common(curves) >= _SHARED:
        return "sensor"
    verdicts = {_of_one(change, columns) for change in changes}
    return verdicts.pop() if len(verdicts) == 1 else "unknown"


def _of_one(change: Array, columns: SpectrumColumns) -> Cause:
    curve = _without_level(change[columns.mean.columns])
    size = _size(curve)
    if size == 0:
        return "unknown"
    smooth = smoothness(curve)
    if smooth >= _SMOOTH and (columns.peak is None or _moves_alike(change, columns.mean, columns.peak)):
        return "sensor"
    return "machine" if smooth <= _ROUGH else "unknown"


def _moves_alike(change: Array, mean: Bands, peak: Bands) -> bool:
    """Whether both move by the same curve, over the frequencies that both have."""
    centres = mean.centres()
    shared = centres <= peak.top_hz
    curve = _without_level(change[mean.columns][shared])
    of_peak = _without_level(np.interp(centres[shared], peak.centres(), change[peak.columns]))
    return _size(of_peak - curve) <= _ALIKE * _size(curve)


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
