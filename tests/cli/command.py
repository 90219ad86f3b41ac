"""The real command in a process of its own, and a small plant to run it in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple


class Answer(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def wheeltapper(*words: object, **environment: object) -> Answer:
    """Run the real command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "wheeltapper", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "200", **{key: str(value) for key, value in environment.items()}},
    )
    return Answer(done.returncode, done.stdout, done.stderr)


class Plant(NamedTuple):
    """A small plant: its recordings, its data folder, its artifacts folder, all in a temporary folder."""

    recordings: Path
    data: Path
    artifacts: Path

    @property
    def folders(self) -> dict[str, Path]:
        return {"WHEELTAPPER_DATA": self.data, "WHEELTAPPER_ARTIFACTS": self.artifacts}

    def run(self, *words: object) -> Answer:
        return wheeltapper(*words, **self.folders)
