"""The real recordings that pretraining hears: a fixed list, packed into one file that travels to a borrowed GPU.

Used as factory noise and as real machines whose faults are made on purpose; never with an anomaly label.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from audio_pipeline.errors import DatasetError

RECORDINGS = Path(__file__).with_name("recordings.txt")
SAMPLE_RATE = 16_000
FACTORY = "mimii_fan_id00"
"""The folder of the list whose clips are a real factory's background."""


@dataclass(frozen=True)
class Corpus:
    """Decoded recordings.

    Attributes
    ----------
    factory
        One float32[channels, n] a recording: channels of one array are views of one moment.
    machines
        One float32[1, n] a recording of engines and motors, and a channel of the factory's fan.
    """

    factory: tuple[NDArray[np.float32], ...]
    machines: tuple[NDArray[np.float32], ...]


def listed() -> list[str]:
    """The list's paths, relative to the data folder."""
    lines = RECORDINGS.read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def pack(data: Path, target: Path) -> None:
    """Put the listed recordings, as they are, into one uncompressed zip file.

    Raises
    ------
    DatasetError
        If a recording of the list is not in the data folder.
    """
    missing = [name for name in listed() if not (data / name).is_file()]
    if missing:
        raise DatasetError(
            f"{len(missing)} of the listed recordings are not in {data}, the first is {missing[0]}. "
            "Name the folder that holds mimii_fan_id00 and unlabelled."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in listed():
            # A fixed date: the same recordings give the same bytes.
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), (data / name).read_bytes())


def load(packed: Path) -> Corpus:
    """Decode a packed corpus.

    Raises
    ------
    DatasetError
        If the file is missing or is no packed corpus.
    """
    factory, machines = [], []
    try:
        with zipfile.ZipFile(packed) as archive:
            for name in archive.namelist():
                samples, rate = sf.read(io.BytesIO(archive.read(name)), dtype="float32", always_2d=True)
                channels = samples.T if rate == SAMPLE_RATE else soxr.resample(samples, rate, SAMPLE_RATE).T
                if name.startswith(FACTORY):
                    factory.append(np.ascontiguousarray(channels))
                    machines += [channel[None] for channel in factory[-1]]
                else:
                    machines.append(np.ascontiguousarray(channels[:1]))
    except (OSError, zipfile.BadZipFile) as e:
        raise DatasetError(
            f"{packed} is no packed corpus ({e}). Make one with 'wheeltapper pretrain --pack DATA'."
        ) from e
    return Corpus(tuple(factory), tuple(machines))
