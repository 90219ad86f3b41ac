"""The clips that encoders are measured on, cut as the reference protocol cuts them.

Here: every set of a data folder as columns of the table, their groups, halves and noise ladder. The protocol is that of
`shared/bench` (`sets.py`, `ladder.py`): same clips, same mixtures, same random halves. Not here: features or scores.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

ELSEWHERE = ("uav", "uav_propeller", "mimii_fan_id00", "dcase2020_id00", "unlabelled")
LADDER_DB = (-9, -12, -15, -18)
LADDER_NOISE = slice(6, 12)
SET_HALVES, LADDER_HALVES = 10, 6


@dataclass(frozen=True)
class Group:
    """Clips of one machine under one condition.

    Attributes
    ----------
    clips
        float32[samples] each, at unit power.
    fault
        bool[clips].
    recording
        str[clips]: pieces of one recording, channels of one moment or seconds of one flight share it.
    halves
        bool[clips] each: which normal clips are the reference; the rest and the faults are tested.
    """

    clips: list[NDArray[np.float32]]
    fault: NDArray[np.bool_]
    recording: NDArray[np.str_]
    halves: list[NDArray[np.bool_]]


@dataclass(frozen=True)
class Column:
    """One column of the table: the mean over its groups."""

    name: str
    groups: list[Group]


def columns(data: Path) -> Iterator[Column]:
    """Every column that the data folder has clips for."""
    yield from _sets(data)
    yield from _ladder(data)
    yield from _fan(data)


def unit_power(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale to a mean square of one."""
    return np.asarray(samples / np.sqrt((samples**2).mean() + 1e-12), np.float32)


def _sets(data: Path) -> Iterator[Column]:
    found: dict[str, list[tuple[Path, bool, str]]] = defaultdict(list)
    for path in sorted(p for p in data.rglob("*") if p.suffix in (".flac", ".wav")):
        folder = path.parent.relative_to(data)
        if folder.parts[0] in ELSEWHERE:
            continue
        dcase = folder.name == "test"
        fault = "anomaly" in path.name if dcase else folder.name == "abnormal"
        domain = ("/source" if "_source_" in path.name else "/target") if dcase else ""
        recording = re.sub(r"_s\d{3}\.\w+$", "", path.name)
        found[str(folder.parent) + domain].append((path, fault, recording))
    by_column: dict[str, list[Group]] = defaultdict(list)
    for name, items in sorted(found.items()):
        faults = np.array([is_fault for _, is_fault, _ in items])
        recordings = np.array([recording for *_, recording in items])
        clips = [unit_power(_mono(path)) for path, *_ in items]
        group = Group(clips, faults, recordings, _halves(recordings, faults, SET_HALVES))
        by_column["/".join(name.split("/")[:2])].append(group)
    for name, groups in by_column.items():
        yield Column(name, groups)


def _ladder(data: Path) -> Iterator[Column]:
    uav = next((d for d in (data / "uav_propeller" / "uav", data / "uav" / "uav") if d.is_dir()), None)
    noise_folder = data / "mimii_fan_id00" / "fan" / "id_00" / "normal"
    if uav is None or not noise_folder.is_dir():
        return
    noise = _channels(noise_folder)[LADDER_NOISE]
    paths = [
        (path, label == "abnormal") for label in ("normal", "abnormal") for path in sorted((uav / label).iterdir())
    ]
    flights = [unit_power(_mono(path)) for path, _ in paths]
    fault = np.array([is_fault for _, is_fault in paths])
    flight = np.array([path.name.rsplit("_t", 1)[0] for path, _ in paths])
    for snr in LADDER_DB:
        rng, mixed = np.random.default_rng(0), []
        for clip in flights:
            recording = noise[int(rng.integers(len(noise)))]
            channel = unit_power(recording[rng.integers(len(recording))])
            stretch = np.roll(channel, rng.integers(160_000))
            mixed.append(unit_power(clip + stretch * 10 ** (-snr / 20)))
        yield Column(f"ladder {snr} dB", [Group(mixed, fault, flight, _halves(flight, fault, LADDER_HALVES))])


def _fan(data: Path) -> Iterator[Column]:
    folder = data / "mimii_fan_id00" / "fan" / "id_00"
    if not folder.is_dir():
        return
    normal, abnormal = _channels(folder / "normal"), _channels(folder / "abnormal")
    clips = [unit_power(channel) for recording in (*normal, *abnormal) for channel in recording]
    number = np.concatenate([np.full(len(channels), i) for i, channels in enumerate((*normal, *abnormal))])
    half = number < len(normal) // 2
    yield Column("fan id_00", [Group(clips, number >= len(normal), number.astype(str), [half])])


def _halves(recording: NDArray[np.str_], fault: NDArray[np.bool_], count: int) -> list[NDArray[np.bool_]]:
    normals = np.unique(recording[~fault])
    chosen = [np.random.default_rng(seed).permutation(normals)[: len(normals) // 2] for seed in range(count)]
    return [np.isin(recording, half) & ~fault for half in chosen]


def _mono(path: Path) -> NDArray[np.float32]:
    samples: NDArray[np.float32] = sf.read(path, dtype="float32")[0]
    return samples


def _channels(folder: Path) -> Sequence[NDArray[np.float32]]:
    return [sf.read(path, dtype="float32", always_2d=True)[0].T for path in sorted(folder.iterdir())]
