"""The labelled sets as machines with vectors: what the detector is measured on, once it is chosen.

Here: every column of `benchmarks.encoders` (same clips, same noise ladder) and DCASE 2020's fan, as machines of one
plant a set, embedded once and kept. Not here: which clips train (`trials`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from audio_pipeline.encoder import Encoder
from benchmarks.encoders.columns import Column, Group, columns, unit_power
from benchmarks.encoders.features import logmel

SMALL_PLANT = "mimii_m6dB"  # its machines stand in one hall, and may learn from each other


@dataclass(frozen=True)
class Machine:
    """One machine's clips.

    Attributes
    ----------
    vectors
        float32[clips, columns], by the encoder.
    statistics
        float64[clips, 3, 128]: log-mel mean, deviation and near-maximum.
    spectrogram
        float16[clips, 128, frames]: log-mel in dB, for the autoencoder.
    fault, recording
        bool[clips], str[clips]; a recording's clips stay together.
    """

    name: str
    column: str
    vectors: NDArray[np.float32]
    statistics: NDArray[np.float64]
    spectrogram: NDArray[np.float16]
    fault: NDArray[np.bool_]
    recording: NDArray[np.str_]


def plants(encoder: Encoder, data: Path, cache: Path) -> list[list[Machine]]:
    """Read every set, or its cache: a list of plants, each a list of its machines."""
    by_plant: dict[str, list[Machine]] = {}
    for column in _columns(data):
        for machine in _machines(column, encoder, cache):
            plant = SMALL_PLANT if column.name.startswith(SMALL_PLANT) else column.name
            by_plant.setdefault(plant, []).append(machine)
    return list(by_plant.values())


def _columns(data: Path) -> Iterator[Column]:
    yield from columns(data)
    folder = data / "dcase2020_id00"
    paths = [path for part in ("train", "test") for path in sorted((folder / part).glob("*"))]
    if paths:
        clips = [unit_power(sf.read(path, dtype="float32")[0]) for path in paths]
        fault = np.array([path.name.startswith("anomaly") for path in paths])
        yield Column("dcase2020_id00", [Group(clips, fault, np.array([path.name for path in paths]), [])])


def _machines(column: Column, encoder: Encoder, cache: Path) -> Iterator[Machine]:
    groups = column.groups
    if column.name.startswith("dcase_valve"):  # one rule for all domains of a machine
        groups = [
            Group(
                [clip for group in groups for clip in group.clips],
                np.concatenate([group.fault for group in groups]),
                np.concatenate([group.recording for group in groups]),
                [],
            )
        ]
    for number, group in enumerate(groups):
        name = f"{column.name}/{number}"
        yield Machine(
            name,
            column.name,
            _kept(cache / encoder.manifest.sha256[:12], name, lambda clip: encoder.embed(clip[None]).vectors[0], group),
            _kept(cache / "statistics", name, _statistics, group),
            _kept(cache / "logmel", name, _spectrogram, group),
            group.fault,
            group.recording,
        )


def _kept(folder: Path, name: str, measure: Callable[[NDArray[np.float32]], Any], group: Group) -> Any:  # noqa: ANN401
    path = folder / f"{name.replace('/', ' ')}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.stack([measure(clip) for clip in group.clips]))
    return np.load(path)


_POOLED = logmel()


def _statistics(clip: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.stack(list(_POOLED.embed(clip).values())).astype(np.float64)


def _spectrogram(clip: NDArray[np.float32]) -> NDArray[np.float16]:
    """As the DCASE Task 2 baseline: 128 bands, frames of 1024 samples, hop 512, in dB."""
    power = librosa.feature.melspectrogram(y=clip, sr=16_000, n_fft=1024, hop_length=512, n_mels=128, power=2.0)
    return np.asarray(10 * np.log10(np.maximum(power, 1e-12)), np.float16)
