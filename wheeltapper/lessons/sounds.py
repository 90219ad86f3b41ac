"""What is heard in a lesson's hall: one fan, healthy and with a worn bearing, and what a coat does to a microphone.

Here: the recordings, from seeds. Not here: how they are made (`audio_pipeline.synth`).

The fault is one that the first model hardly hears (AUC about 0.9, few alarms) and that confirmed faults teach it: seed,
severity and noise were chosen for that, so that there is something to learn. That is a stage, not a measurement.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audio_pipeline.clip import read, to_flac
from audio_pipeline.synth import SynthRecipe, write_dataset

MACHINE = "fan/id_00"
_KNOWN = 40  # of the healthy recordings, the first so many are the reference
_COAT_DB = -18.0  # at 8 kHz


@dataclass(frozen=True)
class Sounds:
    """Recordings of one fan, 4 s each.

    Attributes
    ----------
    reference
        Folder of healthy ones, to learn from.
    healthy, faulty
        Others of the same fan, heard later.
    """

    reference: Path
    healthy: tuple[Path, ...]
    faulty: tuple[Path, ...]


def record(folder: Path, healthy: int = 12, faulty: int = 0, severity: float = 0.3) -> Sounds:
    """Record the fan.

    Parameters
    ----------
    folder
        New.
    healthy, faulty
        How many of either, beside the reference.
    severity
        Of the fault.
    """
    recipe = SynthRecipe(
        ("fan",),
        normals=_KNOWN + healthy,
        anomalies=faulty,
        seconds=4.0,
        severities=(severity,),
        snr_db=-3.0,
        seed=1,
        faults=("bearing_wear",),
    )
    clips = folder / "clips"
    write_dataset(clips, recipe)
    normals = sorted((clips / MACHINE / "normal").iterdir())
    reference = folder / "reference"
    known = reference / MACHINE / "normal"
    known.mkdir(parents=True)
    for clip in normals[:_KNOWN]:
        shutil.move(clip, known / clip.name)
    anomalies = sorted((clips / MACHINE / "abnormal").glob("*"))
    return Sounds(reference, tuple(normals[_KNOWN:]), tuple(anomalies))


def under_a_coat(clip: Path) -> Path:
    """Record a clip again with a coat over the microphone: the higher, the quieter. Returns the new file."""
    samples = read(clip).samples
    spectrum = np.fft.rfft(samples)
    hz = np.linspace(0.0, 8000.0, len(spectrum))
    mel = np.log1p(hz / 700.0) / np.log1p(8000.0 / 700.0)
    muffled = np.fft.irfft(spectrum * 10 ** (_COAT_DB / 20 * mel**1.5), len(samples)).astype(np.float32)
    target = clip.with_name(f"{clip.stem}-coat.flac")
    target.write_bytes(to_flac(muffled))
    return target


def twin(clip: Path) -> Path:
    """Record the same sound a little later: nearly the same clip. Returns the new file."""
    samples = read(clip).samples
    target = clip.with_name(f"{clip.stem}-twin.flac")
    target.write_bytes(to_flac(samples[1600:]))
    return target
