"""Choose on synthetic faults: `python -m benchmarks.synthetic DATA --encoder NAME=FOLDER …`.

For each encoder folder: mean AUC over the ladder's sites of all groups of columns, of each alone, and of other
combinations (`--groups finemel_mean,logmel_peak`), all through our detector. With `--altered`, real healthy machines
with faults made on purpose take the place of synthetic machines. Paired intervals against all groups of the first
encoder are over sites. With `--price GROUP`, what that group costs on real
healthy clips where it hears nothing (`price`).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from audio_pipeline.encoder import DEFAULT_ENCODER, ColumnGroup, Encoder
from benchmarks.encoders.scores import detector
from benchmarks.synthetic.altered import AlteredSite, altered_sites
from benchmarks.synthetic.ladder import CHOOSING_SEED, LadderPlan, Site, cached
from benchmarks.synthetic.price import prices

Floats = NDArray[np.float64]


def main() -> None:
    """Compare encoders and groups of columns on the choosing ladder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--encoder", action="append", metavar="NAME=FOLDER", help="default: the shipped one")
    parser.add_argument("--groups", action="append", default=[], metavar="GROUP,GROUP", help="score these together")
    parser.add_argument("--cache", type=Path, default=Path("runs/synthetic"), help="folder for the ladder's clips")
    parser.add_argument("--altered", action="store_true", help="faults made in real healthy clips")
    parser.add_argument("--price", metavar="GROUP", help="what this group costs on real healthy clips")
    parser.add_argument("--halves", type=int, default=2, help="random references a site")
    arguments = parser.parse_args()
    encoders = [pair.split("=", 1) for pair in arguments.encoder or [f"default={DEFAULT_ENCODER}"]]
    if arguments.price:
        for name, folder in encoders:
            found = prices(Encoder.load(Path(folder)), arguments.data, arguments.price)
            by_column = " ".join(f"{column} {value:+.3f}" for column, value in found.items())
            print(f"{name:12s} {np.mean(list(found.values())):+.4f}  {by_column}", flush=True)
        return
    ladder: Sequence[Site | AlteredSite]
    if arguments.altered:
        ladder = list(altered_sites(arguments.data))
    else:
        ladder = list(cached(arguments.cache, arguments.data, LadderPlan(seed=CHOOSING_SEED)))
    first: Floats | None = None
    for name, folder in encoders:
        encoder = Encoder.load(Path(folder))
        embedded = [np.concatenate([encoder.embed(clip[None]).vectors for clip in site.clips]) for site in ladder]
        groups = encoder.manifest.groups
        asked = [
            list(groups),
            *([group] for group in groups),
            *(combination.split(",") for combination in arguments.groups),
        ]
        for chosen in asked:
            columns = {group: groups[group] for group in chosen}
            aucs = np.array(
                [site_auc(site, rows, columns, arguments.halves) for site, rows in zip(ladder, embedded, strict=True)]
            )
            first = aucs if first is None else first
            low, high = _interval(aucs - first)
            print(
                f"{name:12s} {aucs.mean():.4f} ({np.mean(aucs - first):+.4f} [{low:+.4f}, {high:+.4f}])  "
                f"{_by_kind(ladder, aucs)}  {'+'.join(chosen)}",
                flush=True,
            )


def site_auc(
    site: Site | AlteredSite, vectors: NDArray[np.float32], groups: Mapping[str, ColumnGroup], halves: int
) -> float:
    """AUC of a site's faults against its healthy clips that are not the reference, by our detector on some groups."""
    values = []
    for reference, tested in site.halves(halves):
        known, new = (
            {name: vectors[rows][:, group.columns] for name, group in groups.items()} for rows in (reference, tested)
        )
        recordings = np.arange(reference.sum()).astype(str)
        scores = detector(
            {name: rows.astype(np.float64) for name, rows in known.items()},
            {name: rows.astype(np.float64) for name, rows in new.items()},
            recordings,
            {name for name, group in groups.items() if group.absolute},
        )
        values.append(roc_auc_score(~site.healthy[tested], scores))
    return float(np.mean(values))


def _by_kind(ladder: Sequence[Site | AlteredSite], aucs: Floats) -> str:
    kinds = np.array([site.kind for site in ladder])
    return " ".join(f"{kind} {aucs[kinds == kind].mean():.3f}" for kind in dict.fromkeys(kinds))


def _interval(differences: Floats, draws: int = 2000) -> tuple[float, float]:
    rows = np.random.default_rng(0).integers(len(differences), size=(draws, len(differences)))
    low, high = np.quantile(differences[rows].mean(1), [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
