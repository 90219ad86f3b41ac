"""How much memory and disk Evidently's workspace takes while looks go on: the monitor's, and the pages'.

Run as a process of its own, so that nothing else is in its memory: `python -m benchmarks.drift.snapshots FOLDER LOOKS`
prints JSON. Not here: the table (`__main__`).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

os.environ["DO_NOT_TRACK"] = "1"  # before evidently is imported

import httpx

from monitoring.project import MonitoringProject, panels
from monitoring.quality import AnsweredClips
from monitoring.reports import Stamp, answered_report, drift_report, machines_report, quality_report
from wheeltapper.commands.monitor import start_ui

DIMENSIONS, CLIPS, MACHINES = 640, 40, 4
EVERY = 25


def resident_mib(pid: int) -> float:
    """Return a process' resident memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def disk_mib(folder: Path) -> float:
    """Return what a folder's files take."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def one_look(project: MonitoringProject, number: int) -> int:
    """Draw and keep what a look does, with all its reports; return how many snapshots."""
    rng = np.random.default_rng(number)
    at = Stamp(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number), "model-0")
    reference, recent = (rng.normal(size=(CLIPS, DIMENSIONS)).astype(np.float32) for _ in range(2))
    targets, verdicts = rng.random(CLIPS) < 0.5, rng.random(CLIPS) < 0.5
    answered = AnsweredClips(recent, targets, verdicts)
    audit = {"recall": 0.5, "recall_low": 0.1, "recall_high": 0.9}
    scores, said = (rng.normal(size=CLIPS), rng.normal(size=CLIPS)), (rng.random(CLIPS) < 0.1, rng.random(CLIPS) < 0.1)
    figures = {f"machine {n}": {"balanced_accuracy": rng.random(), "precision": None} for n in range(MACHINES)}
    found = {"evidence": 0.3, "evidence_that_counts": 4.1, "effect": 0.5, "drifted_columns": 0.0}
    snapshots = [
        quality_report(answered, audit, at),
        drift_report(reference, recent, found, scores, said, at),
        machines_report(figures, {f"machine {n}": {"score": rng.random()} for n in range(MACHINES)}, at),
        answered_report(reference, answered.vectors, at),
    ]
    kept = [snapshot for snapshot in snapshots if snapshot is not None]
    project.add(kept)
    return len(kept)


@contextmanager
def pages(folder: Path, port: int) -> Iterator[tuple[str, int]]:
    """Run Evidently's server; its address and process."""
    process = start_ui(folder, "127.0.0.1", port)
    address = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(trust_env=False) as http:
            while process.poll() is None:
                try:
                    if http.get(f"{address}/api/version").status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.2)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait(30)


def shown(address: str, project_id: str) -> tuple[float, int]:
    """Ask for every panel's figures, as the dashboard does: seconds, and points in the longest line."""
    begun, points = time.perf_counter(), 0
    for panel in panels():
        wanted: list[dict[str, Any]] = [
            {"tags": m.tags, "metadata": m.metadata, "metric": m.metric, "metric_labels": m.metric_labels}
            for m in panel.values
        ]
        url = f"{address}/api/v2/snapshots/{project_id}/data_series_batch"
        answer = httpx.post(url, json={"series_filter": wanted}, timeout=600, trust_env=False)
        answer.raise_for_status()
        points = max(points, *(len(line["values"]) for line in answer.json()["series"]), 0)
    return time.perf_counter() - begun, points


def main() -> None:
    """Measure and print JSON."""
    folder, most, looks, port = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    project = MonitoringProject(folder, most_snapshots=most)
    lines, added, seconds = [], 0, 0.0
    for number in range(looks):
        begun = time.perf_counter()
        added += one_look(project, number)
        seconds += time.perf_counter() - begun
        if number == 0 or (number + 1) % EVERY == 0:
            kept = len(list(folder.glob("*/snapshots/*.json")))
            lines.append([added, kept, round(resident_mib(os.getpid())), round(disk_mib(folder), 1)])
    with pages(folder, port) as (address, pid):
        before = resident_mib(pid)
        first_s, points = shown(address, str(project.project.id))
        again_s, _ = shown(address, str(project.project.id))
        ui = {"before_mib": before, "after_mib": resident_mib(pid), "first_s": first_s, "again_s": again_s}
    print(json.dumps({"lines": lines, "look_s": seconds / looks, "points": points, "ui": ui}))


if __name__ == "__main__":
    main()
