"""The real stack of compose.yaml, started, asked, killed and taken down.

Here: docker-compose as a person would call it, under a project name and on ports of its own. Not here: what is expected
of it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from wheeltapper.parts import free_ports

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "wheeltapper-test"
# Images that only a registry has: their part of compose.yaml is checked, and not started where there is none.
ONLY_FROM_A_REGISTRY = ("grafana", "ollama")
_PORTS = {
    "serve": "WHEELTAPPER_PORT",
    "portal": "WHEELTAPPER_PORTAL_PORT",
    "mail": "WHEELTAPPER_MAIL_PORT",
    "n8n": "WHEELTAPPER_N8N_PORT",
    "evidently": "WHEELTAPPER_MONITORING_PORT",
    "prometheus": "PROMETHEUS_PORT",
}


def docker(*arguments: str) -> str:
    """Call docker; what it printed."""
    called = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if called.returncode:
        raise AssertionError(f"docker {' '.join(arguments)}\n{called.stdout[-2000:]}\n{called.stderr[-4000:]}")
    return called.stdout.strip()


@dataclass(frozen=True)
class Stack:
    """A project of docker-compose.

    Attributes
    ----------
    folder
        A copy of the tree with its own secrets.
    environment
        The stack's `.env`, as variables, with what engine.sh told.
    """

    folder: Path
    environment: dict[str, str]

    def run(self, *arguments: str, within_s: float = 600) -> str:
        """Call docker-compose; what it printed, and an error that holds it."""
        called = subprocess.run(
            [self.environment["DOCKER_COMPOSE"], "--project-name", PROJECT, "--profile", "metrics", *arguments],
            cwd=self.folder,
            env={**os.environ, **self.environment, "DOCKER_BUILDKIT": "1"},
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        if called.returncode:
            raise AssertionError(
                f"docker-compose {' '.join(arguments)}\n{called.stdout[-4000:]}\n{called.stderr[-8000:]}"
            )
        return called.stdout

    def shell(self, commands: str) -> None:
        """Run lines of the documentation, which begin with `docker compose`, for this project."""
        compose = f'docker() {{ shift; "$DOCKER_COMPOSE" --project-name {PROJECT} "$@"; }}'
        called = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{compose}\n{commands}"],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert called.returncode == 0, f"{commands}\n{called.stdout[-4000:]}\n{called.stderr[-4000:]}"

    def inside(self, service: str, *command: str) -> str:
        """Run a command in a service's container; what it printed."""
        return self.run("exec", "-T", service, *command)

    def container(self, service: str) -> str:
        """The id of a service's container."""
        return self.run("ps", "--all", "--quiet", service).strip()

    def states(self) -> dict[str, str]:
        """Service → `healthy`, or its container's state where it has no health check."""
        lines = self.run("ps", "--all", "--format", "json").splitlines()
        rows: list[dict[str, Any]] = [json.loads(line) for line in lines if line]
        return {row["Service"]: row["Health"] or row["State"] for row in rows}

    def wait(self, *services: str, within_s: float = 300) -> float:
        """Wait until services are healthy (or run, without a check); the seconds it took."""
        begun = time.monotonic()
        while True:
            states = self.states()
            if all(states.get(service) in ("healthy", "running") for service in services):
                return time.monotonic() - begun
            if time.monotonic() - begun > within_s:
                unhealthy = [name for name in services if states.get(name) not in ("healthy", "running")]
                logs = self.run("logs", "--no-color", "--tail", "40", *unhealthy)
                raise AssertionError(f"not healthy within {within_s:.0f} s: {states}\n{logs[-8000:]}")
            time.sleep(1)

    def secret(self, name: str) -> str:
        """Read one of the stack's secrets."""
        return (self.folder / "secrets" / name).read_text()

    def client(self, service: str) -> httpx.Client:
        """A client of what a service has published on this machine, with the key."""
        headers = {"Authorization": f"Bearer {self.secret('WHEELTAPPER_API_KEY')}"}
        address = f"http://127.0.0.1:{self.environment[_PORTS[service]]}"
        return httpx.Client(base_url=address, headers=headers, timeout=60, trust_env=False)

    def take_down(self) -> None:
        """Remove containers, networks and volumes; stop the engine if it was started for this."""
        self.run("down", "--volumes", "--remove-orphans", "--timeout", "20")
        begun = time.monotonic()
        while left := docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}"):
            assert time.monotonic() - begun < 60, f"still there: {left}"
            time.sleep(1)
        if engine := self.environment["ENGINE"]:
            os.kill(int(engine), signal.SIGTERM)
            while Path(f"/proc/{engine}").exists():
                time.sleep(0.2)


def prepare(folder: Path) -> Stack:
    """Get an engine and base images, copy the tree, make its secrets."""
    told = subprocess.run(
        ["bash", Path(__file__).with_name("engine.sh"), ROOT / ".compose-test"],
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode:
        log = ROOT / ".compose-test" / "engine.log"
        raise AssertionError(f"No Docker engine could be had:\n{log.read_text()[-4000:]}\n{told.stderr[-2000:]}")
    environment = dict(line.split("=", 1) for line in told.stdout.splitlines())
    environment.update({name: str(port) for name, port in zip(_PORTS.values(), free_ports(len(_PORTS)), strict=True)})
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, files.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    subprocess.run(["sh", folder / "deploy" / "secrets.sh"], check=True, capture_output=True)
    return Stack(folder, environment)
