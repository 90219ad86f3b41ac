"""A plant's recordings as pieces of ten seconds, and what the sensor check says about them.

Here: finding recordings (a plain folder of healthy ones will do), reading, cutting. Not here: judging (`check`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.clip import SAMPLE_RATE, ClipLimits, read
from audio_pipeline.datasets import AUDIO_SUFFIXES, Recording, discover
from audio_pipeline.errors import ClipError, DatasetError
from audio_pipeline.sensor import check
from audio_pipeline.windows import WINDOW_S

# People record an hour and send it, as their recorder made it: 48 kHz stereo is 1.3 GiB, decoded block by block.
_LIMITS = ClipLimits(max_s=2 * 3600.0, max_bytes=2 * 2**30, max_decoded_bytes=1 << 40)
_MOST_PIECES = 240  # a machine: 40 minutes; more would only take longer


@dataclass(frozen=True, eq=False)
class Piece:
    """Ten seconds of a recording (or all of a shorter one).

    Parameters
    ----------
    samples
        float32[n], 16 kHz mono.
    machine, recording, target
        Of which machine, from which file, and whether the folder calls it anomalous.
    """

    samples: NDArray[np.float32]
    machine: str
    recording: str
    target: bool


@dataclass(frozen=True)
class SensorCount:
    """One defect that the sensor check found: in how many recordings, and its sentence in the first of them."""

    code: str
    recordings: int
    of: int
    fatal: bool
    example: str
    first: str


@dataclass(frozen=True)
class Material:
    """What there is to judge.

    Parameters
    ----------
    pieces
        At most `_MOST_PIECES` a machine and label, spread evenly over what was recorded.
    sensor
        By code.
    recordings, seconds
        That were read.
    skipped
        Path and reason of each that was not.
    """

    pieces: tuple[Piece, ...]
    sensor: tuple[SensorCount, ...]
    recordings: int
    seconds: float
    skipped: tuple[tuple[str, str], ...]


def gather(
    folder: Path, machine: str | None = None, on_recording: Callable[[int, int], None] | None = None
) -> Material:
    """Read a folder.

    Parameters
    ----------
    folder
        In a layout that `datasets.discover` knows, or any folder of healthy recordings.
    machine
        Of all of them, whatever their folders say.
    on_recording
        Called with how many are done, of how many.

    Raises
    ------
    DatasetError
        There is no recording that can be used.
    """
    found = recordings_of(folder)
    kept: dict[tuple[str, bool], _Spread] = {}
    skipped: list[tuple[str, str]] = []
    findings: dict[str, list[tuple[str, bool, str]]] = {}
    seconds = 0.0
    for number, recording in enumerate(found, start=1):
        try:
            clip = read(recording.path, _LIMITS)
        except (ClipError, OSError) as error:
            skipped.append((str(recording.path), error.message if isinstance(error, ClipError) else str(error)))
            continue
        finally:
            if on_recording is not None:
                on_recording(number, len(found))
        seconds += clip.duration_s
        for finding in check(clip.sensor).findings:
            findings.setdefault(finding.code, []).append((finding.message, finding.fatal, recording.path.name))
        of = machine if machine is not None else recording.machine
        spread = kept.setdefault((of, recording.target), _Spread())
        for samples in cut(clip.samples):
            spread.add(Piece(samples, of, recording.group, recording.target))
    if all(target for _, target in kept):
        why = f" ({skipped[0][0]}: {skipped[0][1]})" if skipped else ""
        raise DatasetError(f"{folder} holds no healthy recording that can be used{why}.")
    read_ones = len(found) - len(skipped)
    return Material(
        pieces=tuple(piece for spread in kept.values() for piece in spread.pieces()),
        sensor=tuple(
            SensorCount(code, len(all_of), read_ones, any(fatal for _, fatal, _ in all_of), all_of[0][0], all_of[0][2])
            for code, all_of in sorted(findings.items(), key=lambda entry: -len(entry[1]))
        ),
        recordings=read_ones,
        seconds=seconds,
        skipped=tuple(skipped),
    )


def recordings_of(folder: Path) -> list[Recording]:
    """Find recordings; those of a folder without labels are all taken for healthy ones of one machine."""
    try:
        return discover(folder)
    except DatasetError:
        files = sorted(
            file
            for file in (folder.rglob("*") if folder.is_dir() else ())
            if file.suffix.lower() in AUDIO_SUFFIXES and not file.name.startswith(".") and file.is_file()
        )
        if not files:
            raise
        name = folder.resolve().name
        return [Recording(file, False, name, "", "", f"{name}/{file.relative_to(folder)}") for file in files]


def cut(samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Cut into pieces of a window each, none overlapping; what is left over is dropped, unless it is all there is."""
    size = round(WINDOW_S * SAMPLE_RATE)
    if len(samples) < size:
        return [samples]
    return [samples[first : first + size] for first in range(0, len(samples) - size + 1, size)]


class _Spread:
    """Of however many pieces come, at most `_MOST_PIECES`, spread evenly over them; at most twice as many in memory."""

    def __init__(self) -> None:
        self._kept: list[Piece] = []
        self._seen, self._every = 0, 1

    def add(self, piece: Piece) -> None:
        if self._seen % self._every == 0:
            # A copy: a view would keep all of its recording.
            self._kept.append(replace(piece, samples=piece.samples.copy()))
        self._seen += 1
        if len(self._kept) > 2 * _MOST_PIECES:
            del self._kept[1::2]
            self._every *= 2

    def pieces(self) -> list[Piece]:
        chosen = np.linspace(0, len(self._kept) - 1, min(len(self._kept), _MOST_PIECES)).round().astype(int)
        return [self._kept[position] for position in np.unique(chosen).tolist()]
