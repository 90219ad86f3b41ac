"""What a window sounds like: the nearest clips that somebody has named, and the groups of columns that are odd.

Distances are taken in the columns that the detector scores, each in deviations of the machine's normals, so that 1 is
about how far healthy clips are from their mean.

Here: known clips, distances, scores of single groups. Not here: where known clips come from (a reference, the
service's answers), or who may see them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.encoder import EncoderManifest
from audio_pipeline.explanation.rescoring import Rescorer
from audio_pipeline.reference import Reference

Kind = Literal["reference", "prediction"]

_SHOWN = 5
_ENOUGH = 4  # normals of a machine, to know its deviations by; otherwise those of the whole site


@dataclass(frozen=True)
class Neighbour:
    """A known clip near the window.

    Parameters
    ----------
    kind, id
        `reference` and the clip's sha256, or `prediction` and its id.
    machine, target, title
        Of the known clip; target True = anomaly.
    distance
        Root mean square over columns, in deviations of the machine's normals.
    """

    kind: Kind
    id: str
    machine: str
    target: bool
    title: str
    distance: float


@dataclass(frozen=True)
class GroupScore:
    """A group of columns of the embedding, and what the window scores with it alone among typical columns."""

    name: str
    score: float


@dataclass(frozen=True, eq=False)
class KnownClips:
    """Windows whose truth is known; every array has one entry a window.

    Parameters
    ----------
    vectors
        float32[R, n].
    targets, machines
        bool[R], str[R].
    kinds, ids, titles
        str[R]; windows of one clip share its id.
    """

    vectors: NDArray[np.float32]
    targets: NDArray[np.bool_]
    machines: NDArray[np.str_]
    kinds: NDArray[np.str_]
    ids: NDArray[np.str_]
    titles: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.targets)

    @classmethod
    def of(cls, reference: Reference) -> KnownClips:
        """Take a reference's rows; held-out ones too, for nothing is learned here."""
        return cls(
            reference.vectors,
            reference.targets,
            reference.machines,
            np.full(len(reference), "reference"),
            reference.clips,
            np.array([PurePath(path).name for path in reference.paths.tolist()], dtype=np.str_),
        )

    def normals_of(self, machine: str) -> NDArray[np.float32]:
        """Return the normal windows of a machine, or of all when it has too few."""
        own = ~self.targets & (self.machines == machine)
        return self.vectors[own if own.sum() >= _ENOUGH else ~self.targets]

    def joined(self, other: KnownClips) -> KnownClips:
        """Return both, one after the other."""
        return KnownClips(
            np.concatenate([self.vectors, other.vectors]),
            np.concatenate([self.targets, other.targets]),
            np.concatenate([self.machines, other.machines]),
            np.concatenate([self.kinds, other.kinds]),
            np.concatenate([self.ids, other.ids]),
            np.concatenate([self.titles, other.titles]),
        )


def nearest(
    vector: NDArray[np.float32], machine: str, known: KnownClips, manifest: EncoderManifest, but: Sequence[str] = ()
) -> tuple[Neighbour, ...]:
    """Find the known clips that a window is most like, nearest first.

    Parameters
    ----------
    vector
        float32[n], the window's.
    machine
        Its machine.
    known
        Where to look.
    manifest
        Names the groups of columns; each counts the same.
    but
        Ids to leave out: the clip itself.

    Returns
    -------
    tuple
        Five at most, a clip once, with its nearest window. When none of the nearest is a fault and one is known, the
        nearest fault takes the last place.
    """
    rows = np.flatnonzero(~np.isin(known.ids, list(but)))
    normals = known.normals_of(machine).astype(np.float64)
    if not len(rows) or len(normals) < 2:
        return ()
    squared = np.zeros(len(rows))
    for group in manifest.groups.values():
        deviation = normals[:, group.columns].std(0)
        # Columns with a unit are compared in it: what hears nothing in a machine does not choose its neighbours.
        scale = 1.0 if group.absolute else deviation + 0.1 * float(np.median(deviation)) + 1e-9
        apart = (known.vectors[rows, group.columns] - vector[group.columns]) / scale
        squared += (apart**2).mean(1) / len(manifest.groups)
    order = np.argsort(squared, kind="stable")
    chosen: list[int] = []
    fault: int | None = None
    seen: set[str] = set()
    for position in order.tolist():
        row = int(rows[position])
        if str(known.ids[row]) in seen:
            continue
        seen.add(str(known.ids[row]))
        if known.targets[row] and fault is None:
            fault = position
        if len(chosen) < _SHOWN:
            chosen.append(position)
        elif fault is not None:
            break
    if fault is not None and fault not in chosen:
        chosen[-1] = fault
    return tuple(
        Neighbour(
            kind="reference" if known.kinds[row] == "reference" else "prediction",
            id=str(known.ids[row]),
            machine=str(known.machines[row]),
            target=bool(known.targets[row]),
            title=str(known.titles[row]),
            distance=float(np.sqrt(squared[position])),
        )
        for position, row in ((position, int(rows[position])) for position in chosen)
    )


def group_scores(
    vector: NDArray[np.float32], normals: NDArray[np.float32], manifest: EncoderManifest, rescore: Rescorer
) -> tuple[GroupScore, ...]:
    """Score each group of columns alone: the others are those of the most typical normal window.

    Parameters
    ----------
    vector
        float32[n], the window's.
    normals
        float32[R, n], of its machine.
    manifest
        Names the groups.
    rescore
        The detector.

    Returns
    -------
    tuple
        The oddest first; none without normals.
    """
    if not len(normals):
        return ()
    typical = normals[int(rescore.vectors(normals[:_TYPICAL_OF]).argmin())]
    mixed = np.repeat(typical[None], len(manifest.groups), axis=0)
    for row, group in enumerate(manifest.groups.values()):
        mixed[row, group.columns] = vector[group.columns]
    scores = rescore.vectors(mixed)
    return tuple(
        sorted(
            (GroupScore(name, float(score)) for name, score in zip(manifest.groups, scores, strict=True)),
            key=lambda group: -group.score,
        )
    )


_TYPICAL_OF = 64  # normals looked at for the most typical one: more would only cost time
