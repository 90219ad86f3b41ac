"""`wheeltapper run`, behind `make run`: everything on this machine, from nothing to a first prediction.

Here: which parts there are, the order of a start, the key in `.env`, and the watch over what runs. Not here: processes
(`parts`), demo data and the explanation of a prediction (`demo`).

A part is a row in `parts_of`: a command, the URL that tells when it is ready, the URL that a person opens.
"""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from dotenv import dotenv_values

from audio_pipeline.errors import SettingsError, WheeltapperError
from wheeltapper import demo
from wheeltapper.parts import Part, Running, stop

if TYPE_CHECKING:
    from serve.settings import Settings

KEY = "WHEELTAPPER_API_KEY"
ENV_FILE = Path(".env")

app = typer.Typer(add_completion=False)


@app.command()
def run(
    parts: Annotated[str, typer.Option(help="Which parts to start, by name; all when left out.")] = "",
) -> None:
    """Start everything on this machine and show a first prediction; Ctrl-C stops it all.

    On the first start a key is made (.env) and a demo model trained from the shipped recordings.
    """
    from serve.settings import load_settings

    ensure_key(ENV_FILE, os.environ)
    settings = load_settings()
    chosen = choose(parts, parts_of(settings))
    if "serve" in chosen:
        refuse_taken_port(settings.host, settings.port)
        demo.prepare(settings.data_dir, settings.artifacts_dir)
    running: list[Running] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A script's background job is born deaf to Ctrl-C, and would leave the parts behind; nohup is meant as it is.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        for part in chosen.values():
            start(part, running, settings)
        if running:
            typer.echo("\nRunning. Ctrl-C stops everything.")
        watch(running)
    except KeyboardInterrupt:
        typer.echo("\nStopping ...")
    finally:
        # From here on nothing may get between us and the end of the parts.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        stop(running)
    typer.echo("Stopped.")


def parts_of(settings: Settings) -> dict[str, Part]:
    """Return every part there is, in the order of their start."""
    serve = address_of(settings)
    wheeltapper = str(Path(sys.executable).with_name("wheeltapper"))
    return {
        part.name: part
        for part in (
            Part(
                name="serve",
                command=(wheeltapper, "serve"),
                ready_url=f"{serve}/health/ready",
                url=f"{serve}/docs",
                what="every call of the service, to try in the browser",
            ),
        )
    }


def address_of(settings: Settings) -> str:
    """Return where this machine reaches the service; listening on every address includes loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    return f"http://{host}:{settings.port}"


def choose(wanted: str, parts: Mapping[str, Part]) -> dict[str, Part]:
    """Return the parts named in `wanted` (spaces or commas between), all when it is empty.

    Raises
    ------
    SettingsError
        A name is not known.
    """
    names = wanted.replace(",", " ").split()
    unknown = [name for name in names if name not in parts]
    if unknown:
        raise SettingsError(f"There is no part called {', '.join(unknown)}. Parts: {', '.join(parts)}.")
    return {name: part for name, part in parts.items() if not names or name in names}


def ensure_key(env_file: Path, environment: Mapping[str, str]) -> None:
    """Make the bearer key, once: a line in `env_file`, which only its owner can read.

    Parameters
    ----------
    env_file
        Read by every part.
    environment
        A key set there needs no file.

    Raises
    ------
    SettingsError
        The file cannot be written.
    """
    try:
        if environment.get(KEY) or (env_file.exists() and dotenv_values(env_file).get(KEY)):
            return
        descriptor = os.open(env_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a") as file:
            env_file.chmod(0o600)  # it may have been there, readable by all, without a key
            begun = "\n" if file.tell() else ""
            file.write(f"{begun}{KEY}={secrets.token_urlsafe(32)}\n")
    except OSError as e:
        raise SettingsError(f"The key cannot be kept in {env_file.resolve()} ({e.strerror}): set {KEY} instead.") from e
    typer.echo(f"Made a key for calls that change something: {KEY} in {env_file}, readable by you alone.")


def refuse_taken_port(host: str, port: int) -> None:
    """Say so before anything else when another program listens where the service will.

    Raises
    ------
    SettingsError
        The port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that only lingers from before is free
        try:
            probe.bind((host, port))
        except OSError as e:
            raise SettingsError(
                f"Port {port} on {host} cannot be used ({e.strerror}): another program listens there, perhaps an "
                f"earlier start of this one. Stop it, or choose another port: WHEELTAPPER_PORT={port + 10} make run"
            ) from e


def start(part: Part, running: list[Running], settings: Settings) -> None:
    """Start one part and say where it is once it answers; one that fails is told about and left out."""
    typer.echo(f"Starting {part.name} ...")
    try:
        started = Running(part, settings.data_dir / "logs")
        running.append(started)
        started.wait_ready()
    except WheeltapperError as failed:
        typer.echo(failed.message, err=True)
        if running and running[-1].part is part:
            stop([running.pop()])
        return
    typer.echo(f"{part.name} is ready: {part.url} ({part.what})")
    if part.name == "serve":
        greet(settings)


def greet(settings: Settings) -> None:
    """Show a newcomer what the service does, and what to try next."""
    address = address_of(settings)
    if not demo.is_demo(settings.data_dir):
        typer.echo(f"Try it:  curl -F file=@clip.wav {address}/predict")
        return
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    try:
        demo.first_prediction(address, key)
    except WheeltapperError as e:
        typer.echo(e.message, err=True)  # the service runs, and is what was asked for
        return
    clip = shlex.quote(str(demo.shown(demo.BROKEN)))
    typer.echo(f"\nTry this next:\n  curl -F file=@{clip} -F machine={demo.MACHINE} {address}/predict")
    typer.echo("and the other clips in data/demo/clips; README.md tells how to listen to machines of your own.")


def watch(running: list[Running]) -> None:
    """Return never while a part runs; tell of each that ends and let the others go on.

    Raises
    ------
    WheeltapperError
        Nothing runs any more.
    """
    while running:
        for part in [part for part in running if part.ended]:
            running.remove(part)
            typer.echo(f"\n{part.obituary()}", err=True)
            stop([part])  # what it had started itself
            if running:
                typer.echo(f"Still running: {', '.join(other.part.name for other in running)}.", err=True)
        time.sleep(0.5)
    raise WheeltapperError("Nothing is running any more; the reason stands above.")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
