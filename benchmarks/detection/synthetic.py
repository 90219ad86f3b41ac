"""Machines of three made-up plants: what the detector is chosen on, before any labelled clip is looked at.

Here: plants of synthetic machines in a hall (one of them with real background: the fan's normals 0 to 5, which are
training noise by the rules of the data folder), every fault at three severities, as vectors of an encoder.
Not here: what is measured on them (`choose`), real clips (`sets`).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from audio_pipeline.encoder import Encoder
from audio_pipeline.synth import KINDS, Fault, draw_machine, factory_noise, mix, render
from audio_pipeline.synth.signals import rms

SITES = {"real hall": (-12.0, 0.0), "quiet hall": (0.0, 12.0), "loud hall": (-9.0, 3.0)}
"""Name → between which signal-to-noise ratios, in dB, its machines are heard."""
SEVERITIES = (0.2, 0.5, 1.0)
NORMALS, FAULTS = 64, 4
"""Normal clips a machine; faulty ones a fault and severity."""
SECONDS = 10.0
BACKGROUND = slice(0, 6)
_SEED = 20_161_124  # no other part of the project draws machines from it


@dataclass(frozen=True)
class SyntheticMachine:
    """One machine's clips as vectors.

    Attributes
    ----------
    site, kind
        Where it stands, and what it is.
    normals
        float32[n, columns].
    faults
        float32[m, columns].
    fault, severity
        str[m], float64[m]: what is wrong in each faulty clip.
    """

    site: str
    kind: str
    normals: NDArray[np.float32]
    faults: NDArray[np.float32]
    fault: NDArray[np.str_]
    severity: NDArray[np.float64]


def machines(encoder: Encoder, data: Path, cache: Path) -> list[SyntheticMachine]:
    """Make, or read from the cache, one machine of every kind in each plant.

    Parameters
    ----------
    encoder
        Makes the vectors; the cache is per encoder.
    data
        The data folder, for the real background. Without it that plant is left out.
    cache
        Folder for the vectors.
    """
    backgrounds = _real_background(data)
    made = []
    for site in SITES:
        if site == "real hall" and not backgrounds:
            continue
        for kind in KINDS:
            path = cache / encoder.manifest.sha256[:12] / f"{site} {kind}.npz"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                np.savez(path, **_record(encoder, site, kind, backgrounds))
            stored = np.load(path)
            made.append(SyntheticMachine(site, kind, **{name: stored[name] for name in stored.files}))
    return made


def _real_background(data: Path) -> list[NDArray[np.float32]]:
    """float32[samples] each: every channel of six recordings of the same hall."""
    folder = data / "mimii_fan_id00" / "fan" / "id_00" / "normal"
    paths = sorted(folder.glob("*"))[BACKGROUND] if folder.is_dir() else []
    return [channel for path in paths for channel in sf.read(path, dtype="float32", always_2d=True)[0].T]


def _record(encoder: Encoder, site: str, kind: str, backgrounds: Sequence[NDArray[np.float32]]) -> dict[str, Any]:
    origin = [_SEED, zlib.crc32(site.encode()), zlib.crc32(kind.encode())]
    rng = np.random.default_rng([*origin, 0])
    machine = draw_machine(kind, rng)
    snr_db = float(rng.uniform(*SITES[site]))
    hall = factory_noise(120.0, np.random.default_rng([_SEED, zlib.crc32(site.encode()), 1]))
    level = rms(render(machine, SECONDS, np.random.default_rng([*origin, 2])).samples)

    def heard(fault: Fault | None, number: int) -> NDArray[np.float32]:
        chance = np.random.default_rng([*origin, 3 if fault is None else 4, number])
        samples = render(machine, SECONDS, chance, fault).samples
        if site == "real hall":
            noise = np.roll(backgrounds[int(chance.integers(len(backgrounds)))], int(chance.integers(160_000)))
            noise = noise[: len(samples)]
        else:
            start = int(chance.integers(len(hall) - len(samples)))
            noise = hall[start : start + len(samples)]
        clip = mix(samples, noise, snr_db, usual_rms=level)
        return np.asarray(encoder.embed(clip[None]).vectors[0])

    plan = [Fault(name, severity) for name in machine.faults for severity in SEVERITIES for _ in range(FAULTS)]
    return {
        "normals": np.stack([heard(None, number) for number in range(NORMALS)]),
        "faults": np.stack([heard(fault, number) for number, fault in enumerate(plan)]),
        "fault": np.array([fault.name for fault in plan]),
        "severity": np.array([fault.severity for fault in plan]),
    }
