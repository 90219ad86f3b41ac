"""From a reference set to a published model: fit, export, calibrate with the exported graph, measure, publish.

Here: the order, and what the manifest says. Not here: the fitting (`backends`), the graph (`graph`), the store
(`audio_pipeline.artifacts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.artifacts import ModelStore
from audio_pipeline.decision import decide
from audio_pipeline.detector import calibration
from audio_pipeline.detector.backends import MIN_NORMALS, MachineModel, fit_site
from audio_pipeline.detector.classifier import Classifier
from audio_pipeline.detector.coreset import coreset
from audio_pipeline.detector.graph import build
from audio_pipeline.detector.manifest import (
    CLASSIFIER_FILE,
    FalseAlarmRate,
    FusionMember,
    ModelManifest,
    Probability,
    SupervisedHead,
    TrainingData,
)
from audio_pipeline.detector.rate import check_rate
from audio_pipeline.detector.supervision import Faults, Odds, fit_odds, supervise
from audio_pipeline.encoder import EncoderManifest
from audio_pipeline.errors import ReferenceDataError, TrainingError
from audio_pipeline.metrics import measure
from audio_pipeline.reference import Reference

_CONFIRMED_ROWS = 200
_FEW_HELD_OUT = 20


def train(
    reference: Reference,
    encoder: EncoderManifest,
    artifacts: Path,
    *,
    false_alarm_rate: float = 0.01,
    parent: str | None = None,
    seed: int = 0,
    warm_start: ModelManifest | None = None,
) -> Path:
    """Train a model on a reference set and publish it; it does not serve yet.

    Held-out recordings neither train nor calibrate. Normals alone are enough; anomalies of the reference are confirmed
    faults: what lies their way from the normals scores higher, near twins highest.

    Parameters
    ----------
    reference
        Vectors of `encoder`, with targets, machines and recording groups.
    encoder
        Names the groups of columns that are scored apart.
    artifacts
        The artifacts folder.
    false_alarm_rate
        Share of healthy clips that may raise an alarm.
    parent
        The version that this one follows, for its history.
    seed
        Of the folds.
    warm_start
        The version before: what its faults taught about which groups of columns tell is where a machine's supervised
        head starts from, instead of all counting alike. Everything else is fitted in closed form, and has no start.

    Returns
    -------
    Path
        The version's folder; its name is the version.

    Raises
    ------
    TrainingError
        Too few normals, or vectors of another encoder.
    ReferenceDataError
        Vectors that are not finite, or not as wide as the encoder's.
    SettingsError
        A false-alarm rate that is not above 0 and at most 1.
    """
    graph, manifest = fit(
        reference, encoder, false_alarm_rate=false_alarm_rate, parent=parent, seed=seed, warm_start=warm_start
    )
    store = ModelStore(artifacts)
    return store.models / store.publish({CLASSIFIER_FILE: graph}, manifest.to_json())


def fit(
    reference: Reference,
    encoder: EncoderManifest,
    *,
    false_alarm_rate: float = 0.01,
    parent: str | None = None,
    seed: int = 0,
    warm_start: ModelManifest | None = None,
) -> tuple[bytes, ModelManifest]:
    """Do what `train` does, without a file: the graph, and its manifest but for the files' hashes.

    Raises
    ------
    TrainingError, ReferenceDataError, SettingsError
        As `train`.
    """
    _check(reference, encoder, false_alarm_rate)
    known = reference.select(~reference.held_out)
    normals, faults = known.select(~known.targets), known.select(known.targets)
    vectors = normals.vectors.astype(np.float64)
    groups = {name: group.columns for name, group in encoder.groups.items()}
    calibrates = normals.calibrating
    if len(normals) and not calibrates.any():
        raise TrainingError(
            "None of the normal windows may set a threshold, they were all asked about because they sounded odd: "
            "record healthy clips and embed them."
        )
    absolute = {name for name, group in encoder.groups.items() if group.absolute}
    models = fit_site(vectors, normals.machines.tolist(), normals.groups.tolist(), groups, seed, calibrates, absolute)
    models = supervise(
        models,
        vectors,
        normals.groups.tolist(),
        Faults(faults.vectors.astype(np.float64), faults.machines.tolist(), faults.groups.tolist()),
        groups,
        seed,
        calibrates,
        {name: head.weights for head in warm_start.heads for name in head.machines} if warm_start else None,
    )
    machines = tuple(sorted(set(normals.machines.tolist()) - {""}))  # no name is an unknown machine
    scores = {
        "known": calibration.known_machine_scores(models, len(vectors)).astype(np.float32)[calibrates],
        "unknown": calibration.unknown_machine_scores(models, vectors).astype(np.float32)[calibrates],
    }
    confirmed = _confirmed(faults.vectors, models[0])
    odds = _odds(models, scores["known"])
    graph = build(models, machines, vectors.shape[1], scores["known"], scores["unknown"], confirmed, odds)
    tables = {name: calibration.table(values) for name, values in scores.items()}
    rate = FalseAlarmRate.of(false_alarm_rate, tables["known"])
    manifest = ModelManifest(
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        parent=parent,
        encoder_name=encoder.name,
        encoder_sha256=encoder.sha256,
        dimensions=vectors.shape[1],
        machines=machines,
        members=tuple(
            FusionMember(group=group.name, backend=backend, start=columns.start, stop=columns.stop)
            for group in models[0].groups
            for columns in [groups[group.name]]
            for backend in group.BACKENDS
        ),
        heads=tuple(
            SupervisedHead(
                machines=model.machines,
                faults=len(head.faults),
                recordings=head.recordings,
                gain=head.gain,
                weights={group.name: group.weight for group in head.groups},
            )
            for model in models
            if (head := model.head) is not None
        ),
        probability=None if odds is None else Probability(slope=odds.slope, intercept=odds.intercept),
        calibration=tables,
        calibration_recordings=len(set(normals.groups[calibrates].tolist())),
        false_alarm_rate=rate,
        thresholds={name: table.threshold(rate.used) for name, table in tables.items()},
        metrics={},
        data=TrainingData(
            reference_sha256=reference.sha256,
            reference_rows=len(reference),
            production_rows=0,
            normal_rows=len(normals),
            anomaly_rows=len(faults),
            held_out_rows=len(reference) - len(known),
        ),
        levels_db=_levels(normals),
        notes=_notes(normals, reference, rate),
    )
    held_out = reference.select(reference.held_out)
    return graph, manifest.model_copy(update={"metrics": held_out_figures(graph, manifest, held_out)})


def _odds(models: Sequence[MachineModel], normals: NDArray[np.float32]) -> Odds | None:
    """From every machine's held-out normals and its faults, each of these judged by the other recordings' faults."""
    faults = [model.novelty(model.head.faults) + model.head.fault_lifts for model in models if model.head is not None]
    return fit_odds(normals.astype(np.float64), np.concatenate(faults)) if faults else None


def _check(reference: Reference, encoder: EncoderManifest, false_alarm_rate: float) -> None:
    check_rate(false_alarm_rate)
    if reference.encoder_sha256 != encoder.sha256:
        raise TrainingError(
            f"The reference was embedded with the encoder {reference.encoder_name} ({reference.encoder_sha256[:12]}), "
            f"not with {encoder.name} ({encoder.sha256[:12]}): embed the recordings again."
        )
    if reference.vectors.ndim != 2 or reference.vectors.shape[1] != encoder.dimensions:
        raise ReferenceDataError(
            f"The reference's vectors have the shape {reference.vectors.shape}, the encoder {encoder.name} makes "
            f"{encoder.dimensions} columns: embed the recordings again."
        )
    broken = np.flatnonzero(~np.isfinite(reference.vectors).all(1))
    if len(broken):
        raise ReferenceDataError(
            f"{len(broken)} rows of the reference hold values that are not finite, the first is row {broken[0] + 1} "
            f"({reference.paths[broken[0]]}): take those recordings out, or embed them again."
        )


def _confirmed(faults: NDArray[np.float32], model: MachineModel) -> NDArray[np.float32]:
    """At most so many faults, spread over what they sound like."""
    if len(faults) <= _CONFIRMED_ROWS:
        return faults
    standard = np.hstack([group.white.standardised(faults.astype(np.float64)) for group in model.groups])
    return faults[coreset(standard, _CONFIRMED_ROWS)]


def _levels(normals: Reference) -> dict[str, tuple[float, float]]:
    levels = {}
    for machine in sorted(set(normals.machines.tolist())):
        own = normals.levels_db[(normals.machines == machine) & np.isfinite(normals.levels_db)]
        if len(own):  # of an answered clip only the vector is known
            levels[machine] = (float(own.min()), float(own.max()))
    return levels


def _notes(normals: Reference, reference: Reference, rate: FalseAlarmRate) -> tuple[str, ...]:
    notes = []
    if rate.used > rate.asked:
        notes.append(
            f"A false-alarm rate of {rate.asked:.2%} needs {int(np.ceil(1 / rate.asked)) - 1} normal windows that are "
            f"not held out; with those there are, {rate.reachable:.2%} is the lowest that can be promised."
        )
    names, counts = np.unique(normals.machines, return_counts=True)
    few = [str(name) or "(no name)" for name in names[counts < MIN_NORMALS]]
    if few:
        notes.append(
            f"Fewer than {MIN_NORMALS} normal windows that are not held out, so judged by a model shared with other "
            f"machines, which sees less: {', '.join(few)}."
        )
    unseen = sorted(set(reference.machines.tolist()) - set(names.tolist()) - {""})
    if unseen:
        notes.append(f"No normal window that is not held out, so judged as unknown machines: {', '.join(unseen)}.")
    held_out = int(reference.held_out.sum())
    if held_out < _FEW_HELD_OUT:
        notes.append(f"Only {held_out} rows are held out: the metrics say little.")
    return tuple(notes)


def held_out_figures(graph: bytes, manifest: ModelManifest, held_out: Reference) -> dict[str, object]:
    """Figures on held-out windows, by the exported graph."""
    if not len(held_out):
        return {"held_out": None}
    scores = Classifier.from_bytes(graph, manifest).score(held_out.vectors, held_out.machines.tolist())
    verdicts = [
        decide([score], [p_value], manifest.calibration_of(machine), manifest.false_alarm_rate.used).anomaly
        for score, p_value, machine in zip(scores.score, scores.p_value, held_out.machines.tolist(), strict=True)
    ]
    figures = measure("held-out windows", held_out.targets, scores.score, np.array(verdicts))
    return {"held_out": asdict(figures)}
