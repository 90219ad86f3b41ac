"""What a fault is, and what is written down about it.

Here: the shapes and the table. Not here: the faults themselves, a module a part of the system.

A module of faults has a dictionary `FAULTS`: name → `Fault`. Its `run(rounds)` causes the fault so many times and
returns an `Outcome`; the same function runs once in `make test`.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
RESULTS, RECORD = FOLDER / "RESULTS.md", FOLDER / "results.json"


@dataclass(frozen=True)
class Outcome:
    """What a fault did, over all its rounds.

    Attributes
    ----------
    passed
        Nothing happened that must not.
    rounds
        How often it was caused.
    figures
        What was counted, in words → number.
    """

    passed: bool
    rounds: int
    figures: Mapping[str, int | float | str]


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes
    ----------
    what
        A sentence: what is done, and what must not happen.
    rounds
        The full count.
    run
        Causes it so many times.
    """

    what: str
    rounds: int
    run: Callable[[int], Outcome]


def note(name: str, fault: Fault, outcome: Outcome, seconds: float, day: str) -> None:
    """Write an outcome down beside those of the other faults, and the table of them all."""
    record: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    record[name] = {
        **asdict(outcome),
        "figures": dict(outcome.figures),
        "what": fault.what,
        "seconds": round(seconds),
        "day": day,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }
    RECORD.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
    RESULTS.write_text(table(record))


def table(record: Mapping[str, Mapping[str, Any]]) -> str:
    """Render what is written down as Markdown."""
    lines = [
        "# Faults: what was lost",
        "Written by `make faults` (`python -m benchmarks.faults`, with names for some of them). Every fault is caused "
        "for real: processes are killed with SIGKILL, files cut or spoilt, writes refused by the system.",
        "| fault | rounds | outcome | figures | run |\n|---|---:|---|---|---|\n"
        + "\n".join(
            f"| **{name}**: {entry['what']} | {entry['rounds']} | {'passed' if entry['passed'] else '**FAILED**'} | "
            + "; ".join(f"{value} {words}" for words, value in entry["figures"].items())
            + f" | {entry['day']}, {entry['seconds']} s |"
            for name, entry in sorted(record.items())
        ),
    ]
    return "\n\n".join(lines) + "\n"
