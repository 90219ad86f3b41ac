"""Measures the portal in a real browser and writes RESULTS.md: `python -m benchmarks.portal`.

With the service and the demo model behind it, headless Chromium on the same processors: how long until the first page
can be used (a browser that was never here, and one that was), how long from the click on Predict until the verdict of a
10 s clip is on the screen and how much of that the service takes, and the memory of the portal over 200 uploads in one
visit, in batches of 20.

Here: the whole benchmark. Not here: clips and the service (`benchmarks.serving.load`).
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import streamlit
from playwright.sync_api import sync_playwright

from audio_pipeline.processors import available_processors
from benchmarks.serving.load import Server, flac_clips, form, recordings, send, server
from wheeltapper.demo import prepare

RESULTS = Path(__file__).with_name("RESULTS.md")
BATCH = 20
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_UPLOADER = '[data-testid="stFileUploader"] input[type="file"]'


@contextmanager
def portal(service: Server) -> Iterator[Server]:
    """Run the portal as a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "WHEELTAPPER_PORTAL_PORT": str(port),
        "WHEELTAPPER_SERVE_URL": f"http://127.0.0.1:{service.port}",
    }
    code = "import sys; from wheeltapper.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "portal"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while process.poll() is None:
            with (
                suppress(OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2) as answer,
            ):
                if answer.status == 200:
                    break
            time.sleep(0.1)
        yield Server(port, process.pid)
    finally:
        process.terminate()
        process.wait(30)


def opened(browser: Any, address: str, rounds: int) -> tuple[list[float], list[float]]:  # noqa: ANN401
    """Time until the uploader is there: in a browser that was never here, then when the same one comes again."""
    first: list[float] = []
    again: list[float] = []
    for _ in range(rounds):
        context = browser.new_context()
        for times in (first, again):
            page = context.new_page()
            begun = time.perf_counter()
            page.goto(address, wait_until="commit")
            page.wait_for_selector(_UPLOADER, state="attached", timeout=120_000)
            times.append(time.perf_counter() - begun)
            page.close()
        context.close()
    return first, again


def judged(page: Any, clips: list[bytes], service: Server) -> tuple[list[float], list[float]]:  # noqa: ANN401
    """Time from the click on Predict until the verdict is on the screen, one clip after the other.

    With it, the processor time that portal and browser used meanwhile: on a machine that is busy otherwise, that says
    more.
    """
    times, work = [], []
    for number, clip in enumerate(clips):
        give(page, [(f"one-{number}.flac", clip)])
        page.locator("canvas[data-drawn=preview]").wait_for(timeout=120_000)
        page.wait_for_timeout(500)
        name = f"one-{number}.flac"
        used, begun = processor_s(service.pid), time.perf_counter()
        page.get_by_role("button", name="Predict").click()
        page.get_by_role("heading", name=name).wait_for(timeout=120_000)
        page.locator('[data-testid="verdict"]').first.wait_for(timeout=120_000)
        times.append(time.perf_counter() - begun)
        work.append(processor_s(service.pid) - used)
        settle(page)
    return times, work


def processor_s(without: int) -> float:
    """Give the processor time that this process' descendants have used so far, without those of one of them."""
    ticks: dict[int, tuple[int, int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            ticks[int(stat.parent.name)] = (int(fields[1]), int(fields[11]) + int(fields[12]))

    def line(pid: int) -> list[int]:
        return [pid, *line(ticks[pid][0])] if pid in ticks else [pid]

    ours = [pid for pid in ticks if os.getpid() in line(pid)[1:] and without not in line(pid)]
    return sum(ticks[pid][1] for pid in ours) / os.sysconf("SC_CLK_TCK")


def give(page: Any, files: list[tuple[str, bytes]]) -> None:  # noqa: ANN401
    """Put files into the uploader."""
    payload = [{"name": name, "mimeType": "audio/flac", "buffer": data} for name, data in files]
    page.set_input_files(_UPLOADER, payload)


def settle(page: Any) -> None:  # noqa: ANN401
    """Wait until the page has been drawn."""
    page.wait_for_timeout(300)
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=120_000)


def long_visit(page: Any, running: Server, uploads: int) -> list[tuple[int, float]]:  # noqa: ANN401
    """Upload and judge many clips in one visit; the portal's resident memory after each batch."""
    sound = recordings()
    memory = [(0, running.resident_mib())]
    for first in range(0, uploads, BATCH):
        clips = flac_clips(sound, 50_000 + first, BATCH)
        give(page, [(f"upload-{first + i}.flac", clip) for i, clip in enumerate(clips)])
        predict = page.get_by_role("button", name=f"Predict {BATCH} clips")
        predict.click(timeout=120_000)
        predict.wait_for(state="detached", timeout=300_000)  # all are judged, and the uploader is empty
        settle(page)
        memory.append((first + BATCH, running.resident_mib()))
    return memory


def report(artifacts: Path, options: argparse.Namespace) -> str:
    """Measure everything and say it in Markdown."""
    sound = recordings()
    load_before = os.getloadavg()[0]
    with server(artifacts, available_processors()) as service, portal(service) as running, sync_playwright() as driver:
        address = f"http://127.0.0.1:{running.port}"
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        opened(browser, address, 1)  # the portal's own first start, which nobody repeats
        first, again = opened(browser, address, options.rounds)
        page = browser.new_page()
        page.goto(address)
        times, work = judged(page, flac_clips(sound, 1000, options.rounds + 1), service)
        alone = send(service.port, [form(clip) for clip in flac_clips(sound, 2000, 20)], 1)
        memory = long_visit(page, running, options.uploads)
        browser.close()
    times, work = times[1:], work[1:]  # the first one loads what later ones have
    service_s = alone.percentile_ms(50) / 1000
    parts = [
        "# Portal: measured",
        "Written by `python -m benchmarks.portal`; what is measured is said in its docstring.",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {available_processors()} processors shared with the "
        f"browser and the service, load average before {load_before:.1f} (0 on a machine that does nothing else), "
        f"Python {platform.python_version()}, Streamlit {streamlit.__version__}, {options.rounds} rounds, medians.",
        "| what | seconds | target |\n|---|---:|---:|\n"
        f"| first page, browser that was never here | {median(first):.2f} | 3 |\n"
        f"| first page, browser that was here before | {median(again):.2f} | 3 |\n"
        f"| click on Predict to verdict, clip of 10 s | {median(times):.2f} | |\n"
        f"| of that, `POST /predict` asked directly | {service_s:.3f} | |\n"
        f"| of that, everything else | {median(times) - service_s:.2f} | 1 |\n"
        f"| processor time of portal and browser for it | {median(work):.2f} | |",
        f"## Memory over {options.uploads} uploads of 10 s in one visit, in batches of {BATCH}",
        "| uploads | resident MiB |\n|---:|---:|\n" + "\n".join(f"| {count} | {mib:.0f} |" for count, mib in memory),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description="Measure the portal in headless Chromium.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--uploads", type=int, default=200)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if CHROMIUM is None:
        raise SystemExit("The benchmark needs Chromium: apt install chromium")
    with tempfile.TemporaryDirectory() as folder:
        artifacts = Path(folder) / "artifacts"
        prepare(Path(folder) / "data", artifacts)
        text = report(artifacts, options)
    options.out.write_text(text)
    print(f"\n{text}\nWritten to {options.out}.")


if __name__ == "__main__":
    main()
