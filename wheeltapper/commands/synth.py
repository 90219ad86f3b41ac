"""`wheeltapper synth`: a folder of synthetic machine sounds with chosen faults.

Here: options, progress bar, report. Not here: the sounds and the folder (`audio_pipeline.synth`).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from audio_pipeline.synth import KINDS, SynthRecipe, write_dataset
from wheeltapper.options import AsJson, print_json

app = typer.Typer(add_completion=False)


@app.command()
def synth(
    out: Annotated[Path, typer.Argument(help="A new folder for the recordings and truth.csv.")],
    machine: Annotated[
        list[str] | None, typer.Option(help=f"Kind of machine, may be repeated; default: all of {', '.join(KINDS)}.")
    ] = None,
    machines_per_kind: Annotated[int, typer.Option(help="Individual machines of each kind.")] = 1,
    normal: Annotated[int, typer.Option(help="Healthy recordings of each machine.")] = 20,
    abnormal: Annotated[int, typer.Option(help="Faulty recordings of each machine, its faults in turn.")] = 10,
    severity: Annotated[
        list[float] | None, typer.Option(help="Above 0, up to 1; repeated: taken in turn. Default: 0.5.")
    ] = None,
    snr: Annotated[float, typer.Option(help="Machine over factory noise, in dB.")] = 6.0,
    seconds: Annotated[float, typer.Option(help="Length of each recording, 0.25 to 600.")] = 10.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    partial: Annotated[bool, typer.Option("--partial", help="Faults for 10 to 40 % of a recording only.")] = False,
    fault: Annotated[
        list[str] | None, typer.Option(help="Which faults, repeated: taken in turn. Default: all that the machine has.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make recordings of synthetic machines, healthy and faulty, in factory noise.

    The folder has MIMII's layout, so that `wheeltapper embed OUT` understands it; truth.csv says what is wrong in each
    recording, how badly, when, and in which band.
    """
    started = time.monotonic()
    recipe = SynthRecipe(
        kinds=tuple(machine or KINDS),
        machines_per_kind=machines_per_kind,
        normals=normal,
        anomalies=abnormal,
        seconds=seconds,
        severities=tuple(severity or (0.5,)),
        snr_db=snr,
        seed=seed,
        partial=partial,
        faults=tuple(fault or ()),
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=as_json) as progress:
        task = progress.add_task("recordings", total=recipe.clips)
        truth = write_dataset(out, recipe, on_clip=lambda: progress.advance(task))
    took = time.monotonic() - started
    if as_json:
        print_json(
            {
                "truth": str(truth),
                "clips": recipe.clips,
                "kinds": list(dict.fromkeys(recipe.kinds)),
                "seconds_of_sound": recipe.clips * recipe.seconds,
                "seed": recipe.seed,
                "seconds": round(took, 3),
            }
        )
        return
    typer.echo(f"{truth}: {recipe.clips} recordings of {recipe.seconds:g} s in {took:.1f} s.")
    typer.echo(f"Next: wheeltapper embed {out}")
