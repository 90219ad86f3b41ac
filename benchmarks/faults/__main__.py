"""Causes faults and writes RESULTS.md: `python -m benchmarks.faults [NAME …] [--rounds N]`; `--list` names them.

Here: which faults there are. Not here: what they are (`answers`, `asking`), the table (`fault`).
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime

from benchmarks.faults import answers, asking, replicas, retraining, wording
from benchmarks.faults.fault import RESULTS, Fault, note

FAULTS: dict[str, Fault] = {
    **answers.FAULTS,
    **retraining.FAULTS,
    **replicas.FAULTS,
    **asking.FAULTS,
    **wording.FAULTS,
}


def main() -> int:
    """Cause the faults that are named, or all; return 1 when one did what it must not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description="Cause faults, count the losses.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which faults; all when left out")
    parser.add_argument("--rounds", type=int, help="instead of the full count")
    parser.add_argument("--list", action="store_true", help="name them all")
    options = parser.parse_args()
    if options.list:
        for name, fault in FAULTS.items():
            print(f"{name:20} {fault.rounds:4} rounds: {fault.what}")
        return 0
    unknown = [name for name in options.names if name not in FAULTS]
    if unknown:
        print(f"There is no fault called {', '.join(unknown)}. Faults: {', '.join(FAULTS)}.", file=sys.stderr)
        return 2
    failed = []
    for name in options.names or FAULTS:
        fault = FAULTS[name]
        begun = time.monotonic()
        outcome = fault.run(options.rounds or fault.rounds)
        seconds = time.monotonic() - begun
        figures = "; ".join(f"{value} {words}" for words, value in outcome.figures.items())
        print(f"{'passed' if outcome.passed else 'FAILED'}  {name}: {outcome.rounds} rounds, {figures}", flush=True)
        note(name, fault, outcome, seconds, f"{datetime.now(UTC):%Y-%m-%d}")
        if not outcome.passed:
            failed.append(name)
    print(f"Written to {RESULTS}.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
