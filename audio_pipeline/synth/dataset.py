"""A folder of synthetic recordings, laid out as MIMII's, with a table of what is wrong in each.

Not here: the sounds themselves (`kinds.py`, `machine.py`, `noise.py`); the command (`wheeltapper.commands.synth`).
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from audio_pipeline.clip import to_flac
from audio_pipeline.durable import replace_file
from audio_pipeline.errors import SettingsError
from audio_pipeline.synth.kinds import KINDS, draw_machine, faults_of
from audio_pipeline.synth.machine import Fault, Machine, Rendering, render
from audio_pipeline.synth.noise import factory_noise, mix
from audio_pipeline.synth.signals import Signal, rms

TRUTH: Final = "truth.csv"
"""The table beside the recordings."""
COLUMNS: Final = ("path", "kind", "fault", "severity", "onset_s", "duration_s", "low_hz", "high_hz", "snr_db")

_RECIPE: Final = "synth.json"  # what a folder was made with: the same request may be run again into it, no other
_HALL_S: Final = 40.0  # so much of each machine's hall is made; each clip gets a stretch of it
_HEADROOM: Final = 0.12  # peak of a usual recording: a fault may be 18 dB louder before it clips
_PARTIAL: Final = (0.1, 0.4)  # a partial fault is there for this share of the clip
_TRIES: Final = 50


@dataclass(frozen=True)
class SynthRecipe:
    """What to make.

    Attributes
    ----------
    kinds
        Of machine, from `KINDS`.
    machines_per_kind
        Individuals of each: `id_00`, `id_01` …
    normals, anomalies
        Recordings of each individual. Anomalies take its faults in turn.
    seconds
        Length of a recording, 0.25 to 600.
    severities
        Taken in turn.
    snr_db
        Power of the machine's usual, healthy sound over that of its hall. The hall does not grow louder with a fault.
    seed
        Everything follows from it.
    partial
        Faults are present for 10 to 40 % of a recording instead of throughout.
    faults
        The faults to take in turn; empty: all that each kind can have.
    """

    kinds: tuple[str, ...]
    machines_per_kind: int = 1
    normals: int = 20
    anomalies: int = 10
    seconds: float = 10.0
    severities: tuple[float, ...] = (0.5,)
    snr_db: float = 6.0
    seed: int = 0
    partial: bool = False
    faults: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            wrong = f"There is no synthetic machine {unknown[0]!r}" if unknown else "No kind of machine was named"
            raise SettingsError(f"{wrong}: choose from {', '.join(KINDS)}.")
        for kind, fault in itertools.product(self.kinds, self.faults):
            if fault not in faults_of(kind):
                raise SettingsError(f"A {kind} cannot have {fault!r}: choose from {', '.join(faults_of(kind))}.")
        if self.machines_per_kind < 1 or self.normals < 0 or self.anomalies < 0 or not self.clips:
            raise SettingsError("Nothing to make: choose at least one machine, and one normal or abnormal recording.")
        if not 0.25 <= self.seconds <= 600:
            raise SettingsError(f"Recordings of {self.seconds:g} s cannot be made: choose 0.25 to 600 s.")
        for severity in self.severities:
            if not 0 < severity <= 1:
                raise SettingsError(f"Severity {severity:g} cannot be used: choose a number above 0, up to 1.")
        if not self.severities or not -60 <= self.snr_db <= 60:
            raise SettingsError(f"{self.snr_db:g} dB cannot be used: name a severity, and an SNR of -60 to 60 dB.")
        if self.seed < 0:
            raise SettingsError(f"Seed {self.seed} cannot be used: choose 0 or more.")

    @property
    def clips(self) -> int:
        """How many recordings there will be."""
        return len(set(self.kinds)) * self.machines_per_kind * (self.normals + self.anomalies)


def write_dataset(out_dir: Path, recipe: SynthRecipe, on_clip: Callable[[], None] | None = None) -> Path:
    """Write recordings as `<kind>/id_XX/{normal,abnormal}/NNNNNNNN.flac`, and `truth.csv`.

    The same recipe gives the same bytes. A run that was interrupted is run again into the same folder.

    Parameters
    ----------
    out_dir
        A new or empty folder, or one that this very recipe was written into.
    recipe
        What to make.
    on_clip
        Called after each recording.

    Returns
    -------
    Path of `truth.csv`: one row a recording; from `fault` to `high_hz` empty for normal ones; `low_hz` to
    `high_hz` holds the middle 90 % of the energy of what the fault changed.

    Raises
    ------
    SettingsError
        The folder holds something else, or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from audio_pipeline.synth import SynthRecipe, write_dataset
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     truth = write_dataset(Path(folder), SynthRecipe(("valve",), normals=1, anomalies=1, seconds=1.0))
    ...     [line.split(",")[0] for line in truth.read_text().splitlines()]
    ['path', 'valve/id_00/normal/00000000.flac', 'valve/id_00/abnormal/00000000.flac']
    """
    try:
        _claim(out_dir, recipe)
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(COLUMNS)
        for kind in dict.fromkeys(recipe.kinds):
            for number in range(recipe.machines_per_kind):
                for row, samples in _recordings(kind, number, recipe):
                    path = out_dir / row[0]
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(to_flac(np.clip(samples, -1, 1)))  # a recorder's gain does not follow the sound
                    rows.writerow(row)
                    if on_clip is not None:
                        on_clip()
        replace_file(out_dir / TRUTH, table.getvalue().encode())
    except OSError as e:
        raise SettingsError(
            f"{out_dir}: cannot be written ({e.strerror or e}). Name a folder with write access and free space."
        ) from e
    return out_dir / TRUTH


def _claim(out_dir: Path, recipe: SynthRecipe) -> None:
    wanted = (json.dumps(asdict(recipe), indent=2) + "\n").encode()
    marker = out_dir / _RECIPE
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        if not marker.is_file():
            raise SettingsError(f"{out_dir}: is not empty. Name a new folder for the synthetic recordings.")
        if marker.read_bytes() != wanted:
            raise SettingsError(f"{out_dir}: holds synthetic recordings of another request. Name a new folder.")
    replace_file(marker, wanted)


def _recordings(kind: str, number: int, recipe: SynthRecipe) -> Iterator[tuple[tuple[str, ...], Signal]]:
    """Row and samples of each recording of one machine."""
    origin = [recipe.seed, zlib.crc32(kind.encode()), number]
    machine = draw_machine(kind, np.random.default_rng([*origin, 0]))
    hall = factory_noise(max(_HALL_S, 2 * recipe.seconds), np.random.default_rng([*origin, 1]))
    usual = render(machine, recipe.seconds, np.random.default_rng([*origin, 2])).samples
    level = rms(usual)
    gain = _HEADROOM / float(np.abs(mix(usual, hall[: len(usual)], recipe.snr_db)).max())
    for label, count in (("normal", recipe.normals), ("abnormal", recipe.anomalies)):
        for index in range(count):
            rng = np.random.default_rng([*origin, 3 + (label == "abnormal"), index])
            if label == "normal":
                fault, rendering = None, render(machine, recipe.seconds, rng)
            else:
                fault, rendering = _faulty(machine, index, recipe, rng)
            start = int(rng.integers(len(hall) - len(rendering.samples)))
            noise = hall[start : start + len(rendering.samples)]
            heard = mix(rendering.samples, noise, recipe.snr_db, usual_rms=level) * np.float32(gain)
            path = f"{kind}/id_{number:02d}/{label}/{index:08d}.flac"
            yield (path, kind, *_truth(fault, rendering), f"{recipe.snr_db:g}"), heard


def _faulty(machine: Machine, index: int, recipe: SynthRecipe, rng: np.random.Generator) -> tuple[Fault, Rendering]:
    """Record the fault whose turn it is; a partial one at a place where it changes something (a stroke, say)."""
    names = recipe.faults or machine.faults
    name = names[index % len(names)]
    # Each fault meets each severity, also when there are as many of one as of the other.
    turn = index + index // len(names) if len(names) > 1 else index
    severity = recipe.severities[turn % len(recipe.severities)]
    for _ in range(_TRIES):
        fault = Fault(name, severity)
        if recipe.partial:
            duration = max(0.05, float(rng.uniform(*_PARTIAL)) * recipe.seconds)
            fault = Fault(name, severity, float(rng.uniform(0, recipe.seconds - duration)), duration)
        rendering = render(machine, recipe.seconds, rng, fault)
        if rendering.fault_band_hz is not None:
            return fault, rendering
    raise SettingsError(
        f"{machine.kind}, fault {name}: nothing happens within {recipe.seconds:g} s. Make longer recordings."
    )


def _truth(fault: Fault | None, rendering: Rendering) -> tuple[str, str, str, str, str, str]:
    if fault is None or rendering.fault_span is None or rendering.fault_band_hz is None:
        return ("", "", "", "", "", "")
    start, end = rendering.fault_span
    low, high = rendering.fault_band_hz
    return (fault.name, f"{fault.severity:g}", f"{start:.4f}", f"{end - start:.4f}", f"{low:.1f}", f"{high:.1f}")
