"""The portal as people meet it: a real service with the demo model, a real Streamlit, a real browser."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from audio_pipeline.encoder import DEFAULT_ENCODER
from tests.portal.answers import Answers, answering
from tests.portal.browsing import CHROMIUM, HOW, Visit
from tests.serve.clips import KEY
from tests.serve.server import process
from wheeltapper import demo

TOKEN = "the token that n8n is known by"
CLIPS = demo.DEMO / "clips"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RealService:
    """`wheeltapper serve` with the demo model; it can be killed and started again where it was."""

    def __init__(self, folder: Path, n8n: str) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(
            base_url=self.address, headers={"Authorization": f"Bearer {KEY}"}, timeout=30, trust_env=False
        )
        self._folder, self._n8n = folder, n8n
        self._stack = contextlib.ExitStack()
        shutil.copytree(DEFAULT_ENCODER, folder / "artifacts" / "encoders" / DEFAULT_ENCODER.name)
        with contextlib.chdir(folder):  # where the service runs: the reference remembers its clips from there
            demo.prepare(folder / "data", folder / "artifacts")
        self.start()

    def start(self) -> None:
        self.process = self._stack.enter_context(
            process(
                self.port,
                self._folder,
                self._folder / "artifacts",
                WHEELTAPPER_API_KEY=KEY,
                WHEELTAPPER_N8N_URL=self._n8n,
                WHEELTAPPER_WEBHOOK_TOKEN=TOKEN,
                WHEELTAPPER_OPERATOR_NAME="Ada",
                WHEELTAPPER_AUDIT_SHARE="0",
            )
        )

    def kill(self) -> None:
        self.process.kill()
        self._stack.close()

    def stop(self) -> None:
        self._stack.close()
        self.http.close()


@pytest.fixture(scope="session")
def n8n() -> Iterator[Answers]:
    """What stands in for n8n's webhook: it takes whatever it is sent and remembers it."""
    with answering() as server:
        yield server


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, n8n: Answers) -> Iterator[RealService]:
    running = RealService(tmp_path_factory.mktemp("portal-service"), n8n.address)
    yield running
    running.stop()


@contextlib.contextmanager
def portal_at(folder: Path, service: RealService, **different: str) -> Iterator[str]:
    """`wheeltapper portal`, ready; its address."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WHEELTAPPER_")}
    environment |= {
        "WHEELTAPPER_PORTAL_PORT": str(port),
        "WHEELTAPPER_SERVE_URL": service.address,
        "WHEELTAPPER_API_KEY": KEY,
        "WHEELTAPPER_DEMO_CLIPS": str(CLIPS),
        **different,
    }
    with (folder / "portal.log").open("wb") as log:
        started = subprocess.Popen(
            [sys.executable, "-c", "from wheeltapper.cli import main; raise SystemExit(main())", "portal"],
            stdout=log, stderr=log, cwd=folder, env=environment,
        )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(1200):
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{address}/_stcore/health", trust_env=False).status_code == 200:
                    break
            assert started.poll() is None, (folder / "portal.log").read_text()
            time.sleep(0.05)
        yield address
    finally:
        started.terminate()
        started.wait(20)
    log_text = (folder / "portal.log").read_text()
    assert "Traceback" not in log_text, log_text


@pytest.fixture(scope="session")
def portal(tmp_path_factory: pytest.TempPathFactory, service: RealService) -> Iterator[str]:
    """The portal on this machine, for this machine; its address."""
    with portal_at(tmp_path_factory.mktemp("portal"), service) as address:
        yield address


@pytest.fixture(scope="module")  # Playwright's event loop is this thread's: no test of another module must meet it
def chromium() -> Iterator[object]:
    if not CHROMIUM:
        warnings.warn(HOW, stacklevel=1)
        pytest.skip(HOW)
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make test installs it")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
                "--disable-component-update", "--disable-sync",
                # A microphone that beeps, and nobody to ask for leave to hear it.
                "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
            ],
        )  # fmt: skip
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: object, portal: str, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """A visitor with a browser of their own; what is requested elsewhere than on this machine fails the test."""
    opened = Visit(chromium, portal, **getattr(request, "param", {}))
    failures = request.session.testsfailed
    yield opened
    if request.session.testsfailed > failures:
        opened.shot(f"failed-{request.node.name}", full=False)
    opened.close()
    assert opened.strangers == []
