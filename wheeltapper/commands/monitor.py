"""`wheeltapper monitor`: look at quality and drift, once or every so often, with Evidently's pages beside it.

Here: the options and what is printed. Not here: the look (`monitoring.look`).
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audio_pipeline.errors import SettingsError
from wheeltapper import extras
from wheeltapper.options import AsJson, print_json

if TYPE_CHECKING:
    from monitoring.look import Look

app = typer.Typer(add_completion=False)

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_FIRST_LOOK_S = 30.0  # after the start of `--ui`: the machine has other parts to start


@app.command()
def monitor(
    every: Annotated[
        str, typer.Option(help="Look again and again: 15m, 1h, 1d. Left out: once, or every hour with --ui.")
    ] = "",
    ui: Annotated[bool, typer.Option("--ui", help="Show Evidently's dashboard, on port 8082.")] = False,
    ui_only: Annotated[
        bool, typer.Option("--ui-only", help="Show the dashboard alone: another process looks, into the same folder.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look at the quality of the answered predictions, and whether production still sounds like the reference.

    Figures go to the service (and from there to Prometheus), reports to Evidently's workspace (data/evidently).
    A drift that counts, or a fall of the confirmed quality, asks for a retraining, once.
    """
    if extras.missing("monitoring"):
        raise SettingsError("Monitoring is not installed: pip install -c requirements.lock -e '.[monitoring]'")
    os.environ["DO_NOT_TRACK"] = "1"  # Evidently reports its use to its makers otherwise; before it is imported
    from monitoring.look import keep_looking, look
    from monitoring.project import MonitoringProject
    from monitoring.service import Service
    from monitoring.settings import load_settings

    settings = load_settings()
    seconds = parse_interval(every) if every else settings.monitoring_every_s
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    project = MonitoringProject(settings.workspace, settings.monitoring_snapshots)
    if ui_only:  # Evidently's server knows the projects that were there when it started: there is one now
        command = ui_command(settings.workspace, settings.monitoring_host, settings.monitoring_port)
        os.execv(command[0], command)
    key = settings.api_key.get_secret_value() if settings.api_key else None

    def tell(found: Look) -> None:
        if as_json:
            print_json(found.result)
        else:
            typer.echo(in_words(found))

    with Service(settings.service, key) as service:
        if not every and not ui:
            tell(look(service, project, settings))
            return
        pages = start_ui(settings.workspace, settings.monitoring_host, settings.monitoring_port) if ui else None
        try:
            keep_looking(service, project, settings, seconds, tell, _FIRST_LOOK_S if ui else 0.0)
        finally:
            if pages is not None:
                pages.terminate()
                pages.wait()


def ui_command(workspace: Path, host: str, port: int) -> tuple[str, ...]:
    """Return how Evidently's own server is started."""
    program = Path(sys.executable).with_name("evidently")
    return (str(program), "ui", "--host", host, "--port", str(port), "--workspace", str(workspace))


def start_ui(workspace: Path, host: str, port: int) -> subprocess.Popen[bytes]:
    """Start Evidently's own server."""
    return subprocess.Popen(ui_command(workspace, host, port))


def parse_interval(text: str) -> float:
    """Read `15m` as seconds.

    Raises
    ------
    SettingsError
        It is no such thing.

    Examples
    --------
    >>> parse_interval("15m"), parse_interval("1.5h")
    (900.0, 5400.0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if found is None or float(found[1]) <= 0:
        raise SettingsError(f"'{text}' is no interval: write 30s, 15m, 1h or 1d.")
    return float(found[1]) * _UNITS[found[2]]


def in_words(found: Look) -> str:
    """Say what a look found."""
    result = found.result
    quality = result["quality"]
    lines = [f"{result['rows']} recent predictions, {quality['rows'] if quality else 0} answered in all."]
    if quality:
        names = {"f1": "F1", "balanced_accuracy": "balanced accuracy", "recall": "recall", "precision": "precision"}
        told = (f"{words} {_figure(quality[name])}" for name, words in names.items())
        lines.append(f"Of the answered: {', '.join(told)}.")
    lines.append(f"Drift: {result['drift']['message']}")
    lines += [f"  {finding['message']}" for finding in result["machines"].values()]
    lines.append(f"Scores: {result['score_drift']['message']}")
    if result["retrain_job"]:
        lines.append(f"Asked for a retraining: job {result['retrain_job']}.")
    lines.append(f"See {found.report}")
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
