"""The false-alarm rate of the whole service: `python -m benchmarks.detection.through_service`.

As a plant would meet it: recordings of 25 s (three windows) of healthy synthetic machines, four kinds, are embedded and
trained on by the commands that a user types, the service is started, and further healthy recordings of the same
machines are sent to `/predict` as FLAC. Counted is the share that the service calls anomalies, by draw (other machines,
another hall), and what the same answers' p-values would have meant at other rates. Writes THROUGH_SERVICE.md.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray

from audio_pipeline.processors import available_processors
from audio_pipeline.synth import SynthRecipe, write_dataset
from benchmarks.serving.load import server
from wheeltapper.commands.embed import embed
from wheeltapper.commands.train import train

KINDS = ("fan", "pump", "valve", "bearing")
DRAWS, KNOWN, FRESH = 4, 60, 125
"""Plants; recordings of each machine that the model is made of, and that are sent."""
SECONDS, SNR_DB = 25.0, 6.0
RATE = 0.01
RATES = (0.01, 0.05, 0.1)
_SEED = 8_100


def measured(draw: int, artifacts: Path, folder: Path) -> NDArray[np.float64]:
    """Return the p-value of every fresh recording of one plant, as the service told them; checks its verdicts."""
    recipe = SynthRecipe(KINDS, normals=KNOWN + FRESH, anomalies=0, seconds=SECONDS, snr_db=SNR_DB, seed=_SEED + draw)
    write_dataset(folder / "all", recipe)
    fresh: list[tuple[str, Path]] = []
    for kind in KINDS:
        for number, path in enumerate(sorted((folder / "all" / kind).rglob("*.flac"))):
            if number < KNOWN:
                target = folder / "known" / path.relative_to(folder / "all")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(path, target)
            else:
                fresh.append((f"{kind}/id_00", path))
    own = folder / "artifacts"
    shutil.copytree(artifacts / "encoders", own / "encoders")
    embed([folder / "known"], out=folder / "data", artifacts=own, workers=available_processors())
    train(data=folder / "data", artifacts=own, false_alarm_rate=RATE)
    with (
        server(own, available_processors()) as running,
        httpx.Client(base_url=f"http://127.0.0.1:{running.port}", timeout=60, trust_env=False) as client,
    ):

        def ask(recording: tuple[str, Path]) -> float:
            machine, path = recording
            answer = client.post("/predict", files={"file": (path.name, path.read_bytes())}, data={"machine": machine})
            told = answer.raise_for_status().json()
            if len(told["windows"]) < 2:
                raise RuntimeError(f"{path.name} was meant to have several windows.")
            if told["anomaly"] != (np.float32(told["p_value"]) <= np.float32(RATE)):
                raise RuntimeError(f"Verdict and p-value {told['p_value']} do not agree at {RATE}.")
            return float(told["p_value"])

        with ThreadPoolExecutor(4) as pool:
            return np.array(list(pool.map(ask, fresh)))


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"))
    parser.add_argument("--draws", type=int, default=DRAWS)
    arguments = parser.parse_args()
    p_values = []
    for draw in range(arguments.draws):
        with tempfile.TemporaryDirectory(prefix="wheeltapper-benchmark-") as folder:
            p_values.append(measured(draw, arguments.artifacts, Path(folder)))
        print(f"plant {draw + 1}: {(p_values[-1] <= RATE).mean():.4f} of {len(p_values[-1])}", flush=True)
    lines = [
        "# False alarms through the whole service",
        "",
        "Made by `python -m benchmarks.detection.through_service`; what is measured: its docstring. "
        f"{arguments.draws} plants of {len(KINDS)} machines, {KNOWN} recordings of {SECONDS:g} s of each to learn "
        f"from, {FRESH} of each sent to `/predict`. The service was set to {RATE:.0%}; the other rows read its "
        "p-values.",
        "",
        "| asked | realised, mean of plants | 95 % interval of the mean | by plant |",
        "| --- | --- | --- | --- |",
    ]
    for rate in RATES:
        shares = np.array([(values <= np.float32(rate)).mean() for values in p_values])
        error = 1.96 * shares.std(ddof=1) / np.sqrt(len(shares)) if len(shares) > 1 else np.nan
        lines.append(
            f"| {rate:.0%} | {shares.mean():.2%} | {shares.mean() - error:.2%} to {shares.mean() + error:.2%} | "
            f"{', '.join(f'{share:.1%}' for share in shares)} |"
        )
    (Path(__file__).parent / "THROUGH_SERVICE.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
