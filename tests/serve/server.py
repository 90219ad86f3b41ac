"""The service as it is run: uvicorn on a port of its own, in a thread of the test or in a process to be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn

from serve.app import create_app
from serve.settings import Settings
from tests.serve.clips import NOWHERE


@contextmanager
def serving(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a running server; `client.app` is what runs."""
    app = create_app(settings)
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, access_log=False, log_config=None, timeout_graceful_shutdown=30)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the service did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            client.app = app
            yield client
    finally:
        server.should_exit = True
        thread.join(60)
    assert not thread.is_alive()


@contextmanager
def process(port: int, folder: Path, artifacts: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """`wheeltapper serve` as a process of its own, ready to answer."""
    log = (folder / "serve.log").open("wb")
    started = subprocess.Popen(
        [sys.executable, "-c", "from wheeltapper.cli import main; raise SystemExit(main())", "serve"],
        stdout=log,
        stderr=log,
        cwd=folder,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("WHEELTAPPER_")},
            "WHEELTAPPER_PORT": str(port),
            "WHEELTAPPER_DATA": str(folder / "data"),
            "WHEELTAPPER_ARTIFACTS": str(artifacts),
            "WHEELTAPPER_N8N_URL": NOWHERE,
            "WHEELTAPPER_AUDIT_SHARE": "0",  # no question that nobody asked, now and then
            **environment,
        },
    )
    try:
        for _ in range(2400):
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health/ready", trust_env=False).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            assert started.poll() is None, (folder / "serve.log").read_text()
            time.sleep(0.05)
        else:
            raise AssertionError(f"the service did not become ready: {(folder / 'serve.log').read_text()}")
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.wait()
        log.close()
