"""Evidently's pages in a process of their own, started before anything was looked at: as in containers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx


def test_pages_that_start_first_know_the_project(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WHEELTAPPER_")}
    environment |= {"WHEELTAPPER_MONITORING_WORKSPACE": str(tmp_path), "WHEELTAPPER_MONITORING_PORT": str(port)}
    code = "from wheeltapper.cli import main; raise SystemExit(main())"
    with (tmp_path / "pages.log").open("wb") as log:
        pages = subprocess.Popen(
            [sys.executable, "-c", code, "monitor", "--ui-only"], env=environment, stdout=log, stderr=log, cwd=tmp_path
        )
    try:
        while True:
            assert pages.poll() is None, (tmp_path / "pages.log").read_text()
            try:
                known = httpx.get(f"http://127.0.0.1:{port}/api/projects", trust_env=False, timeout=30).json()
                break
            except httpx.TransportError:
                time.sleep(0.2)
        assert [project["name"] for project in known] == ["Wheeltapper"]
    finally:
        pages.terminate()
        pages.wait(60)
