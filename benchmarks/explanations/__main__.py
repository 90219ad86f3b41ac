"""How well explanations name the seconds and the band of faults that are known: `python -m benchmarks.explanations`.

Synthetic plants: two machines of each kind, 30 healthy clips each to train on, 12 clips with a fault of random onset
that lasts 10 to 40 % of the clip, severities 0.5 and 0.8, hall noise at 6 and 0 dB. Three ways are compared: what
`audio_pipeline.explanation` names, everything, and a stretch of the true length at random. IoU is intersection over
union; of bands it is taken on the mel scale. Written to RESULTS.md.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audio_pipeline.artifacts import find_encoder
from audio_pipeline.clip import read
from audio_pipeline.datasets import discover
from audio_pipeline.detector.classifier import Classifier
from audio_pipeline.detector.training import fit
from audio_pipeline.embedding_job import EmbeddingCache, embed_recordings
from audio_pipeline.encoder import Encoder
from audio_pipeline.explanation import KnownClips, explain
from audio_pipeline.explanation.bands import mel
from audio_pipeline.scoring import Scorer
from audio_pipeline.synth import KINDS, SynthRecipe, write_dataset

HERE = Path(__file__).parent
SECONDS = 10.0
TOP = float(mel(np.array(8000.0)))
SEEDS = {6.0: 21, 0.0: 22}
"""By signal-to-noise ratio; the thresholds of the explanation were chosen on seed 3 at 6 dB."""


@dataclass(frozen=True)
class Row:
    """One faulty clip."""

    kind: str
    fault: str
    snr_db: float
    flagged: bool
    share: float
    time_iou: float
    random_iou: float
    band_iou: float
    band_share: float
    top_band_inside: bool
    cpu_s: float


def overlap(marked: Sequence[tuple[float, float]], truth: tuple[float, float], top: float) -> float:
    """Intersection over union of ranges within 0 to `top`."""
    grid = (np.arange(4000) + 0.5) * top / 4000
    one = np.any([(grid >= low) & (grid < high) for low, high in marked], axis=0) if marked else grid < 0
    two = (grid >= truth[0]) & (grid < truth[1])
    return float((one & two).sum() / max(1, (one | two).sum()))


def plant(encoder: Encoder, snr_db: float, machines: int, scratch: Path) -> list[Row]:
    """Make a plant, train on its healthy clips, explain its faults."""
    recipe = SynthRecipe(
        KINDS,
        machines_per_kind=machines,
        normals=30,
        anomalies=12,
        seconds=SECONDS,
        severities=(0.5, 0.8),
        snr_db=snr_db,
        seed=SEEDS[snr_db],
        partial=True,
    )
    truth = write_dataset(scratch, recipe)
    recordings = [recording for recording in discover(scratch) if not recording.target]
    reference = embed_recordings(
        recordings, encoder, EmbeddingCache(scratch / "cache", encoder.manifest.sha256)
    ).reference
    graph, manifest = fit(reference, encoder.manifest, false_alarm_rate=0.02)
    version = f"model-{hashlib.sha256(graph).hexdigest()[:12]}"
    scorer = Scorer(encoder, Classifier.from_bytes(graph, manifest, version), version)
    known, rng, rows = KnownClips.of(reference), np.random.default_rng(0), []
    with truth.open() as lines:
        for line in csv.DictReader(lines):
            if not line["fault"]:
                continue
            machine = "/".join(line["path"].split("/")[:2])
            clip = read(scratch / line["path"])
            flagged = scorer.score(clip, machine).anomaly
            begun = time.process_time()
            found = explain(scorer, clip, machine, known)
            spent = time.process_time() - begun
            start, length = float(line["onset_s"]), float(line["duration_s"])
            low, high = mel(np.array([float(line["low_hz"]), float(line["high_hz"])]))
            anywhere = float(rng.uniform(0, SECONDS - length))
            bands = [tuple(mel(np.array([band.low_hz, band.high_hz])).tolist()) for band in found.bands]
            rows.append(
                Row(
                    kind=line["kind"],
                    fault=line["fault"],
                    snr_db=snr_db,
                    flagged=flagged,
                    share=length / SECONDS,
                    time_iou=overlap([(s.start_s, s.end_s) for s in found.seconds], (start, start + length), SECONDS),
                    random_iou=overlap([(anywhere, anywhere + length)], (start, start + length), SECONDS),
                    band_iou=overlap(bands, (low, high), TOP),
                    band_share=float(high - low) / TOP,
                    top_band_inside=bool(bands) and bool(low <= sum(bands[0]) / 2 <= high),
                    cpu_s=spent,
                )
            )
    return rows


def table(rows: Sequence[Row]) -> str:
    """Write the figures of flagged clips by kind, of all flagged, and of all."""
    lines = [
        "| clips | n | time IoU, median | at least 0.5 | marking all | at random | top band inside | by chance | "
        "band IoU, median | marking all |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    groups = [(f"{kind}, flagged", [r for r in rows if r.flagged and r.kind == kind]) for kind in KINDS]
    for snr_db in SEEDS:
        groups.append((f"{snr_db:g} dB, flagged", [r for r in rows if r.flagged and r.snr_db == snr_db]))
    groups += [("**all flagged**", [r for r in rows if r.flagged]), ("all, flagged or not", list(rows))]
    for name, own in groups:
        if not own:
            lines.append(f"| {name} | 0 | | | | | | | | |")
            continue
        lines.append(
            f"| {name} | {len(own)} | {np.median([r.time_iou for r in own]):.2f} | "
            f"{np.mean([r.time_iou >= 0.5 for r in own]):.0%} | {np.median([r.share for r in own]):.2f} | "
            f"{np.median([r.random_iou for r in own]):.2f} | {np.mean([r.top_band_inside for r in own]):.0%} | "
            f"{np.mean([r.band_share for r in own]):.0%} | {np.median([r.band_iou for r in own]):.2f} | "
            f"{np.median([r.band_share for r in own]):.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write RESULTS.md."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--encoder", default="default")
    options.add_argument("--artifacts", type=Path, default=Path("artifacts"))
    options.add_argument("--machines", type=int, default=2, help="of each kind")
    chosen = options.parse_args()
    encoder = Encoder.load(find_encoder(chosen.artifacts, chosen.encoder))
    rows: list[Row] = []
    for snr_db in SEEDS:
        with tempfile.TemporaryDirectory() as scratch:
            rows += plant(encoder, snr_db, chosen.machines, Path(scratch) / "plant")
    spent = [row.cpu_s for row in rows]
    text = (
        "# Explanations of faults whose time and band are known\n\n"
        f"Encoder {encoder.manifest.name} ({encoder.manifest.sha256[:12]}). "
        f"`python -m benchmarks.explanations`; what is measured: its docstring.\n\n{table(rows)}\n\n"
        f"One explanation of a 10 s clip takes {np.median(spent):.2f} s of processor time (median; at most "
        f"{max(spent):.2f} s), on one thread. Marking all has the IoU of the fault's share of the clip; the top band "
        "inside by chance is the mean share of the mel scale that the true band takes. True bands hold the middle 90 % "
        "of the energy that the fault changed, masked by the machine or not, so that what is named is often narrower.\n"
    )
    (HERE / "RESULTS.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
