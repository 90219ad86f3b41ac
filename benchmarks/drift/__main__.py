"""`python -m benchmarks.drift [DATA]`: is drift found, is it imagined, how long does it take? Writes `RESULTS.md`.

Here: what is measured, and the table. Not here: the decision (`monitoring.drift`), the clips (`sets`), the workspace's
memory (`snapshots`).
"""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ["DO_NOT_TRACK"] = "1"  # before evidently is imported

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from audio_pipeline.encoder import DEFAULT_ENCODER, Encoder
from audio_pipeline.intervals import share_interval
from audio_pipeline.reference import Reference, read_reference, write_reference
from benchmarks.drift.sets import NONE, KnownSet, load, sample
from benchmarks.drift.snapshots import CLIPS, DIMENSIONS, MACHINES
from monitoring.cause import SpectrumColumns
from monitoring.drift import Finding, Rule, judge
from monitoring.reports import METHODS
from monitoring.sample import Sample

LOOKS, A_LOOK, SEQUENCES = 20, 5, 200
FOUND_EVERY, FOUND_WITHIN, REPEATS = 5, 100, 10
COMPARED, METHOD_DRAWS = 60, 5
SNAPSHOTS = 500


def looks(
    reference: Sample, production: Sample, columns: SpectrumColumns | None, counts: Sequence[int]
) -> Iterator[tuple[int, Finding]]:
    """Look once there are so many clips, and again."""
    for count in counts:
        yield count, judge(reference, production.select(np.arange(count)), Rule(), columns, seed=count).overall


def false_alarms(sets: dict[str, KnownSet]) -> list[str]:
    """No-drift sequences of many looks; every look is judged once and held against three rules."""
    rule = Rule()
    lines = [
        f"## False alarms: {SEQUENCES} sequences of {LOOKS} looks, nothing has changed",
        "",
        f"The first look at 20 clips (flights: 36, to have 8 of them), then {A_LOOK} new ones a look, or fewer where "
        "there are no more. Share of the sequences with at least one alarm, and its 95 % interval. "
        "Target: at most 5 %.",
        "",
        "| set | reference | clips of production | as shipped (5 % in 720 looks) | 5 % spent on the 20 looks, no least "
        "effect | no correction, no least effect |",
        "|---|---|---|---|---|---|",
    ]
    for name, known in sets.items():
        alarms = {"shipped": 0, "spent": 0, "uncorrected": 0}
        most = 0
        for number in range(SEQUENCES):
            reference, production = known.sequence(NONE, np.random.default_rng(number))
            first = 20 if len(np.unique(known.recordings)) == len(known.recordings) else 36
            most = min(len(production), first + (LOOKS - 1) * A_LOOK)
            counts = np.linspace(first, most, LOOKS).astype(int).tolist()
            assert len(set(counts)) == LOOKS
            found = [finding for _, finding in looks(reference, production, None, counts)]
            p_values = [finding.p_value for finding in found if finding.p_value is not None]
            alarms["shipped"] += any(finding.status == "drift" for finding in found)
            alarms["spent"] += any(p <= rule.budget / LOOKS for p in p_values)
            alarms["uncorrected"] += any(p <= rule.budget for p in p_values)
        told = " | ".join(with_interval(count, SEQUENCES) for count in alarms.values())
        lines.append(f"| {name} | {known.references} | {most} | {told} |")
        print(lines[-1], flush=True)
    return [*lines, ""]


def with_interval(count: int, of: int) -> str:
    """Say a share in percent with its interval."""
    low, high = share_interval(count, of) or (0.0, 1.0)
    return f"{100 * count / of:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def shifts(sets: dict[str, KnownSet], columns: SpectrumColumns | None) -> list[str]:
    """Clips until each known shift is found."""
    lines = [
        f"## Clips until a shift is called drift, looking every {FOUND_EVERY}, at most {FOUND_WITHIN} "
        f"({REPEATS} draws)",
        "",
        "`called`: what it was said to be in those draws. Looks begin at 20 clips of 8 recordings.",
        "",
        "| set | shift | found | median clips | most | called |",
        "|---|---|---|---|---|---|",
    ]
    for name, known in sets.items():
        for shift in known.shifts:
            counts: list[int] = []
            causes: list[str] = []
            for number in range(REPEATS):
                reference, production = known.sequence(shift, np.random.default_rng(number))
                after = range(FOUND_EVERY, min(FOUND_WITHIN, len(production)) + 1, FOUND_EVERY)
                for count, found in looks(reference, production, columns, after):
                    if found.status == "drift":
                        counts.append(count)
                        causes.append(str(found.cause))
                        break
            called = ", ".join(f"{cause} {causes.count(cause)}" for cause in sorted(set(causes)))
            middle, most = (f"{np.median(counts):.0f}", str(max(counts))) if counts else ("–", "–")
            lines.append(f"| {name} | {shift} | {len(counts)} of {REPEATS} | {middle} | {most} | {called} |")
            print(lines[-1], flush=True)
    return [*lines, ""]


