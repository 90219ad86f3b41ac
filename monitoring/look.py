"""One look: read, compare, draw, decide, leave the figures with the service. And one every so often.

Here: the order, and what a failure on the way means. Not here: the parts, each in its own module.

A look holds nothing in memory that the next one needs: what has been reported lies in the result that serve keeps, so
that a killed monitor, or a CronJob that starts anew every hour, goes on where the last one ended.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.errors import ReferenceDataError, WheeltapperError
from audio_pipeline.reference import read_reference
from monitoring import quality, scores
from monitoring.drift import Judgement, judge
from monitoring.project import MonitoringProject
from monitoring.reports import Stamp, answered_report, drift_report, evidently_figures, machines_report, quality_report
from monitoring.sample import Sample, reference_sample
from monitoring.service import AnsweredPrediction, Production, Service
from monitoring.settings import MonitoringSettings
from monitoring.trigger import Alarms, next_alarms

logger = logging.getLogger(__name__)

_DAYS = 7.0
_MOST_WINDOWS = 20_000
_MOST_ANSWERS = 20_000
_EVERYTHING, _QUALITY = "*", "quality"
_CALM_P = 0.05


@dataclass(frozen=True)
class Look:
    """What a look found.

    Attributes
    ----------
    result
        As left with the service.
    report
        Where a person sees it.
    """

    result: Mapping[str, Any]
    report: str


def look(
    service: Service, project: MonitoringProject, settings: MonitoringSettings, now: datetime | None = None
) -> Look:
    """Look once.

    Raises
    ------
    WheeltapperError
        The service does not answer, or a file cannot be read or written.
    """
    now = now or datetime.now(UTC)
    rule = settings.rule
    production = service.production(now - timedelta(days=_DAYS), max(_MOST_WINDOWS, 4 * rule.newest))
    before = service.last_result()
    audit = service.audit(_DAYS)
    model = service.model_version()
    answered = quality.read_answered(settings.data_dir / "prod_data.csv")
    by_machine = _quality_by_machine(service.answered(_MOST_ANSWERS))
    reference, about = _reference(settings, production)

    state = (before or {}).get("state") or {}
    newest = str(production.sample.clips[-1]) if len(production.sample) else ""
    seen = {"newest": newest, "about": about}
    if before is not None and state.get("seen") == seen:
        judged = None  # no new clip: comparing the same ones again would be another look at chance
    else:
        judged = judge(reference, production.sample, rule, production.columns, seed=len(production.sample))
    fallen = quality.has_fallen(answered.targets, answered.verdicts, rule.level)
    drift = _drift_part(judged, before)
    alarms, new = _alarms(state, about, drift, fallen)
    score_drift = scores.compare_with_earlier(production.scores, production.models, rule.level)
    stamp = Stamp(now, model)
    result: dict[str, Any] = {
        "created": now.isoformat(),
        "model_version": model,
        "since": production.created[0].isoformat() if production.created else None,
        "until": production.created[-1].isoformat() if production.created else None,
        "rows": len(production.sample),
        "quality": _quality_part(answered),
        "quality_machines": by_machine,
        "audit": _audit_part(audit),
        **drift,
        "score_drift": asdict(score_drift),
        "report_url": f"{settings.dashboard}/projects/{project.project.id}",
        "state": {"seen": seen, "alarms": asdict(alarms)},
    }
    if judged is not None or before is None or len(answered) != state.get("answered"):
        result["evidently"] = _draw(project, stamp, result, reference, production, answered)
    else:
        result["evidently"] = before["evidently"]
    result["state"]["answered"] = len(answered)
    # Last: a look that fails before it leaves its result would ask again the next time.
    result["retrain_job"] = _ask_for_retraining(service, new, drift, fallen)
    service.leave_result(result)
    return Look(result, str(result["report_url"]))


def keep_looking(
    service: Service,
    project: MonitoringProject,
    settings: MonitoringSettings,
    every_s: float,
    tell: Callable[[Look], None],
    after_s: float = 0.0,
) -> None:
    """Look every `every_s` seconds, for ever; a look that fails is logged and the next one is made in time."""
    next_at = time.monotonic() + after_s
    while True:
        time.sleep(max(0.0, next_at - time.monotonic()))
        next_at = max(next_at + every_s, time.monotonic())
        try:
            tell(look(service, project, settings))
        except WheeltapperError as error:
            logger.error("This look failed, the next is in %.0f s: %s", every_s, error.message)  # noqa: TRY400


def _reference(settings: MonitoringSettings, production: Production) -> tuple[Sample, str]:
    """Read the reference, and what names it together with the encoder; another encoder's is none."""
    try:
        found = read_reference(settings.data_dir, production.encoder_sha256)
    except ReferenceDataError as error:
        logger.warning("Drift is not looked for: %s", error.message)
        empty = np.empty(0, np.str_)
        return Sample(np.empty((0, production.sample.vectors.shape[1]), np.float32), empty, empty, empty), ""
    return reference_sample(found), f"{found.sha256[:12]}/{found.encoder_sha256[:12]}"


