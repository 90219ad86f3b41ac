"""How the detector was chosen: `python -m benchmarks.detection.choose DATA`, on synthetic plants alone.

Backends alone and mixed, fused over groups in several ways, with 5, 10 and 40 normals a machine; and on machines that
run in two ways, 15 + 15 and 24 + 6 normals (the same kind of machine in two halls, taken for one). Writes CHOICE.md.
Also whether a plant should choose for itself: by its own normal clips alone, held-out ones against stand-ins for faults
(held-out clips moved part of the way to clips of its other machines), and, as the bound, by its faults themselves.
Not here: the supervised head, whose alternatives are told in `audio_pipeline.detector.supervision`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from audio_pipeline.detector.backends import SAME, RelativeGroup, folds, fuse, squared_distances
from audio_pipeline.detector.covariance import Others
from audio_pipeline.encoder import DEFAULT_ENCODER, Encoder
from benchmarks.detection.__main__ import CACHE
from benchmarks.detection.synthetic import SyntheticMachine, machines

Floats = NDArray[np.float64]
Table = dict[str, dict[str, Floats]]
"""Group → backend → score of each clip, normalised by held-out reference clips."""
Fusion = Callable[[Sequence[Floats]], Floats]
BACKENDS = ("mahalanobis", "borrowed", "neighbour", "density")
MIXES = (
    *((name,) for name in BACKENDS),
    ("mahalanobis", "neighbour", "density"),
    ("mahalanobis", "density"),
    ("mahalanobis", "mahalanobis", "density"),
    ("mahalanobis", "borrowed", "density"),
    ("mahalanobis", "borrowed", "neighbour", "density"),
)
FUSIONS: dict[str, Fusion] = {
    "highest": lambda scores: np.asarray(np.max(scores, axis=0)),
    "mean": lambda scores: np.asarray(np.mean(scores, axis=0)),
    "ours": fuse,
}
SIZES, DRAWS = (5, 10, 40), 2
_TESTED = 24  # healthy clips of each machine that are never reference
_MODES = ((15, 15), (24, 6))
_SPREAD_FLOOR = 0.15
_MOVED = (0.05, 0.3)
"""How far a stand-in for a fault is moved towards another machine's clip."""


@dataclass(frozen=True)
class Case:
    """One machine's reference and tested clips; what the other machines of its plant have as reference."""

    plant: str
    size: str
    reference: Floats
    others: list[Floats]
    tested: Floats
    fault: NDArray[np.bool_]


