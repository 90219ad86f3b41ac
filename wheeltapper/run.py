"""`wheeltapper run`, behind `make run`: everything on this machine, from nothing to a first prediction.

Here: which parts there are, the order of a start, the secrets in `.env`, and the watch over what runs. Not here:
processes (`parts`), what is installed (`extras`), demo data and the explanation of a prediction (`demo`).

A part is a row in `parts_of`: a command, the URL that tells when it is ready, the URL that a person opens, and what has
to be installed before it. The service comes first and answers before anything is installed for the others; of those,
what can start at once does so before what has to be prepared.
"""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import socket
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from dotenv import dotenv_values

from audio_pipeline.errors import SettingsError, WheeltapperError
from wheeltapper import demo, extras
from wheeltapper.parts import Part, Program, Running, stop
from wheeltapper.run_automation import automation_parts

if TYPE_CHECKING:
    from serve.settings import Settings

# Made on the first start, each a line of .env: the name, and what it is for.
SECRETS = {
    "WHEELTAPPER_API_KEY": "a key for calls that change something",
    "WHEELTAPPER_WEBHOOK_TOKEN": "a token that n8n knows the service by",
    "WHEELTAPPER_N8N_PASSWORD": "the password of n8n's owner",
}
ENV_FILE = Path(".env")

app = typer.Typer(add_completion=False)


@app.command()
def run(
    parts: Annotated[str, typer.Option(help="Which parts to start, by name; all when left out.")] = "",
) -> None:
    """Start everything on this machine and show a first prediction; Ctrl-C stops it all.

    On the first start a key is made (.env) and a demo model trained from the shipped recordings; what the other parts
    need is installed once the service answers.
    """
    from serve.settings import load_settings

    ensure_secrets(ENV_FILE, os.environ)
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
        for part in in_order(chosen.values()):
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
    from monitoring.settings import load_settings as load_monitoring_settings
    from portal.settings import load_settings as load_portal_settings

    serve = address_of(settings)
    portal = load_portal_settings()
    portal_at = f"http://127.0.0.1:{portal.portal_port}"
    monitoring = load_monitoring_settings()
    monitoring_at = f"http://127.0.0.1:{monitoring.monitoring_port}"
    wheeltapper = str(Path(sys.executable).with_name("wheeltapper"))
    values = {**dotenv_values(ENV_FILE), **os.environ}
    asking = automation_parts(serve, wheeltapper, values)
    n8n_at = next(part.url for part in asking if part.name == "n8n")
    # Where the parts find each other when a port was changed; an address that somebody set is theirs.
    elsewhere = {
        "WHEELTAPPER_N8N_URL": n8n_at,
        "WEBHOOK_URL": f"{n8n_at}/",
        "WHEELTAPPER_PORTAL_URL": portal_at,
    }
    return {
        part.name: part
        for part in (
            Part(
                name="serve",
                command=(wheeltapper, "serve"),
                ready_url=f"{serve}/health/ready",
                url=f"{serve}/docs",
                what="every call of the service, to try in the browser",
                environment={name: values.get(name) or address for name, address in elsewhere.items()},
            ),
            Part(
                name="portal",
                command=(wheeltapper, "portal"),
                ready_url=f"{portal_at}/_stcore/health",
                url=portal_at,
                what="inspect clips, ask and answer, history, models",
                environment={"WHEELTAPPER_SERVE_URL": portal.serve_url or serve},
                ports={"WHEELTAPPER_PORTAL_PORT": portal.portal_port},
                prepare=extras.preparation("portal", "Streamlit (about 90 MB, about a minute)"),
                hint="Try this: drop a recording on Inspect, or take one of the demo clips, and press Predict.",
            ),
            *asking,
            Part(
                name="monitoring",
                command=(wheeltapper, "monitor", "--ui"),
                ready_url=f"{monitoring_at}/api/version",
                ready_within_s=180.0,
                url=monitoring_at,
                what="quality and drift over time (Evidently)",
                environment={"WHEELTAPPER_SERVE_URL": monitoring.serve_url or serve},
                ports={"WHEELTAPPER_MONITORING_PORT": monitoring.monitoring_port},
                prepare=extras.preparation("monitoring", "Evidently (about 350 MB, about two minutes)"),
                hint="Try this in another terminal: . .venv/bin/activate && wheeltapper lesson drift",
            ),
        )
    }