def _drift_part(judged: Judgement | None, before: Mapping[str, Any] | None) -> dict[str, Any]:
    if judged is None:
        return {name: (before or {})[name] for name in ("drift", "machines", "drifted")}
    return {
        "drift": asdict(judged.overall),
        "machines": {name: asdict(finding) for name, finding in judged.machines.items()},
        "drifted": [{"prediction_id": clip.clip, "nearest_clip_id": clip.nearest} for clip in judged.drifted],
    }


def _alarms(
    state: Mapping[str, Any], about: str, drift: Mapping[str, Any], fallen: str | None
) -> tuple[Alarms, list[str]]:
    kept = state.get("alarms") or {}
    findings = {f"machine {name}": finding for name, finding in drift["machines"].items()}
    wrong = [name for name, finding in findings.items() if finding["status"] == "drift"]
    if drift["drift"]["status"] == "drift" and not wrong:
        wrong = [_EVERYTHING]
    undecided = [name for name, finding in findings.items() if not _calm(finding)]
    if not _calm(drift["drift"]):
        undecided.append(_EVERYTHING)
    if fallen:
        wrong.append(_QUALITY)
    return next_alarms(Alarms(kept.get("about", ""), kept.get("calm", {})), about, wrong, undecided)


def _calm(finding: Mapping[str, Any]) -> bool:
    return bool(finding["status"] == "ok" and finding["p_value"] > _CALM_P)


def _ask_for_retraining(service: Service, new: list[str], drift: Mapping[str, Any], fallen: str | None) -> str | None:
    if not new:
        return None
    job = None
    if any(name != _QUALITY for name in new):
        job = service.retrain("drift", str(drift["drift"]["message"]))
    if _QUALITY in new and fallen:
        job = service.retrain("quality", fallen)
    return job


def _quality_part(answered: quality.AnsweredClips) -> dict[str, Any] | None:
    return _figures(answered.targets, answered.verdicts) if len(answered) else None


def _quality_by_machine(answered: Sequence[AnsweredPrediction]) -> dict[str, dict[str, Any]]:
    """Compute the figures of each machine; prod_data.csv does not know machines, the service's answers do."""
    lines: dict[str, list[AnsweredPrediction]] = {}
    for line in answered:
        lines.setdefault(line.machine, []).append(line)
    return {
        machine: _figures(np.array([line.target for line in of]), np.array([line.verdict for line in of]))
        for machine, of in sorted(lines.items())
    }


def _figures(targets: NDArray[np.bool_], verdicts: NDArray[np.bool_]) -> dict[str, Any]:
    found = asdict(quality.figures(targets, verdicts))
    names = ("true_positive", "false_positive", "false_negative", "true_negative")
    return {**{k: v for k, v in found.items() if k not in names}, "confusion": {name: found[name] for name in names}}


def _audit_part(audit: Mapping[str, Any] | None) -> dict[str, Any] | None:
    names = ("answered", "recall", "recall_interval", "false_alarm_rate", "false_alarm_interval")
    return None if audit is None else {name: audit[name] for name in names}


def _draw(
    project: MonitoringProject,
    stamp: Stamp,
    result: Mapping[str, Any],
    reference: Sample,
    production: Production,
    answered: quality.AnsweredClips,
) -> dict[str, float | None]:
    """Keep the look as Evidently's snapshots; return the figures that are Evidently's own."""
    drift, audit = result["drift"], result["audit"] or {}
    snapshots = []
    if len(answered):
        figures: dict[str, float | None] = {}
        for name, interval in (("recall", "recall_interval"), ("false_alarm_rate", "false_alarm_interval")):
            low, high = audit.get(interval) or (None, None)
            figures |= {name: audit.get(name), f"{name}_low": low, f"{name}_high": high}
        snapshots.append(quality_report(answered, figures, stamp))
    earlier, recent = scores.split(production.models)
    heard = np.isin(reference.machines, production.sample.machines)
    snapshots.append(
        drift_report(
            reference.vectors[heard],
            production.sample.vectors,
            {
                "evidence": drift["score"],
                "evidence_that_counts": drift["threshold"],
                "effect": drift["effect"],
                "drifted_columns": drift["share_of_columns"],
            },
            (production.scores[earlier], production.scores[recent]),
            (production.anomalies[earlier], production.anomalies[recent]),
            stamp,
        )
    )
    own = evidently_figures(snapshots[-1])
    machines = machines_report(result["quality_machines"], result["machines"], stamp)
    snapshots += [machines] if machines is not None else []
    if answered.vectors.shape[1:] == reference.vectors.shape[1:]:
        extra = answered_report(reference.vectors, answered.vectors, stamp)
        snapshots += [extra] if extra is not None else []
    project.add(snapshots)
    return own
