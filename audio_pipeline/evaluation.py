"""Figures of merit: how well scores tell anomalies from normals, per machine, section and domain.

Here: AUC, pAUC, F1, balanced accuracy, precision, recall, and the DCASE Task 2 summary of them. Not here: the
scores themselves (`scoring`, `detector`), pictures (`plots`), printing (`wheeltapper.commands.evaluate`).

A figure that the data do not define (AUC without an anomaly, precision without an alarm) is None, "unknown": never 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from audio_pipeline.reference import Reference
from audio_pipeline.scoring import Scorer

PARTIAL_AUC_RATE = 0.1  # DCASE Task 2: the ROC curve up to a false-alarm rate of 10 %


@dataclass(frozen=True)
class Metrics:
    """Figures of one set of clips; None = unknown.

    Parameters
    ----------
    name
        What the set is: a machine, a machine and domain, or `all`.
    normals, anomalies
        How many of each.
    auc, pauc
        Area under the ROC curve, and its McClish-standardised part up to a false-alarm rate of 0.1.
    f1, balanced_accuracy, precision, recall
        Of the verdicts, at the model's own threshold.
    false_alarm_rate
        Share of the normals called anomaly.
    """

    name: str
    normals: int
    anomalies: int
    auc: float | None
    pauc: float | None
    f1: float | None
    balanced_accuracy: float | None
    precision: float | None
    recall: float | None
    false_alarm_rate: float | None


@dataclass(frozen=True)
class Evaluation:
    """What `evaluation.json` holds.

    Parameters
    ----------
    unit
        What was counted: `clip` or `window`.
    overall
        All of them together.
    machines
        One entry a machine and section.
    domains
        One entry a machine and domain, where the domain is known. Its AUC sets the domain's normals against all
        anomalies of the machine, as DCASE Task 2 has done since 2022; every other figure is of the domain's own clips.
    harmonic_mean
        DCASE Task 2: of the AUC of each machine (each domain of it, where known) and the pAUC of each machine; None
        when any is unknown.
    model_version, encoder
        What was evaluated.
    """

    unit: str
    overall: Metrics
    machines: tuple[Metrics, ...]
    domains: tuple[Metrics, ...]
    harmonic_mean: float | None
    model_version: str = ""
    encoder: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain values, undefined figures as None."""
        return asdict(self)


@dataclass(frozen=True)
class ClipScores:
    """What the figures are computed from; one entry a clip.

    Parameters
    ----------
    targets, verdicts
        bool[N], True = anomaly: what it is, what it was called.
    scores
        float64[N].
    machines, domains
        str[N], empty = unknown.
    threshold
        On the scale of the scores.
    """

    targets: NDArray[np.bool_]
    verdicts: NDArray[np.bool_]
    scores: NDArray[np.float64]
    machines: NDArray[np.str_]
    domains: NDArray[np.str_]
    threshold: float


def score_clips(scorer: Scorer, rows: Reference) -> ClipScores:
    """Judge the clips of a reference as the service would, from their vectors.

    Parameters
    ----------
    scorer
        Its encoder made the vectors.
    rows
        All windows of some clips, at least one.
    """
    _, first, clip_of_row = np.unique(rows.clips, return_index=True, return_inverse=True)
    order = np.argsort(clip_of_row, kind="stable")
    windows = np.split(rows.vectors[order], np.cumsum(np.bincount(clip_of_row))[:-1])
    machines = rows.machines[first]
    judged = [scorer.judge(vectors, str(machine)) for vectors, machine in zip(windows, machines, strict=True)]
    return ClipScores(
        targets=rows.targets[first],
        verdicts=np.array([judgement.anomaly for judgement in judged], dtype=bool),
        scores=np.array([judgement.score for judgement in judged], dtype=np.float64),
        machines=machines,
        domains=rows.domains[first],
        threshold=judged[0].threshold,
    )


def evaluate_clips(scorer: Scorer, rows: Reference) -> tuple[Evaluation, ClipScores]:
    """Judge the clips of a reference and compute their figures."""
    clips = score_clips(scorer, rows)
    result = evaluate(
        clips.targets,
        clips.scores,
        clips.verdicts,
        clips.machines.tolist(),
        clips.domains.tolist(),
        unit="clip",
        model_version=scorer.model,
        encoder=scorer.encoder_name,
    )
    return result, clips


