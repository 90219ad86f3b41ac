"""Where a model comes from: its reference, the answers it learned from, the job that made it, the versions before it.

Here: writing down what a version was made of, and putting together what manifests and tables say. Not here: the
tables, HTTP (`serve.routes.models`), or the command line (`wheeltapper models`).
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from audio_pipeline.artifacts import ModelStore, ModelVersion
from serve.database import references
from serve.database.retrain_tables import Job, ModelAnswer, ModelSource
from serve.models.schemas import job_answer
from serve.retraining.data import Use

_MOST_ANSWERS = 10_000


def record_training(
    session: Session,
    version: str,
    created: datetime,
    reference_sha256: str,
    uses: Sequence[Use],
    job_id: uuid.UUID | None = None,
) -> bool:
    """Keep what a version was made of; False: that is known already.

    Parameters
    ----------
    session
        For writing.
    version, created
        The version, and when it was made.
    reference_sha256, uses
        Its reference, and what was made of each answer.
    job_id
        The retrain that made it.
    """
    if session.get(ModelSource, version) is not None:
        return False
    session.add(ModelSource(model_version=version, created=created, reference_sha256=reference_sha256, job_id=job_id))
    if uses:
        rows = [
            {
                "model_version": version,
                "prediction_id": use.clip.prediction_id,
                "target": use.clip.target,
                "role": use.role,
                "why": use.why,
            }
            for use in uses
        ]
        session.execute(insert(ModelAnswer), rows)
    return True


def lineage_of(session: Session, store: ModelStore, model: ModelVersion) -> dict[str, Any]:
    """Tell where a version comes from.

    Parameters
    ----------
    session
        For reading.
    store
        Holds the versions before it.
    model
        The version.

    Returns
    -------
    dict
        `parents` (nearest first), `reference` (its hash and rows by use), `answers` (each with its role), `job`.
        A version that only changed the false-alarm rate has the data of the version whose graph it has.
    """
    chain = parents(store, model)
    source = _source(session, [model.version, *(parent.version for parent in chain)], model, chain)
    sha256 = str((model.manifest.get("data") or {}).get("reference_sha256") or "")
    used = answers_of(session, source.model_version) if source else []
    return {
        "parents": [parent.version for parent in chain],
        "trained_as": source.model_version if source else None,
        "reference": {"sha256": sha256 or None, "rows": references.counted(session, sha256) if sha256 else None},
        "answers": [
            {"prediction_id": str(row.prediction_id), "target": row.target, "role": row.role, "why": row.why}
            for row in used[:_MOST_ANSWERS]
        ],
        "answers_by_role": Counter(row.role for row in used),
        "job": _job(session, source.job_id) if source else None,
    }


def parents(store: ModelStore, model: ModelVersion) -> list[ModelVersion]:
    """Return the versions that a version was made after, nearest first, as far as they are there."""
    by_name = {other.version: other for other in store.list()}
    chain: list[ModelVersion] = []
    while (name := (chain[-1] if chain else model).parent) in by_name:
        chain.append(by_name[name])
    return chain


def origin_of(store: ModelStore, model: ModelVersion) -> ModelVersion:
    """Return the version that first had a version's graph: where only the false-alarm rate changed, not itself."""
    origin = model
    for parent in parents(store, model):
        if _graph(parent) is None or _graph(parent) != _graph(model):
            break
        origin = parent
    return origin


def answers_of(session: Session, version: str) -> list[ModelAnswer]:
    """Read what a version made of each answer there was."""
    return list(
        session.scalars(
            select(ModelAnswer).where(ModelAnswer.model_version == version).order_by(ModelAnswer.prediction_id)
        )
    )


def compare_versions(session: Session, first: ModelVersion, second: ModelVersion) -> dict[str, Any]:
    """Tell in what the second of two versions differs from the first: manifest, reference, answers."""
    data = [model.manifest.get("data") or {} for model in (first, second)]
    shas = [str(each.get("reference_sha256") or "") for each in data]
    answers = [{row.prediction_id: row for row in answers_of(session, model.version)} for model in (first, second)]
    shared = answers[0].keys() & answers[1].keys()
    machines = [set(model.manifest.get("machines") or ()) for model in (first, second)]
    return {
        "a": first.version,
        "b": second.version,
        "same_graph": _graph(first) is not None and _graph(first) == _graph(second),
        "same_encoder": first.encoder_sha256 == second.encoder_sha256,
        "false_alarm_rate": {"a": first.manifest.get("false_alarm_rate"), "b": second.manifest.get("false_alarm_rate")},
        "thresholds": {"a": first.manifest.get("thresholds"), "b": second.manifest.get("thresholds")},
        "metrics": {"a": first.manifest.get("metrics"), "b": second.manifest.get("metrics")},
        "data": {"a": data[0], "b": data[1]},
        "machines_added": sorted(machines[1] - machines[0]),
        "machines_removed": sorted(machines[0] - machines[1]),
        "reference": asdict(references.difference(session, shas[0], shas[1])) if shas[0] != shas[1] else None,
        "answers": {
            "added": [str(name) for name in _in_order(answers[1].keys() - shared)],
            "removed": [str(name) for name in _in_order(answers[0].keys() - shared)],
            "changed": [
                str(name)
                for name in _in_order(shared)
                if (answers[0][name].target, answers[0][name].role) != (answers[1][name].target, answers[1][name].role)
            ],
        },
    }


def _graph(model: ModelVersion) -> str | None:
    files = model.manifest.get("files") or {}
    return files.get("classifier.onnx")


def _in_order(names: set[uuid.UUID]) -> list[uuid.UUID]:
    return sorted(names)


def _source(session: Session, names: list[str], model: ModelVersion, chain: list[ModelVersion]) -> ModelSource | None:
    """The training that gave a version its graph: its own, or that of the nearest version before with that graph."""
    graphs = [_graph(model), *(_graph(parent) for parent in chain)]
    for name, graph in zip(names, graphs, strict=True):
        if graph != graphs[0]:
            return None
        source = session.get(ModelSource, name)
        if source is not None:
            return source
    return None


def _job(session: Session, job_id: uuid.UUID | None) -> dict[str, Any] | None:
    job = session.get(Job, job_id) if job_id is not None else None
    return None if job is None else job_answer(job).model_dump(mode="json")