def methods(sets: dict[str, KnownSet]) -> list[str]:
    """Evidently's methods for embeddings and ours, one look on the same clips."""
    names = {"mmd": "Evidently: mean discrepancy", "model": "Evidently: classifier", "ratio": "Evidently: components"}
    lines = [
        f"## Methods compared on known drift: one look at {COMPARED} clips, {METHOD_DRAWS} draws",
        "",
        "How often each calls drift, and the median of its figure: Evidently's three methods at their own settings "
        "(discrepancy > 0.015; AUC of a classifier > 0.55; more than 0.2 of the components drifted), and ours as "
        "shipped. The lines *none* are false alarms.",
        "",
        f"| set | shift | {' | '.join(names[name] for name in METHODS)} | ours |",
        "|---|---|" + "---|" * (len(METHODS) + 1),
    ]
    for name, known in sets.items():
        for shift in [NONE, *known.shifts]:
            called = dict.fromkeys([*METHODS, "ours"], 0)
            figures: dict[str, list[float]] = {method: [] for method in called}
            for number in range(METHOD_DRAWS):
                reference, production = known.sequence(shift, np.random.default_rng(number))
                production = production.select(np.arange(min(COMPARED, len(production))))
                for method, make in METHODS.items():
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        # It writes a column into what it is given.
                        sides = [pd.DataFrame(side.vectors) for side in (production, reference)]
                        figure, drifted, _ = make()(*sides)
                    called[method] += bool(drifted)
                    figures[method].append(float(figure))
                found = judge(reference, production, Rule(), None).overall
                called["ours"] += found.status == "drift"
                figures["ours"].append(found.effect or math.nan)
            told = " | ".join(f"{called[method]} ({np.median(figures[method]):.2g})" for method in called)
            lines.append(f"| {name} | {shift} | {told} |")
            print(lines[-1], flush=True)
    return [*lines, ""]


