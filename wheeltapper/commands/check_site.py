"""`wheeltapper check-site`: ten minutes of a plant's own healthy recordings in, a page of plain words out.

Here: options, progress, where the page goes. Not here: the figures (`audio_pipeline.site_check`), the page
(`wheeltapper.site_page`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from audio_pipeline.artifacts import find_encoder
from audio_pipeline.durable import replace_file
from audio_pipeline.encoder import Encoder
from audio_pipeline.errors import SettingsError
from audio_pipeline.site_check import check_site as check
from wheeltapper.options import ARTIFACTS, ArtifactsFolder, AsJson, print_json


def check_site(
    folder: Annotated[Path, typer.Argument(help="Healthy recordings of the plant's own machines, in any layout.")],
    out: Annotated[Path, typer.Option("--out", help="Where the page goes.")] = Path("check-site.html"),
    machine: Annotated[
        str | None, typer.Option(help="type/section of all of them, whatever their folders say.")
    ] = None,
    clips_per_hour: Annotated[
        float, typer.Option(min=0.01, max=3600, help="Clips that would be judged of each machine, for alarms a week.")
    ] = 6.0,
    false_alarm_rate: Annotated[
        float, typer.Option(min=1e-6, max=1.0, help="Share of healthy clips that may raise an alarm.")
    ] = 0.01,
    artifacts: ArtifactsFolder = ARTIFACTS,
    encoder: Annotated[str, typer.Option(help="Encoder folder under artifacts/encoders, or its sha256.")] = "default",
    as_json: AsJson = False,
) -> None:
    """Say whether it will work in a hall: microphone, false alarms a week, and which faults would be heard.

    Nothing is stored but the page, and no model is needed.
    """
    from wheeltapper.site_page import alarms_sentence, answer, fault_sentence, render

    if not out.parent.is_dir():
        raise SettingsError(f"The page cannot go to {out}: there is no folder {out.parent}.")
    loaded = Encoder.load(find_encoder(artifacts, encoder))
    with Progress(
        TextColumn("{task.description:<16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("reading")

        def progress(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of)

        found = check(
            folder,
            loaded,
            machine=machine,
            false_alarm_rate=false_alarm_rate,
            clips_per_hour=clips_per_hour,
            progress=progress,
        )
    try:
        replace_file(out, render(found).encode())
    except OSError as error:
        raise SettingsError(
            f"The page cannot be written to {out} ({error.strerror}): let --out name another."
        ) from error
    if as_json:
        print_json({"page": str(out), "answer": answer(found), **found.to_json()})
        return
    typer.echo(f"{answer(found)}\n")
    for count in found.sensor:
        typer.echo(f"Microphone: {count.code} in {count.recordings} of {count.of} recordings. {count.example}")
    for of in found.machines:
        typer.echo(f"{of.machine or 'Machine without a name'}: {alarms_sentence(of.false_alarms)}")
        for fault in of.faults:
            typer.echo(f"  {fault_sentence(fault, found.levels_db)}")
    typer.echo(f"The page: {out}")
