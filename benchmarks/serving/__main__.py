"""Measures the service and writes RESULTS.md: `python -m benchmarks.serving [--soak 5000]`.

Per round, one after the other and on the same kind of clips (10 s, 16 kHz mono FLAC, each sent once): the encoder alone
under ONNX Runtime, the pipeline from bytes to verdict called in this process, the service at 1, 8 and 32 clients. All
with the same number of worker threads, on the same processors; the clients take their share of them. Figures are the
median of the rounds.

Here: what is measured, and the table. Not here: clips, clients and the server (`load`).
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np
import onnxruntime

from audio_pipeline.clip import decode
from audio_pipeline.processors import available_processors
from audio_pipeline.scoring import Scorer
from benchmarks.serving.load import Load, document, flac_clips, form, mixed_clips, recordings, send, server
from wheeltapper.demo import prepare

RESULTS = Path(__file__).with_name("RESULTS.md")
CLIENTS = (1, 8, 32)
TARGET = 0.90
T = TypeVar("T")


def calls(work: Callable[[T], object], items: Sequence[T], threads: int) -> Load:
    """Do `work` on every item in so many threads."""

    def timed(item: T) -> float:
        begun = time.perf_counter()
        work(item)
        return time.perf_counter() - begun

    with ThreadPoolExecutor(threads) as pool:
        begun = time.perf_counter()
        seconds = list(pool.map(timed, items))
        elapsed = time.perf_counter() - begun
    return Load(len(items) / elapsed, np.array(seconds), 0)


def measure(artifacts: Path, workers: int, rounds: int, count: int) -> tuple[dict[str, list[Load]], float]:
    """Run the rounds; give the loads by name, and the server's resident memory at the end in MiB."""
    scorer = Scorer.load(artifacts)
    sound = recordings()
    loads: dict[str, list[Load]] = {}
    with server(artifacts, workers) as running:

        def serve(requests: Iterable[bytes], clients: int) -> Load:
            return send(running.port, requests, clients)

        serve(map(form, flac_clips(sound, 10_000_000, 50)), 8)  # warm
        for number in range(rounds):
            names = iter(range(number * 10 * count, (number + 1) * 10 * count, count))

            def fresh(names: Iterable[int] = names) -> list[bytes]:
                return flac_clips(sound, next(iter(names)), count)

            samples = [decode(clip).samples[None, :] for clip in fresh()]
            here = {
                "raw ORT, encoder only": calls(scorer.encoder.embed, samples, workers),
                "in-process, bytes to verdict": calls(lambda c: scorer.score(decode(c), ""), fresh(), workers),
            }
            for clients in CLIENTS:
                here[f"service, multipart, {clients} clients"] = serve([form(c) for c in fresh()], clients)
            here["service, JSON, 8 clients"] = serve([document(c) for c in fresh()], 8)
            for name, load in here.items():
                loads.setdefault(name, []).append(load)
                print(f"round {number + 1}: {name}: {load.rate:.1f}/s, {load.refused} refused", flush=True)
        return loads, running.resident_mib()


def soak(artifacts: Path, workers: int, count: int) -> tuple[list[tuple[int, float]], Load]:
    """Send clips of mixed lengths; give (clips sent, resident MiB) along the way, and the whole load."""
    memory: list[tuple[int, float]] = []
    with server(artifacts, workers) as running:

        def requests() -> Iterable[bytes]:
            for number, clip in enumerate(mixed_clips(recordings(), count)):
                if number % max(1, count // 100) == 0:
                    memory.append((number, running.resident_mib()))
                    print(f"soak: {number} of {count} clips, {memory[-1][1]:.0f} MiB", flush=True)
                yield form(clip)

        load = send(running.port, requests(), 8)
        memory.append((count, running.resident_mib()))
    return memory, load


def table(loads: dict[str, list[Load]]) -> str:
    """Render the loads as Markdown."""
    lines = ["| what | clips/s | p50 ms | p99 ms | refused |", "|---|---:|---:|---:|---:|"]
    for name, rounds in loads.items():
        rate = median(load.rate for load in rounds)
        p50, p99 = (median(load.percentile_ms(share) for load in rounds) for share in (50, 99))
        lines.append(f"| {name} | {rate:.1f} | {p50:.1f} | {p99:.1f} | {sum(load.refused for load in rounds)} |")
    return "\n".join(lines)


def report(artifacts: Path, workers: int, options: argparse.Namespace) -> str:
    """Measure, and say what was found."""
    loads, resident = measure(artifacts, workers, options.rounds, options.count)
    ratios = [
        served.rate / called.rate
        for served, called in zip(
            loads["service, multipart, 8 clients"], loads["in-process, bytes to verdict"], strict=True
        )
    ]
    manifest = Scorer.load(artifacts).encoder.manifest
    parts = [
        "# Serving: measured",
        "Written by `python -m benchmarks.serving`; what is measured is said in its docstring.",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} processors, {workers} worker threads, "
        f"Python {platform.python_version()}, ONNX Runtime {onnxruntime.__version__}, encoder {manifest.name}, "
        f"{options.rounds} rounds of {options.count} clips.",
        table(loads),
        f"At 8 clients the service reaches **{median(ratios):.2f}** of the in-process pipeline (target {TARGET:.2f}; "
        f"rounds: {', '.join(f'{ratio:.2f}' for ratio in ratios)}). It also stores every clip and its vectors, and the "
        f"clients run on the same processors. Resident memory afterwards: {resident:.0f} MiB.",
    ]
    if options.soak:
        memory, load = soak(artifacts, workers, options.soak)
        settled = np.array([(sent, mib) for sent, mib in memory if sent >= options.soak * 0.2])
        slope = float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0]) * 1000
        parts += [
            f"## Memory over {options.soak} clips of 0.3 to 45 s (8 clients)",
            "| clips sent | resident MiB |\n|---:|---:|\n"
            + "\n".join(f"| {sent} | {mib:.0f} |" for sent, mib in memory[:: max(1, len(memory) // 10)]),
            f"Slope over the last four fifths: **{slope:+.2f} MiB per 1000 clips** "
            f"({load.rate:.1f} clips/s, {load.refused} refused).",
        ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description="Measure the service next to the pipeline without HTTP.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=300, help="clips a measurement")
    parser.add_argument("--soak", type=int, default=0, metavar="CLIPS", help="also watch memory over so many clips")
    parser.add_argument("--artifacts", type=Path, help="a model to measure; else one is trained on the demo recordings")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        artifacts = options.artifacts or Path(folder) / "artifacts"
        if options.artifacts is None:
            prepare(Path(folder) / "data", artifacts)
        text = report(artifacts, available_processors(), options)
    options.out.write_text(text)
    print(f"\n{text}\nWritten to {options.out}.")


if __name__ == "__main__":
    main()
