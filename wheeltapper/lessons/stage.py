"""How a lesson is told: what happens, where to look, what must hold.

Here: words on the terminal and the pause. Not here: the parts (`plant`).
"""

from __future__ import annotations

import textwrap
from typing import Literal

import typer

from audio_pipeline.errors import WheeltapperError
from wheeltapper.lessons.plant import Plant

Page = Literal["portal", "inbox", "n8n", "monitoring", "service"]
_NAMES = {"portal": "portal", "inbox": "inbox", "n8n": "n8n", "monitoring": "Evidently", "service": "service"}
_WIDTH = 100


class LessonFailed(WheeltapperError):
    """The system did not do what the lesson says it does."""


class Stage:
    """Tells a lesson.

    Parameters
    ----------
    plant
        Whose pages are looked at.
    pause
        Wait for the return key where there is something to look at.
    """

    def __init__(self, plant: Plant, pause: bool) -> None:
        self._plant = plant
        self._pause = pause
        self._checked = 0

    def title(self, name: str, question: str) -> None:
        """Open the lesson."""
        typer.echo(f"{name}\n{question}\n{'=' * len(question)}")

    def act(self, what: str) -> None:
        """Say what happens now."""
        typer.echo("\n" + textwrap.fill(what, _WIDTH))

    def shows(self, text: str) -> None:
        """Quote what a part has said, or a figure."""
        for line in text.strip().splitlines():
            typer.echo(textwrap.fill(line, _WIDTH, initial_indent="    ", subsequent_indent="      "))

    def look(self, page: Page, path: str, at: str) -> None:
        """Say where to look, and let people look.

        Parameters
        ----------
        page
            Whose page.
        path
            Of the address, with a slash before it.
        at
            What is to be seen there.
        """
        shown = self._plant.shows(page)
        where = f"{self._plant.address(page)}{path}" if shown else f"{_NAMES[page]}{path and ', '}{path}"
        typer.echo(textwrap.fill(f"LOOK {where}: {at}", _WIDTH, initial_indent="  ", subsequent_indent="       "))
        if self._pause and shown:
            typer.prompt("  Return goes on", default="", show_default=False, prompt_suffix=" ")

    def check(self, holds: bool, what: str, otherwise: str) -> None:
        """Check what the system should have done.

        Parameters
        ----------
        holds
            Whether it has.
        what
            It has: the sentence.
        otherwise
            It has not: what is seen instead.

        Raises
        ------
        LessonFailed
            It has not.
        """
        if not holds:
            raise LessonFailed(f"Not as it should be: {what} Instead: {otherwise}")
        self._checked += 1
        typer.echo(textwrap.fill(f"HELD {what}", _WIDTH, initial_indent="  ", subsequent_indent="       "))

    def end(self) -> None:
        """Close the lesson."""
        typer.echo(f"\nAll {self._checked} checks held.")
