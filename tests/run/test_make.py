"""The developer's verbs, as `make` understands them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed: apt install make")
def test_a_benchmark_is_run_by_its_name_with_its_own_arguments() -> None:
    names = {path.parent.name for path in (ROOT / "benchmarks").glob("*/__main__.py")}
    assert "detection" in names
    for name in names - {"faults"}:
        # Started by `make test` itself, make would say which directory it enters and leaves.
        call = ["make", "--no-print-directory", "--dry-run", "bench", f"NAME={name}", "ARGS=DATA --seeds 1"]
        said = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        # Each asks for other data: one command for all of them could not be given what each wants.
        assert said.splitlines()[-1].endswith(f"-m benchmarks.{name} DATA --seeds 1")