@dataclass(frozen=True)
class Trial:
    """One way of scoring on one machine: AUC of its faults, and of the stand-ins made of normal clips."""

    plant: str
    size: str
    way: str
    auc: float
    stand_in_auc: float


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--encoder", type=Path, default=DEFAULT_ENCODER)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--cache", type=Path, default=CACHE)
    arguments = parser.parse_args()
    encoder = Encoder.load(arguments.encoder)
    made = machines(encoder, arguments.data, arguments.cache / "synthetic")
    simple = {name: group.columns for name, group in encoder.manifest.groups.items()}
    group_sets = {"every group": list(simple), "log-mel groups": [name for name in simple if "mel" in name]}
    trials: list[Trial] = []
    for case in _cases(made):
        tested, stand_ins = _normalised(case, simple)
        moved = np.repeat([False, True], len(case.reference))
        for (label, groups), (way, fusion), mix in product(group_sets.items(), FUSIONS.items(), MIXES):

            def auc(
                table: Table,
                fault: NDArray[np.bool_],
                groups: Sequence[str] = groups,
                fusion: Fusion = fusion,
                mix: tuple[str, ...] = mix,
            ) -> float:
                score = fusion([np.mean([table[group][backend] for backend in mix], axis=0) for group in groups])
                return float(roc_auc_score(fault, score))

            way_of = f"{label} | {way} | {' + '.join(mix)}"
            trials.append(Trial(case.plant, case.size, way_of, auc(tested, case.fault), auc(stand_ins, moved)))
    sizes = list(dict.fromkeys(trial.size for trial in trials))
    lines = [
        "# How backends and fusion were chosen",
        "",
        "Made by `python -m benchmarks.detection.choose DATA`: AUC on synthetic plants, by normals a machine; no "
        "labelled clip. *borrowed*: Mahalanobis with a covariance shrunk towards the other machines'; *ours* fuses by "
        f"log-mean-exp. Encoder {encoder.manifest.name} ({encoder.manifest.sha256[:12]}). "
        "Last two rows: each plant takes the one of these ways that separates its own held-out normal clips best from "
        "stand-ins made of normal clips alone; and, as the bound of such a choice, the one that finds its faults best.",
        "",
        "| groups | over groups | backends | " + " | ".join(sizes) + " |",
        "| " + " | ".join(["---"] * (3 + len(sizes))) + " |",
    ]
    for way in dict.fromkeys(trial.way for trial in trials):
        lines.append(_row(way, {s: [t.auc for t in trials if (t.way, t.size) == (way, s)] for s in sizes}))
    for name, by in (("its own normal clips", "stand_in_auc"), ("its faults (the bound)", "auc")):
        chosen = {s: _chosen_by_plant([t for t in trials if t.size == s], by) for s in sizes}
        lines.append(_row(f"chosen by each plant | by {name} | ", chosen))
    (arguments.out / "CHOICE.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def _row(way: str, aucs: Mapping[str, Sequence[float]]) -> str:
    return f"| {way} | {' | '.join(f'{np.mean(values):.4f}' for values in aucs.values())} |"


def _chosen_by_plant(trials: Sequence[Trial], by: str) -> list[float]:
    """AUCs of the way that has the highest mean of `by` in each plant."""
    chosen: list[float] = []
    for plant in dict.fromkeys(trial.plant for trial in trials):
        ways: dict[str, list[Trial]] = {}
        for trial in trials:
            if trial.plant == plant:
                ways.setdefault(trial.way, []).append(trial)
        best = max(ways.values(), key=lambda own: float(np.mean([getattr(trial, by) for trial in own])))
        chosen += [trial.auc for trial in best]
    return chosen


def _cases(made: Sequence[SyntheticMachine]) -> list[Case]:
    cases = []
    for size, seed in product(SIZES, range(DRAWS)):
        chosen = [np.random.default_rng([seed, size, i]).permutation(len(m.normals)) for i, m in enumerate(made)]
        known = [m.normals[order[:size]].astype(np.float64) for m, order in zip(made, chosen, strict=True)]
        for number, machine in enumerate(made):
            healthy = machine.normals[chosen[number][-_TESTED:]]
            beside = [known[i] for i, m in enumerate(made) if m.site == machine.site and i != number]
            cases.append(_case(f"{machine.site} {seed}", str(size), known[number], beside, healthy, machine.faults))
    by_place = {(machine.site, machine.kind): machine for machine in made}
    sites = list(dict.fromkeys(machine.site for machine in made))
    kinds = list(dict.fromkeys(machine.kind for machine in made))
    for (many, few), kind, (one, other) in product(_MODES, kinds, zip(sites, sites[1:] + sites[:1], strict=True)):
        pairs = {name: (by_place[one, name], by_place[other, name]) for name in kinds}
        known_by_kind = {
            name: np.concatenate([a.normals[:many], b.normals[:few]]).astype(np.float64)
            for name, (a, b) in pairs.items()
        }
        a, b = pairs[kind]
        healthy = np.concatenate([a.normals[-_TESTED:], b.normals[-_TESTED:]])
        beside = [rows for name, rows in known_by_kind.items() if name != kind]
        faulty = np.concatenate([a.faults, b.faults])
        cases.append(
            _case(f"{one}, {other}", f"two ways, {many} + {few}", known_by_kind[kind], beside, healthy, faulty)
        )
    return cases


def _case(
    plant: str,
    size: str,
    known: Floats,
    beside: list[Floats],
    healthy: NDArray[np.float32],
    faulty: NDArray[np.float32],
) -> Case:
    tested = np.concatenate([healthy, faulty]).astype(np.float64)
    return Case(plant, size, known, beside, tested, np.arange(len(tested)) >= len(healthy))


def _normalised(case: Case, groups: Mapping[str, slice]) -> tuple[Table, Table]:
    """Scores of the tested clips, and of held-out reference clips followed by the stand-ins made of them."""
    fold = folds([str(row) for row in range(len(case.reference))])
    chance = np.random.default_rng(len(case.reference))
    elsewhere = np.concatenate(case.others)
    towards = elsewhere[chance.integers(len(elsewhere), size=len(case.reference))]
    moved = case.reference + chance.uniform(*_MOVED, (len(towards), 1)) * (towards - case.reference)
    tested, stand_ins = {}, {}
    for name, columns in groups.items():
        others = _others(case.others, columns)
        own = np.empty((len(BACKENDS), len(case.reference)))
        odd = np.empty_like(own)
        for number in np.unique(fold):
            inside = fold == number
            model = RelativeGroup.fit(name, columns, case.reference[~inside], others)
            own[:, inside], odd[:, inside] = _logs(model, case.reference[inside]), _logs(model, moved[inside])
        centre, spread = np.median(own, axis=1)[:, None], (own.std(axis=1) + _SPREAD_FLOOR)[:, None]
        logs = _logs(RelativeGroup.fit(name, columns, case.reference, others), case.tested)
        tested[name] = dict(zip(BACKENDS, (logs - centre) / spread, strict=True))
        stand_ins[name] = dict(zip(BACKENDS, (np.hstack([own, odd]) - centre) / spread, strict=True))
    return tested, stand_ins


def _others(rows: Sequence[Floats], columns: slice) -> Others:
    centred = [own[:, columns] - own[:, columns].mean(axis=0) for own in rows]
    degrees = sum(len(own) - 1 for own in centred)
    return Others(np.sum([own.T @ own for own in centred], axis=0) / degrees, degrees)


def _logs(model: RelativeGroup, vectors: Floats) -> Floats:
    mahalanobis, borrowed, density = model.raw_scores(vectors)
    distances = squared_distances(model.white.standardised(vectors), model.bank)
    neighbour = 0.5 * np.log(distances.min(axis=1) + SAME * model.bank.shape[1])
    return np.stack([mahalanobis, borrowed, neighbour, density])


if __name__ == "__main__":
    main()
