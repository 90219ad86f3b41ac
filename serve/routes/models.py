"""`/models…`: versions, their lineage, and which of them serves."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from audio_pipeline.artifacts import ModelStore, ModelVersion
from audio_pipeline.errors import SettingsError
from serve.database import ledger
from serve.database.retrain_tables import LedgerEntry
from serve.deps import ServiceDep, SessionDep
from serve.http.problems import Problem, Refused
from serve.models.lineage import compare_versions, lineage_of
from serve.models.schemas import (
    FalseAlarmRateAnswer,
    ModelAnswer,
    ModelPage,
    PromoteRequest,
    SwitchAnswer,
    history_entry,
)
from serve.service import Service

router = APIRouter(prefix="/models", tags=["models"], responses={404: {"model": Problem}})


@router.get("")
def list_models(service: ServiceDep, session: SessionDep) -> ModelPage:
    """Read every version, newest first, with what happened to it."""
    store = ModelStore(service.settings.artifacts_dir)
    current = store.current()
    serving = current.model if current else None
    history: dict[str, list[LedgerEntry]] = {}
    for row in ledger.history(session):
        history.setdefault(row.model_version, []).append(row)
    return ModelPage(
        current=serving,
        models=[
            model_answer(model, model.version == serving, history.get(model.version, []))
            for model in reversed(store.list())
        ],
    )


@router.get("/compare")
def compare_models(a: str, b: str, service: ServiceDep, session: SessionDep) -> dict[str, Any]:
    """Tell in what two versions differ: data, answers, figures, rate."""
    store = ModelStore(service.settings.artifacts_dir)
    return compare_versions(session, _find(store, a), _find(store, b))


@router.post("/rollback", responses={409: {"model": Problem}})
def roll_back(service: ServiceDep, request: PromoteRequest | None = None) -> SwitchAnswer:
    """Let that version serve again which served before the current one."""
    asked = request or PromoteRequest()
    try:
        switch = service.promotion.roll_back(by=asked.by, reason=asked.reason)
    except SettingsError as error:
        raise Refused(409, "nothing_to_roll_back_to", error.message) from error
    return SwitchAnswer(current=switch.version, previous=switch.previous)


@router.get("/{version}")
def read_model(version: str, service: ServiceDep, session: SessionDep) -> dict[str, Any]:
    """Read a version with its lineage: rows, answers, job, parents."""
    store = ModelStore(service.settings.artifacts_dir)
    current = store.current()
    if version == "current" and current is not None:
        version = current.model
    model = _find(store, version)
    serves = current is not None and current.model == version
    told = model_answer(model, serves, list(ledger.history(session, version)))
    return {**told.model_dump(mode="json"), **lineage_of(session, store, model)}


@router.post("/{version}/promote")
def promote_model(version: str, service: ServiceDep, request: PromoteRequest | None = None) -> SwitchAnswer:
    """Let a version serve."""
    _find(ModelStore(service.settings.artifacts_dir), version)
    asked = request or PromoteRequest()
    switch = service.promotion.promote(version, by=asked.by, reason=asked.reason)
    return SwitchAnswer(current=switch.version, previous=switch.previous)


def model_answer(model: ModelVersion, serves: bool, history: list[LedgerEntry]) -> ModelAnswer:
    """Tell a version from its manifest."""
    manifest = model.manifest
    rate = manifest.get("false_alarm_rate")
    return ModelAnswer(
        version=model.version,
        created=model.created or None,
        parent=model.parent,
        encoder=manifest.get("encoder_name"),
        encoder_sha256=model.encoder_sha256 or None,
        serves=serves,
        false_alarm_rate=FalseAlarmRateAnswer.model_validate(rate) if rate else None,
        thresholds=manifest.get("thresholds") or {},
        metrics=manifest.get("metrics") or {},
        data=manifest.get("data") or {},
        notes=list(manifest.get("notes") or ()),
        history=[history_entry(row) for row in history],
    )


def _find(store: ModelStore, version: str) -> ModelVersion:
    found = next((model for model in store.list() if model.version == version), None)
    if found is None:
        raise Refused(404, "unknown_model", f"There is no model version '{version[:100]}': see GET /models.")
    return found


def serving_of(service: Service) -> ModelVersion:
    """Return the version that `current.json` names.

    Raises
    ------
    Refused
        503: none serves yet.
    """
    store = ModelStore(service.settings.artifacts_dir)
    current = store.current()
    if current is None:
        raise Refused(503, "broken_artifact", f"No model serves in {store.root} yet: run `wheeltapper train`.")
    return store.load(current.model)
