"""`wheeltapper lesson`: stage an event with real parts, and check that the system does what it should.

Here: the command. Not here: the lessons (`wheeltapper.lessons`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wheeltapper.lessons import LESSONS, play
from wheeltapper.lessons.stage import LessonFailed


def lesson(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(LESSONS)}; left out: they are listed.")] = "",
    pause: Annotated[
        bool,
        typer.Option("--pause", help="Open the portal and Evidently, wait for Return where there is something to see."),
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="A new folder that is kept: data, models, logs. By default a temporary one.")
    ] = None,
) -> None:
    """Play a lesson: real parts on free ports, in a folder of their own; a running site is not touched.

    Exit code 1: the system did not do what it should; a sentence says what.
    """
    if not name:
        for known, (_, summary) in LESSONS.items():
            typer.echo(f"wheeltapper lesson {known:<17} {summary}")
        typer.echo("\n--pause opens the pages and waits for you.")
        return
    try:
        play(name, data, pause)
    except LessonFailed as failed:
        typer.echo(f"wheeltapper: {failed.message}", err=True)
        raise typer.Exit(1) from failed
