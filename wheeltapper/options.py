"""Options that several commands share, and how they print for machines.

Here: where data and artifacts lie (option, then environment variable, then the folder's usual name). Not here: the
service's settings, which are in `serve.settings`.
"""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Annotated, Any

import typer

DataFolder = Annotated[
    Path, typer.Option("--data", envvar="WHEELTAPPER_DATA", help="Folder of ref_data.csv and its companions.")
]
ArtifactsFolder = Annotated[
    Path, typer.Option("--artifacts", envvar="WHEELTAPPER_ARTIFACTS", help="Folder of encoders and models.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text for people.")]

DATA = Path("data")
ARTIFACTS = Path("artifacts")


def user() -> str:
    """Return who runs the command, for the ledger."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return "command line"


def print_json(content: Any) -> None:  # noqa: ANN401 - whatever JSON can say
    """Print one JSON document on standard output; NaN and infinity are refused, not printed as such."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False))
