"""`model.json`: what a classifier is, what it was made of, and how good it was.

Here: its fields and their checks. Not here: writing it (`artifacts.ModelStore`), filling it (`training`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from audio_pipeline.decision import Calibration
from audio_pipeline.errors import BrokenArtifact

SCHEMA = 1
MANIFEST_FILE = "model.json"
CLASSIFIER_FILE = "classifier.onnx"


class _Frozen(BaseModel):
    # Infinity and NaN are no JSON: an unknown figure is null.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FalseAlarmRate(_Frozen):
    """Of clips of one window; longer ones reach less low (`decision`)."""

    asked: float
    reachable: float
    """The lowest that the calibration rows support."""
    used: float

    @classmethod
    def of(cls, asked: float, calibration: Calibration) -> FalseAlarmRate:
        """Return what a rate asked for comes to with a calibration."""
        reachable = calibration.reachable()
        return cls(asked=asked, reachable=reachable, used=max(asked, reachable))


class FusionMember(_Frozen):
    """One backend on one group of columns; a group is the mean of its backends, the score nearly the highest group."""

    group: str
    backend: str
    start: int
    stop: int


class SupervisedHead(_Frozen):
    """What the confirmed faults of a machine (of several that share a model) add to its score."""

    machines: tuple[str, ...]
    faults: int
    recordings: int
    """Different ones: the windows of one recording teach little more than one of them."""
    gain: float
    """Score that a row gains for each deviation that it is more like the faults than normals are."""
    weights: dict[str, float]
    """How much each group of columns counts."""


class Probability(_Frozen):
    """The log odds of a fault are slope times score plus intercept, where as many faulty as healthy clips are heard."""

    slope: float
    intercept: float


class TrainingData(_Frozen):
    """What the model was made of."""

    reference_sha256: str
    reference_rows: int
    production_rows: int
    normal_rows: int
    """That trained and calibrated."""
    anomaly_rows: int
    """Confirmed faults that the model knows."""
    held_out_rows: int
    trained: str | None = None
    """From when on answers are news to the model, ISO 8601: a new false-alarm rate makes a later version, not a later
    training. Null: since the manifest was made."""


class ModelManifest(_Frozen):
    """What `model.json` says. The version is the name of the folder it lies in."""

    schema_version: int = SCHEMA
    created: str
    """UTC, ISO 8601."""
    parent: str | None = None
    encoder_name: str
    encoder_sha256: str
    dimensions: int
    machines: tuple[str, ...]
    """In the order of their index in the graph, from 1; 0 is every other machine."""
    members: tuple[FusionMember, ...]
    heads: tuple[SupervisedHead, ...] = ()
    probability: Probability | None = None
    """None until a fault is confirmed."""
    calibration: dict[str, Calibration]
    """`known`: for a machine of the list; `unknown`: for every other."""
    calibration_recordings: int
    false_alarm_rate: FalseAlarmRate
    thresholds: dict[str, float]
    """Of clips of one window at the rate used, by the keys of `calibration`: a higher score is an alarm."""
    metrics: dict[str, Any]
    """On held-out recordings, with this very graph under ONNX Runtime; null = unknown."""
    data: TrainingData
    levels_db: dict[str, tuple[float, float]] = {}
    """Machine → lowest and highest sound level of its normal clips, RMS in dB of full scale, for the sensor check."""
    notes: tuple[str, ...] = ()
    """What a reader of the figures has to know, in sentences."""
    files: dict[str, str] = {}
    """Name → sha256."""

    @model_validator(mode="after")
    def _decisions_can_be_made(self) -> ModelManifest:
        for name in ("known", "unknown"):
            table = self.calibration.get(name)
            if table is None or not table.ranks or len(table.ranks) != len(table.scores):
                raise ValueError(f"the calibration '{name}' is missing, empty or incomplete")
        return self

    def index(self, machine: str) -> int:
        """Return a machine's index in the graph, 0 for one that is not in the list."""
        return self.machines.index(machine) + 1 if machine in self.machines else 0

    def calibration_of(self, machine: str) -> Calibration:
        """Return the calibration that holds for a machine."""
        return self.calibration["known" if machine in self.machines else "unknown"]

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as `model.json` holds them."""
        return self.model_dump(mode="json")


def read_manifest(folder: Path) -> ModelManifest:
    """Read a model's manifest.

    Raises
    ------
    BrokenArtifact
        It is missing or does not hold what it should.
    """
    path = folder / MANIFEST_FILE
    try:
        manifest = ModelManifest.model_validate(json.loads(path.read_bytes()))
    except OSError as error:
        raise BrokenArtifact(
            f"There is no model in {folder} ({MANIFEST_FILE}: {error.strerror}): name a folder made by "
            "`wheeltapper train`, or train again."
        ) from error
    except (ValueError, ValidationError) as error:
        raise BrokenArtifact(f"The model's manifest {path} cannot be used: {error}") from error
    if manifest.schema_version != SCHEMA:
        raise BrokenArtifact(
            f"{path} is of schema {manifest.schema_version}, this software reads schema {SCHEMA}: train again."
        )
    return manifest