def measure(
    name: str, targets: NDArray[np.bool_], scores: NDArray[np.floating[Any]], verdicts: NDArray[np.bool_]
) -> Metrics:
    """Compute the figures of one set.

    Parameters
    ----------
    name
        What the set is called.
    targets
        bool[N], True = anomaly.
    scores
        float[N], higher = odder.
    verdicts
        bool[N], True = called anomaly.

    Examples
    --------
    >>> normal_only = measure("fan", np.array([False]), np.array([0.1]), np.array([False]))
    >>> normal_only.auc is None, normal_only.false_alarm_rate
    (True, 0.0)
    """
    targets, verdicts = targets.astype(bool), verdicts.astype(bool)
    hits = int((targets & verdicts).sum())
    false_alarms = int((~targets & verdicts).sum())
    anomalies, normals = int(targets.sum()), int((~targets).sum())
    recall = _share(hits, anomalies)
    false_alarm_rate = _share(false_alarms, normals)
    both = recall is not None and false_alarm_rate is not None
    return Metrics(
        name=name,
        normals=normals,
        anomalies=anomalies,
        auc=float(roc_auc_score(targets, scores)) if both else None,
        pauc=float(roc_auc_score(targets, scores, max_fpr=PARTIAL_AUC_RATE)) if both else None,
        # Without an anomaly, F1 would be 0 for the best detector there can be.
        f1=_share(2 * hits, 2 * hits + false_alarms + (anomalies - hits)) if anomalies else None,
        balanced_accuracy=(recall + 1 - false_alarm_rate) / 2
        if recall is not None and false_alarm_rate is not None
        else None,
        precision=_share(hits, hits + false_alarms),
        recall=recall,
        false_alarm_rate=false_alarm_rate,
    )


def evaluate(
    targets: NDArray[np.bool_],
    scores: NDArray[np.floating[Any]],
    verdicts: NDArray[np.bool_],
    machines: Sequence[str],
    domains: Sequence[str],
    *,
    unit: str,
    model_version: str = "",
    encoder: str = "",
) -> Evaluation:
    """Compute the figures of a set of clips or windows, per machine and section, and per domain when known.

    Parameters
    ----------
    targets, scores, verdicts
        As in `measure`.
    machines, domains
        str[N]; empty = unknown.
    unit
        What one entry is, `clip` or `window`.
    model_version, encoder
        Passed on into the result.
    """
    machine = np.array([name or "unknown" for name in machines], dtype=np.str_)
    domain = np.array(list(domains), dtype=np.str_)

    def part(name: str, rows: NDArray[np.bool_]) -> Metrics:
        return measure(name, targets[rows], scores[rows], verdicts[rows])

    per_machine = tuple(part(str(name), machine == name) for name in np.unique(machine))
    per_domain: list[Metrics] = []
    summarised: list[float | None] = []
    for metrics in per_machine:
        own = machine == metrics.name
        places = [place for place in np.unique(domain[own]) if place]
        for place in places:
            here = part(f"{metrics.name} {place}", own & (domain == place))
            against_all = part("", own & ((domain == place) | targets))
            per_domain.append(replace(here, auc=against_all.auc))
        summarised += [entry.auc for entry in per_domain[-len(places) :]] if places else [metrics.auc]
        summarised.append(metrics.pauc)
    return Evaluation(
        unit=unit,
        overall=part("all", np.ones(len(targets), dtype=bool)),
        machines=per_machine,
        domains=tuple(per_domain),
        harmonic_mean=harmonic_mean(summarised),
        model_version=model_version,
        encoder=encoder,
    )


def harmonic_mean(values: Sequence[float | None]) -> float | None:
    """Return the harmonic mean; None when there is no value or one of them is unknown.

    Examples
    --------
    >>> harmonic_mean([0.5, 1.0]), harmonic_mean([0.9, None]), harmonic_mean([0.9, 0.0])
    (0.6666666666666666, None, 0.0)
    """
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return 0.0 if min(known) <= 0 else len(known) / sum(1 / value for value in known)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
