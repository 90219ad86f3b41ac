"""`python -m serve.retraining JOB --owner NAME`: the process that the service starts for a job.

Here: settings, priority, signals. Not here: the job (`job`).
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import uuid
from types import FrameType

from serve.database.connection import Database
from serve.retraining.job import Retrain, Stopped
from serve.settings import load_settings

NICENESS = 10
"""Clips that people wait for go first."""


def main(niceness: int = NICENESS) -> int:
    """Run the job; 0: it ended, whatever came of it, or another process has it."""
    parser = argparse.ArgumentParser(prog="serve.retraining")
    parser.add_argument("job", type=uuid.UUID)
    parser.add_argument("--owner", required=True)
    arguments = parser.parse_args()
    os.nice(niceness)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    settings = load_settings()
    database = Database(settings.database)
    try:
        status = Retrain(settings, database, arguments.owner).run(arguments.job)
        logging.getLogger("serve.retraining").info(
            "Retrain %s: %s.", arguments.job, status or "left to another process"
        )
    except Stopped:
        return 1
    finally:
        database.close()
    return 0


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise Stopped


if __name__ == "__main__":
    raise SystemExit(main())
