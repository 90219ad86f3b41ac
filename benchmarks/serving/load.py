"""Clips to send, clients that send them, and the server they are sent to.

Here: the load. Not here: what is measured and written down (`__main__`).
"""

from __future__ import annotations

import base64
import itertools
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.clip import SAMPLE_RATE, read, to_flac, to_wav

_BOUNDARY = b"wheeltapper-benchmark"


def recordings() -> NDArray[np.float32]:
    """Read the demo recordings, one after the other, as float32[n]; noise with hum where there are none."""
    demo = Path(__file__).parents[2] / "data" / "demo"
    paths = sorted(demo.rglob("*.flac"))[:12]
    if paths:
        return np.concatenate([read(path).samples for path in paths])
    time_s = np.arange(60 * SAMPLE_RATE) / SAMPLE_RATE
    noise = np.random.default_rng(0).standard_normal(len(time_s))
    return np.asarray(0.05 * np.sin(2 * np.pi * 90 * time_s) + 0.02 * noise, np.float32)


def piece(sound: NDArray[np.float32], number: int, seconds: float) -> NDArray[np.float32]:
    """Cut a piece of stated length: the same for the same number, another for every other."""
    random = np.random.default_rng(number)
    length = int(seconds * SAMPLE_RATE)
    repeated = np.resize(sound, max(len(sound), length + 1))
    start = int(random.integers(0, len(repeated) - length))
    return np.asarray(repeated[start : start + length] * random.uniform(0.5, 0.99), np.float32)


def flac_clips(sound: NDArray[np.float32], first: int, count: int) -> list[bytes]:
    """Make clips of 10 s, all different, so that each is stored."""
    return [to_flac(piece(sound, number, 10.0)) for number in range(first, first + count)]


def mixed_clips(sound: NDArray[np.float32], count: int) -> Iterator[bytes]:
    """Make clips of 0.3 to 45 s, mostly short, FLAC and WAV in turn, one at a time."""
    lengths = np.random.default_rng(7).lognormal(np.log(5.0), 1.0, count).clip(0.3, 45.0)
    for number, seconds in enumerate(lengths):
        samples = piece(sound, 1_000_000 + number, float(seconds))
        yield to_flac(samples) if number % 2 else to_wav(samples)


def form(clip: bytes) -> bytes:
    """Make the whole HTTP request that `curl -F file=@clip` would send."""
    part = b'Content-Disposition: form-data; name="file"; filename="clip.flac"\r\n\r\n'
    body = b"--%b\r\n%b%b\r\n--%b--\r\n" % (_BOUNDARY, part, clip, _BOUNDARY)
    return _request(b"multipart/form-data; boundary=" + _BOUNDARY, body)


def document(clip: bytes) -> bytes:
    """Make the same request as JSON."""
    return _request(b"application/json", json.dumps({"audio_base64": base64.b64encode(clip).decode()}).encode())


def _request(content_type: bytes, body: bytes) -> bytes:
    head = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (content_type, len(body)) + body


@dataclass(frozen=True)
class Load:
    """What many requests gave.

    Attributes
    ----------
    rate
        Answers with 200 a second.
    seconds
        Time of each answer, float64[n].
    refused
        Answers other than 200.
    """

    rate: float
    seconds: NDArray[np.float64]
    refused: int

    def percentile_ms(self, share: float) -> float:
        """Give the time that `share` per cent of the answers took at most."""
        return float(np.percentile(self.seconds, share)) * 1000


def send(port: int, requests: Iterable[bytes], clients: int) -> Load:
    """Send requests from so many clients, each with one connection and one request at a time.

    Bare sockets and requests made beforehand: the clients run on the same processors as the server.
    """
    waiting, lock = iter(requests), threading.Lock()
    times: list[float] = []
    refused = itertools.count()

    def client(_: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                with lock:
                    request = next(waiting, None)
                if request is None:
                    return
                begun = time.perf_counter()
                connection.sendall(request)
                if _answer(connection) == 200:
                    times.append(time.perf_counter() - begun)
                else:
                    next(refused)

    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    elapsed = time.perf_counter() - begun
    return Load(len(times) / elapsed, np.array(times), next(refused))


def _answer(connection: socket.socket) -> int:
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        received += _some(connection)
    head = received[:end].lower()
    length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    missing = end + 4 + length - len(received)
    while missing > 0:
        missing -= len(_some(connection))
    return int(head.split(b" ", 2)[1])


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 16)
    if not data:
        raise ConnectionError("the server closed the connection")
    return data


@dataclass(frozen=True)
class Server:
    """A running `wheeltapper serve`."""

    port: int
    pid: int

    def resident_mib(self) -> float:
        """Read its resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@contextmanager
def server(artifacts: Path, workers: int) -> Iterator[Server]:
    """Run the service as a process of its own, with an empty database."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="wheeltapper-benchmark-") as data:
        code = "import sys; from wheeltapper.cli import main; sys.exit(main())"
        options = [f"--port={port}", f"--workers={workers}", f"--data={data}", f"--artifacts={artifacts}"]
        with (Path(data) / "log").open("wb") as log:
            process = subprocess.Popen([sys.executable, "-c", code, "serve", *options], stdout=log, stderr=log)
        try:
            for _ in range(600):
                if process.poll() is not None:
                    raise RuntimeError((Path(data) / "log").read_text())
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready"):
                        break
                except (urllib.error.URLError, ConnectionError):
                    time.sleep(0.1)
            yield Server(port, process.pid)
        finally:
            process.terminate()
            process.wait(60)
