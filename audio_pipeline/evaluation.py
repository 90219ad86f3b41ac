"""How well a model tells anomalies from normals, per machine, section and domain.

Here: clips and their scores, sorted into sets, and the DCASE Task 2 summary. Not here: a set's figures (`metrics`), the
scores themselves (`scoring`, `detector`), pictures (`plots`), printing (`wheeltapper.commands.evaluate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.metrics import Metrics, harmonic_mean, measure
from audio_pipeline.reference import Reference
from audio_pipeline.scoring import Scorer


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
        On the scale of the scores; None: not one for all (it hangs on the number of windows, and on whether the machine
        is known).
    """

    targets: NDArray[np.bool_]
    verdicts: NDArray[np.bool_]
    scores: NDArray[np.float64]
    machines: NDArray[np.str_]
    domains: NDArray[np.str_]
    threshold: float | None


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
    thresholds = {judgement.threshold for judgement in judged}
    return ClipScores(
        targets=rows.targets[first],
        verdicts=np.array([judgement.anomaly for judgement in judged], dtype=bool),
        scores=np.array([judgement.score for judgement in judged], dtype=np.float64),
        machines=machines,
        domains=rows.domains[first],
        threshold=thresholds.pop() if len(thresholds) == 1 else None,
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
