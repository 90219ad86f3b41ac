"""The command line: which commands there are, and what an error looks like at the end of it.

Here: the table of commands, each imported only when it is the one called (so that `wheeltapper --help` is instant), and
`main()`, which turns errors into one line and an exit code. Not here: what commands do (`commands/`).

Exit codes: 0 done; 1 a bug, with its traceback; 2 the request was at fault; 3 something here is broken, overloaded, or
left out under `--strict`; 130 interrupted.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import typer

from audio_pipeline.errors import UserError, WheeltapperError


class Command(NamedTuple):
    """Where a command's typer app or function is, and its line in `wheeltapper --help`."""

    module: str
    attribute: str
    summary: str


COMMANDS = {
    "run": Command("wheeltapper.run", "app", "Start everything on this machine, as `make run` does."),
    "embed": Command("wheeltapper.commands.embed", "embed", "Recordings in, reference set (ref_data.csv) out."),
    "train": Command("wheeltapper.commands.train", "train", "Reference set in, ONNX model out."),
    "evaluate": Command("wheeltapper.commands.evaluate", "evaluate", "How well the model tells anomaly from normal."),
    "predict": Command("wheeltapper.commands.predict", "predict", "Score clips and explain each verdict."),
    "check-site": Command("wheeltapper.commands.check_site", "check_site", "Will it work in my hall? A page."),
    "models": Command("wheeltapper.commands.models", "app", "List, show, promote and roll back model versions."),
    "retrain": Command("wheeltapper.commands.retrain", "retrain", "Learn from people's answers; serve it if better."),
    "threshold": Command("wheeltapper.commands.threshold", "threshold", "How many false alarms there may be."),
    "rebuild": Command("wheeltapper.commands.rebuild", "rebuild", "Write prod_data.csv anew from the database."),
    "prepare": Command("wheeltapper.commands.prepare", "prepare", "A first model to serve, where there is none."),
    "serve": Command("wheeltapper.commands.serve", "app", "Start the HTTP service."),
    "portal": Command("wheeltapper.commands.portal", "app", "Start the web portal."),
    "n8n": Command("wheeltapper.commands.automation", "n8n", "Install and start n8n, which asks people by e-mail."),
    "mail": Command("wheeltapper.commands.automation", "mail", "Start a local mail inbox with a page."),
    "llm": Command("wheeltapper.commands.automation", "llm", "Start the small local language model."),
    "monitor": Command("wheeltapper.commands.monitor", "app", "Look at quality and drift; Evidently's dashboard."),
    "lesson": Command("wheeltapper.commands.lesson", "lesson", "What can go wrong, staged with real parts."),
    "synth": Command("wheeltapper.commands.synth", "app", "Make synthetic machine sounds with chosen faults."),
    "export-encoder": Command("wheeltapper.commands.encoder", "export_encoder", "A wav2vec2 checkpoint to ONNX."),
    "reembed": Command("wheeltapper.commands.reembed", "reembed", "Let another encoder take over, references first."),
    "finetune": Command("wheeltapper.commands.finetune", "finetune", "Fit the encoder to the plant's own machines."),
    "pretrain": Command("wheeltapper.commands.encoder", "pretrain", "Train an encoder on unlabelled sound."),
}


def build_app(called: str | None) -> typer.Typer:
    """Make the app; only the command that is called is imported, the others are there with their summary.

    Parameters
    ----------
    called
        The first word on the command line that is no option, if any.
    """
    app = typer.Typer(
        help="Listens to machine-sound clips, flags the abnormal ones, asks a person, learns from the answer.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )

    @app.callback()
    def whole() -> None:
        pass

    for name, command in COMMANDS.items():
        target: object = _not_called
        if name == called:
            target = getattr(importlib.import_module(command.module), command.attribute)
        if isinstance(target, typer.Typer):
            alone = target.registered_commands[0] if len(target.registered_commands) == 1 else None
            if alone is None or target.registered_callback or target.registered_groups or alone.callback is None:
                app.add_typer(target, name=name, help=command.summary)
                continue
            target = alone.callback
        assert callable(target)
        function: Callable[..., object] = target
        app.command(name, help=None if name == called else command.summary)(function)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments
        Words after `wheeltapper`; those of the process when left out.

    Returns
    -------
    int
        The exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    called = next((word for word in words if not word.startswith("-")), None)
    try:
        build_app(called)(args=words, prog_name="wheeltapper")
    except SystemExit as stop:
        if stop.code == 130:
            typer.echo("Interrupted. What is finished is kept: run the same command again to go on.", err=True)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except WheeltapperError as error:
        typer.echo(f"wheeltapper: {error.message}", err=True)
        return 2 if isinstance(error, UserError) else 3
    except OSError as error:
        if error.filename is None:
            raise
        typer.echo(f"wheeltapper: {error.filename} cannot be read or written ({error.strerror}).", err=True)
        return 3
    return 0


def _not_called() -> None:
    """Stand for a command that is listed and not called."""
