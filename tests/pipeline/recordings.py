"""Small recordings of a made-up fan, healthy or with a knocking bearing, in the MIMII layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 16_000


def fan(seed: int, knocking: bool = False, seconds: float = 1.5) -> NDArray[np.float32]:
    """Render a fan: blade-pass harmonics and rushing air; knocking adds a short resonant blow 12 times a second."""
    random = np.random.default_rng([seed, knocking])
    time = np.arange(int(seconds * RATE)) / RATE
    sound = 0.03 * random.standard_normal(len(time))
    for harmonic in range(1, 6):
        sound += 0.05 / harmonic * np.sin(2 * np.pi * 87 * harmonic * time + random.uniform(0, 2 * np.pi))
    if knocking:
        since_blow = (time + random.uniform(0, 1)) % (1 / 12)
        sound += 0.5 * np.exp(-since_blow * 300) * np.sin(2 * np.pi * 3200 * since_blow)
    return (sound * random.uniform(0.8, 1.2)).astype(np.float32)


def write_dataset(folder: Path, normals: int = 60, anomalies: int = 12, seconds: float = 1.5) -> Path:
    """Write `fan/id_00/{normal,abnormal}/NNNNNNNN.wav` under `folder`; return `folder`."""
    for kind, count in (("normal", normals), ("abnormal", anomalies)):
        place = folder / "fan" / "id_00" / kind
        place.mkdir(parents=True)
        for number in range(count):
            sound = fan(number, kind == "abnormal", seconds)
            soundfile.write(place / f"{number:08d}.wav", sound, RATE, subtype="PCM_16")
    return folder