def speed() -> list[str]:
    """Ten thousand vectors of 768 columns: every one compared, and as shipped."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(20_000, 768))
    ours, new = (
        sample(part, np.arange(10_000), name) for part, name in ((vectors[:10_000], "r"), (vectors[10_000:], "p"))
    )
    every = Rule(newest=10_000, most_reference=10_000, most_compared=20_000)
    lines = [
        "## Speed: 10 000 vectors of 768 columns against 10 000",
        "",
        "| compared | nothing has changed | shifted by 0.1 of each column's deviation |",
        "|---|---|---|",
    ]
    for words, rule in (
        ("every clip (`WHEELTAPPER_MONITORING_CLIPS=10000`)", every),
        ("as shipped: the newest 100 with 200 of the reference", Rule()),
    ):
        told = []
        for change in (0.0, 0.1):
            moved = Sample(new.vectors + np.float32(change), new.clips, new.machines, new.recordings)
            begun, work = time.perf_counter(), time.process_time()
            found = judge(ours, moved, rule).overall
            begun, work = time.perf_counter() - begun, time.process_time() - work
            told.append(f"{begun:.1f} s ({work:.1f} s of processor time), p = {found.p_value:.1g}")
        lines.append(f"| {words} | {' | '.join(told)} |")
        print(lines[-1], flush=True)
    return [
        *lines,
        "",
        f"Reading such a `ref_data.csv`, verified: {reading_s():.1f} s of processor time. One thread.",
        "",
    ]


def reading_s() -> float:
    """Processor time to read a reference of 10 000 rows of 768 columns."""
    rng, rows = np.random.default_rng(0), 10_000
    names, nothing = np.arange(rows).astype(str), np.full(rows, "")
    reference = Reference(
        vectors=rng.normal(size=(rows, 768)).astype(np.float32),
        targets=np.zeros(rows, bool),
        clips=names,
        paths=names,
        machines=nothing,
        domains=nothing,
        splits=nothing,
        groups=names,
        starts_s=np.zeros(rows),
        ends_s=np.full(rows, 10.0),
        levels_db=np.zeros(rows),
        encoder_name="none",
        encoder_sha256="0" * 64,
    )
    with tempfile.TemporaryDirectory() as folder:
        write_reference(Path(folder), reference)
        begun = time.process_time()
        read_reference(Path(folder))
        return time.process_time() - begun


def snapshots() -> list[str]:
    """Memory while looks go on for longer than snapshots are kept, in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        count = 5 * SNAPSHOTS // 16  # of four snapshots each: a quarter more than are kept
        call = [sys.executable, "-m", "benchmarks.drift.snapshots", folder, str(SNAPSHOTS), str(count), str(port)]
        said = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    ui = found["ui"]
    lines = [
        f"## Memory: {found['lines'][-1][0]} snapshots, of which {SNAPSHOTS} are kept",
        "",
        f"{CLIPS} clips of {DIMENSIONS} columns a look, {MACHINES} machines; {found['look_s']:.1f} s a look.",
        "",
        "| snapshots made | kept | monitor, resident MiB | workspace on disk, MiB |",
        "|---|---|---|---|",
        *(f"| {made} | {kept} | {memory} | {disk} |" for made, kept, memory, disk in found["lines"]),
        "",
        f"Evidently's pages with all of them: {ui['before_mib']:.0f} MiB at the start, {ui['after_mib']:.0f} MiB after "
        f"the dashboard was read, in {ui['first_s']:.1f} s the first time and {ui['again_s']:.1f} s later.",
        "",
    ]
    print("\n".join(lines), flush=True)
    return lines


PARTS = ("shifts", "alarms", "methods", "speed", "snapshots")


def measure(part: str, encoder: Encoder, sets: dict[str, KnownSet]) -> list[str]:
    """Measure one part."""
    columns = SpectrumColumns.of({name: group.model_dump() for name, group in encoder.manifest.groups.items()})
    with threadpool_limits(1):
        return {
            "shifts": lambda: shifts(sets, columns),
            "alarms": lambda: false_alarms(sets),
            "methods": lambda: methods(sets),
            "speed": speed,
            "snapshots": snapshots,
        }[part]()


def written(kept: dict[str, Any]) -> str:
    """Put the parts together, in Markdown."""
    lines = [
        "# Drift: measured",
        "",
        "Written by `python -m benchmarks.drift [DATA] [PART …]` (parts: "
        f"{', '.join(PARTS)}; all when none is named; `results.json` keeps them). Sets and shifts are described in "
        "[sets.py](sets.py), the decision in [monitoring/drift.py](../../monitoring/drift.py).",
        "",
    ]
    for part in PARTS:
        if part in kept:
            lines += [*kept[part]["lines"], f"*{kept[part]['about']}*", ""]
        else:
            lines += [f"`{part}`: not measured yet.", ""]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Measure and write the table."""
    named = [argument for argument in sys.argv[1:] if argument in PARTS]
    others = [argument for argument in sys.argv[1:] if argument not in PARTS]
    data = Path(others[0] if others else "../shared/data")
    encoder = Encoder.load(DEFAULT_ENCODER)
    results = Path(__file__).with_name("results.json")
    kept: dict[str, Any] = json.loads(results.read_text()) if results.exists() else {}
    parts = named or list(PARTS)
    sets = load(data, encoder) if {"shifts", "alarms", "methods"} & set(parts) else {}
    for part in parts:
        load_before = os.getloadavg()[0]
        lines = measure(part, encoder, sets)
        about = (
            f"{datetime.now(UTC):%Y-%m-%d}, encoder {encoder.manifest.name}, load average before {load_before:.1f} on "
            f"{os.cpu_count()} processors"
        )
        kept[part] = {"lines": lines, "about": about}
        results.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
        Path(__file__).with_name("RESULTS.md").write_text(written(kept))
    print(f"Written to {Path(__file__).with_name('RESULTS.md')}.")


if __name__ == "__main__":
    main()
