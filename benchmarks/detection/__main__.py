"""One command, one table: `python -m benchmarks.detection DATA`.

0 to 20 confirmed faults on every set of the data folder and every rung of the noise ladder, ten draws; the DCASE
autoencoder and simple statistics on the same clips; false-alarm rates on fresh synthetic clips. Writes RESULTS.md,
results.json and learning_curve.png beside this file (or to --out). Vectors and the autoencoder's scores are cached.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from audio_pipeline.encoder import DEFAULT_ENCODER, Encoder
from benchmarks.detection.autoencoder import autoencoder_scores
from benchmarks.detection.false_alarms import realised
from benchmarks.detection.report import AUTOENCODER, Baseline, Results, as_json, learning_curves, markdown
from benchmarks.detection.sets import Machine, plants
from benchmarks.detection.trials import SEEDS, Cell, detector_cells, draw, simple_scores

CACHE = Path(".cache") / "detection"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--encoder", type=Path, default=DEFAULT_ENCODER)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--autoencoder-seeds", type=int, default=3, help="it takes most of the time")
    arguments = parser.parse_args()
    started = time.monotonic()
    torch.set_num_threads(1)
    encoder = Encoder.load(arguments.encoder)
    cells: list[Cell] = []
    baselines: list[Baseline] = []
    for plant in plants(encoder, arguments.data, arguments.cache / "sets"):
        for seed in range(arguments.seeds):
            cells += detector_cells(plant, encoder.manifest, seed)
            for machine in plant:
                baselines += _baselines(machine, seed, seed < arguments.autoencoder_seeds, arguments.cache)
        print(f"{plant[0].column}: {time.monotonic() - started:.0f} s", flush=True)
    results = Results(cells, baselines, realised(encoder, arguments.cache / "synthetic"))
    arguments.out.mkdir(parents=True, exist_ok=True)
    name = f"`{encoder.manifest.name}` ({encoder.manifest.sha256[:12]})"
    text = markdown(results, (time.monotonic() - started) / 60, name)
    (arguments.out / "RESULTS.md").write_text(text)
    (arguments.out / "results.json").write_text(json.dumps(as_json(results), indent=1) + "\n")
    learning_curves(results, arguments.out / "learning_curve.png")
    print(text)


def _baselines(machine: Machine, seed: int, with_autoencoder: bool, cache: Path) -> Iterator[Baseline]:
    dealt = draw(machine, seed)
    fault = machine.fault[dealt.tested]
    for name, score in simple_scores(dealt).items():
        yield Baseline(machine.column, seed, name, fault, score)
    if with_autoencoder:
        path = cache / "sets" / "autoencoder" / f"{machine.name.replace('/', ' ')} {seed}.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            known, tested = machine.spectrogram[dealt.trained], machine.spectrogram[dealt.tested]
            np.save(path, autoencoder_scores(known, tested, seed))
        yield Baseline(machine.column, seed, AUTOENCODER, fault, np.load(path))


if __name__ == "__main__":
    main()
