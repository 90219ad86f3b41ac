"""Does AUC rise with severity? Every kind and fault of the synthetic ladder, on sites that nothing was chosen on."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.encoders.features import Feature
from benchmarks.encoders.scores import detector
from benchmarks.synthetic.ladder import REPORTING_SEED, LadderPlan, cached

PLAN = LadderPlan(seed=REPORTING_SEED, severities=(0.1, 0.25, 0.5, 0.75, 1.0), repeats=8)
_HALVES = 3
_WOBBLE = 0.05  # steps back by less than this are chance: a point is 32 clips against 40


@dataclass(frozen=True)
class Ladder:
    """AUC of one fault of one kind of machine.

    Attributes
    ----------
    severities
        float64[s].
    aucs
        float64[s], each the mean over machines and references.
    """

    kind: str
    fault: str
    severities: NDArray[np.float64]
    aucs: NDArray[np.float64]

    @property
    def rises(self) -> bool:
        """Higher at the end than at the beginning, and nowhere back by more than chance."""
        steps = self.aucs - np.maximum.accumulate(self.aucs)
        return bool(self.aucs[-1] > self.aucs[0] and steps.min() > -_WOBBLE)


def fault_ladders(feature: Feature, data: Path | None, cache: Path, plan: LadderPlan = PLAN) -> list[Ladder]:
    """AUC by severity of every kind and fault, through our detector; clips are kept in `cache`."""
    found: dict[tuple[str, str], dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for site in cached(cache, data, plan):
        embedded = [feature.embed(clip) for clip in site.clips]
        vectors = {name: np.stack([row[name] for row in embedded]).astype(np.float64) for name in embedded[0]}
        for reference in site.references(_HALVES):
            known, new = ({k: v[rows] for k, v in vectors.items()} for rows in (reference, ~reference))
            scores = detector(known, new, np.arange(reference.sum()).astype(str), feature.absolute)
            fault, severity = site.fault[~reference], site.severity[~reference]
            for name in np.unique(fault[severity > 0]):
                for step in plan.severities:
                    asked = (severity == 0) | ((fault == name) & (severity == step))
                    auc = roc_auc_score(severity[asked] > 0, scores[asked])
                    found[site.kind, str(name)][step].append(float(auc))
    return [
        Ladder(kind, fault, np.array(list(steps)), np.array([np.mean(aucs) for aucs in steps.values()]))
        for (kind, fault), steps in found.items()
    ]


def report(ladders: list[Ladder]) -> list[str]:
    """Lines of Markdown."""
    rising = sum(ladder.rises for ladder in ladders)
    steps = ladders[0].severities
    mean = np.mean([ladder.aucs for ladder in ladders], axis=0)
    lines = [
        "",
        "## Synthetic faults by severity",
        "",
        f"Our detector on ours, whole; {PLAN.machines} machines a kind, 6 to −12 dB, half in real factory noise, "
        f"{PLAN.normals // 2} normals as reference, {PLAN.repeats} clips a machine, fault and severity (seed "
        f"{PLAN.seed}: not the sites that anything was chosen on). AUC rises (nowhere back by {_WOBBLE} or more) for "
        f"{rising} of {len(ladders)} faults; their mean is " + ", ".join(f"{value:.2f}" for value in mean) + ".",
        "",
        "| kind | fault | " + " | ".join(f"{step:g}" for step in steps) + " | rises |",
        "| " + " | ".join(["---"] * (len(steps) + 3)) + " |",
    ]
    for ladder in ladders:
        cells = " | ".join(f"{value:.2f}" for value in ladder.aucs)
        lines.append(f"| {ladder.kind} | {ladder.fault} | {cells} | {'yes' if ladder.rises else 'no'} |")
    return lines


def draw(ladders: list[Ladder], target: Path) -> None:
    """One panel a kind of machine, one line a fault, as PNG."""
    kinds = list(dict.fromkeys(ladder.kind for ladder in ladders))
    figure = Figure(figsize=(12, 6), layout="constrained")
    axes = figure.subplots(2, (len(kinds) + 1) // 2, sharex=True, sharey=True).ravel()
    for axis, kind in zip(axes, kinds, strict=False):
        for ladder in (one for one in ladders if one.kind == kind):
            axis.plot(ladder.severities, ladder.aucs, marker="o", markersize=3, label=ladder.fault)
        axis.set(title=kind, ylim=(0.3, 1.03))
        axis.legend(fontsize=7, loc="lower right")
    for axis in axes[len(kinds) :]:
        axis.set_visible(False)
    figure.supxlabel("severity")
    figure.supylabel("AUC")
    figure.savefig(target, dpi=110)