def in_order(parts: Iterable[Part]) -> list[Part]:
    """Return the service first, then what can start at once, then what has something to be installed."""
    return sorted(parts, key=lambda part: (part.name != "serve", part.prepare is not None and part.prepare.due()))


def address_of(settings: Settings) -> str:
    """Return where this machine reaches the service; listening on every address includes loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


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


def ensure_secrets(env_file: Path, environment: Mapping[str, str]) -> None:
    """Make the bearer key and n8n's token, once: a line each in `env_file`, which only its owner can read.

    Parameters
    ----------
    env_file
        Read by every part.
    environment
        What is set there needs no file.

    Raises
    ------
    SettingsError
        The file cannot be written.
    """
    try:
        there = dotenv_values(env_file) if env_file.exists() else {}
        for name, purpose in SECRETS.items():
            if environment.get(name) or there.get(name):
                continue
            descriptor = os.open(env_file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "a+") as file:
                env_file.chmod(0o600)  # it may have been there, readable by all, without a key
                file.seek(0)
                begun = file.read()
                file.write(
                    f"{'' if begun.endswith(chr(10)) or not begun else chr(10)}{name}={secrets.token_urlsafe(32)}\n"
                )
            typer.echo(f"Made {purpose}: {name} in {env_file}, readable by you alone.")
    except OSError as e:
        raise SettingsError(
            f"Secrets cannot be kept in {env_file.resolve()} ({e.strerror}): set {' and '.join(SECRETS)} instead."
        ) from e


def refuse_taken_port(host: str, port: int, variable: str = "WHEELTAPPER_PORT") -> None:
    """Say so before anything else when another program listens where a part will.

    Parameters
    ----------
    host, port
        Where the part will listen.
    variable
        What chooses another port.

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
                f"earlier start of this one. Stop it, or choose another port: {variable}={port + 10} make run"
            ) from e


def start(part: Part, running: list[Running], settings: Settings) -> None:
    """Prepare and start one part, say where it is once it answers; one that fails is told about and left out."""
    try:
        for variable, port in part.ports.items():
            refuse_taken_port("127.0.0.1", port, variable)
        if part.prepare is not None and part.prepare.due():
            prepare(part, running, settings.data_dir / "logs")
        typer.echo(f"Starting {part.name} ...")
        started = Running(part, settings.data_dir / "logs")
        running.append(started)
        started.wait_ready()
    except WheeltapperError as failed:
        typer.echo(failed.message, err=True)
        if running and running[-1].part is part:
            stop([running.pop()])
        return
    typer.echo(f"{part.name} is ready: {part.url} ({part.what})")
    if part.hint:
        typer.echo(f"  {part.hint}")
    if part.name == "serve":
        greet(settings)


def prepare(part: Part, running: list[Running], logs: Path) -> None:
    """Install what a part needs, while those that run already are watched.

    Raises
    ------
    WheeltapperError
        It failed; the sentence holds the last lines of its log.
    """
    assert part.prepare is not None
    typer.echo(
        f"\nInstalling {part.prepare.what} for {part.name}; only this once. What is ready can be used meanwhile."
    )
    installer = Program(f"{part.name}-install", part.prepare.command, logs)
    began = time.monotonic()
    try:
        while not installer.ended:
            tell_of_ended(running)
            time.sleep(0.2)
    finally:
        stop([installer])
    if installer.process.returncode != 0 or part.prepare.due():
        raise WheeltapperError(
            f"{part.name} was not started: its installation {installer.obituary().split(' ', 1)[1]}\n"
            f"Is the package index reachable? Everything else goes on; the next start tries again."
        )
    typer.echo(f"Installed in {time.monotonic() - began:.0f} s.")


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
        tell_of_ended(running)
        time.sleep(0.5)
    raise WheeltapperError("Nothing is running any more; the reason stands above.")


def tell_of_ended(running: list[Running]) -> None:
    """Take parts that ended by themselves off the list, and say why they did."""
    for part in [part for part in running if part.ended]:
        running.remove(part)
        typer.echo(f"\n{part.obituary()}", err=True)
        stop([part])  # what it had started itself
        if running:
            typer.echo(f"Still running: {', '.join(other.part.name for other in running)}.", err=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
