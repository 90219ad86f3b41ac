"""Each fault around retraining once; the full counts are `make faults`."""

from __future__ import annotations

import shutil

import pytest

from benchmarks.faults.retraining import FAULTS
from tests.serve import postgres

ROUNDS = {"corrupt-model": 5, "swaps": 12}


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_happens_that_must_not(name: str) -> None:
    if name == "database-away-retrain" and postgres.binaries() is None and shutil.which("initdb") is None:
        pytest.skip(postgres.HOW)
    outcome = FAULTS[name].run(ROUNDS.get(name, 1))
    assert outcome.passed, dict(outcome.figures)
