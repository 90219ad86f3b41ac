"""A real load balancer of the tests' own, in front of services on this machine.

It asks each service whether it is ready and sends to those that are, as Kubernetes does.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

HOW = "Tests of draining behind a load balancer SKIPPED: no haproxy here. Get it with: apt-get install haproxy"
# Debian's package puts it where only root's path looks.
PROGRAM = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")

_CONFIGURATION = """
defaults
    mode http
    timeout connect 5s
    timeout client 120s
    timeout server 120s
    option http-keep-alive
frontend one_address
    bind 127.0.0.1:{port}
    default_backend services
backend services
    option httpchk GET /health/ready
    http-check send hdr Host 127.0.0.1
    default-server check inter 200ms fall 1 rise 1
    {servers}
"""


@contextmanager
def balancing(port: int, services: Sequence[int], folder: Path) -> Iterator[str]:
    """One address for the services on these ports, in turn."""
    assert PROGRAM is not None
    servers = "\n    ".join(f"server s{number} 127.0.0.1:{number}" for number in services)
    configuration = folder / "haproxy.cfg"
    configuration.write_text(_CONFIGURATION.format(port=port, servers=servers))
    with (folder / "haproxy.log").open("wb") as log:
        started = subprocess.Popen([PROGRAM, "-db", "-f", configuration], stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                if httpx.get(f"{address}/health/live", trust_env=False).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            assert started.poll() is None, (folder / "haproxy.log").read_text()
            time.sleep(0.05)
        yield address
    finally:
        started.terminate()
        started.wait(10)
