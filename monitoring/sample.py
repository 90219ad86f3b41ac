"""What is compared with what: one window a clip, drawn without a look at its score, and the recording it belongs to.

Here: the draw. Not here: where windows come from (`service`), how samples are compared (`drift`).

A clip's score is its highest window's: comparing deciding windows would find drift wherever clips have more than one.
So each clip gives the window that a hash of its name points at, in the reference and in production alike.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.reference import Reference

_PIECE = re.compile(r"_[ts]\d+$")


@dataclass(frozen=True)
class Sample:
    """Clips, one row each.

    Attributes
    ----------
    vectors
        float32[N, n], of the drawn window.
    clips
        str[N], what the clip is called: sha256 in the reference, prediction's id in production.
    machines
        str[N], `type/section`, empty = unknown.
    recordings
        str[N]: clips of one recording are not independent and are moved together when labels are shuffled.
    """

    vectors: NDArray[np.float32]
    clips: NDArray[np.str_]
    machines: NDArray[np.str_]
    recordings: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.clips)

    def select(self, rows: NDArray[Any]) -> Sample:
        """Return the rows given as bool[N] or as indices."""
        return replace(self, **{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def drawn_window(clip: str, windows: int) -> int:
    """Return which of a clip's windows stands for it: any, the same every time, whatever was found in it.

    Examples
    --------
    >>> [drawn_window(name, 3) for name in ("a", "b", "c", "d")]
    [1, 1, 2, 2]
    """
    return int.from_bytes(hashlib.sha256(clip.encode()).digest()[:8], "big") % windows


def reference_sample(reference: Reference) -> Sample:
    """Draw a window of each healthy clip of the reference.

    Healthy ones only: a reference holds faults in numbers that no plant has, and would drift from production at once.
    """
    rows: dict[str, list[int]] = {}
    for row in np.flatnonzero(~reference.targets):
        rows.setdefault(str(reference.clips[row]), []).append(int(row))
    drawn = np.array([of[drawn_window(clip, len(of))] for clip, of in rows.items()], int)
    return Sample(
        reference.vectors[drawn],
        reference.clips[drawn],
        reference.machines[drawn],
        reference.groups[drawn],
    )


def recording_of(machine: str, filename: str | None, clip: str) -> str:
    """Name the recording a clip of production is a piece of, by the rule of the reference's groups.

    Examples
    --------
    >>> recording_of("uav", "flight_7_t120.wav", "x") == recording_of("uav", "flight_7_t130.wav", "y")
    True
    >>> recording_of("uav", "hall.wav", "x"), recording_of("uav", None, "y")
    ('x', 'y')
    """
    stem = (filename or "").rpartition(".")[0]
    # Without a piece number nothing tells pieces of one recording; equal names are common ("clip.wav").
    return f"{machine}/{_PIECE.sub('', stem)}" if _PIECE.search(stem) else clip


def joined(samples: Sequence[Sample]) -> Sample:
    """Return all rows of several samples, in order."""
    return Sample(*(np.concatenate([getattr(s, field.name) for s in samples]) for field in fields(Sample)))
