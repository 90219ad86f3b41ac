"""Another false-alarm rate: the same graph, a new manifest, a new version.

Here: what changes in the manifest. Not here: making it serve, and what a rate means (`audio_pipeline.decision`).
"""

from __future__ import annotations

from datetime import UTC, datetime

from audio_pipeline.artifacts import ModelStore
from audio_pipeline.detector.manifest import CLASSIFIER_FILE, FalseAlarmRate, ModelManifest, read_manifest
from audio_pipeline.errors import SettingsError
from audio_pipeline.reference import Reference

_NOTE = "A false-alarm rate of "


def check_rate(asked: float) -> None:
    """Refuse what is no false-alarm rate.

    Raises
    ------
    SettingsError
        It is not above 0 and at most 1.
    """
    if not 0 < asked <= 1:
        raise SettingsError(
            f"A false-alarm rate of {asked} cannot be used: give one above 0, at most 1 "
            "(0.01 is one healthy clip in a hundred)."
        )


def rate_of(manifest: ModelManifest, asked: float) -> FalseAlarmRate:
    """Return what a rate asked for comes to with a model's calibration.

    Raises
    ------
    SettingsError
        As `check_rate`.
    """
    check_rate(asked)
    return FalseAlarmRate.of(asked, manifest.calibration["known"])


def with_false_alarm_rate(store: ModelStore, version: str, asked: float, held_out: Reference | None = None) -> str:
    """Publish a version that is `version` but for its false-alarm rate.

    Parameters
    ----------
    store
        Holds `version`.
    version
        Whose graph it has, and its parent.
    asked
        False alarms per healthy clip, above 0, at most 1.
    held_out
        Rows that verdicts are measured on again; without them the version has no figures.

    Returns
    -------
    str
        The new version; it does not serve yet.
    """
    from audio_pipeline.detector.training import held_out_figures  # fitting, which scoring does not need

    folder = store.load(version).folder
    before = read_manifest(folder)
    rate = rate_of(before, asked)
    notes = [note for note in before.notes if not note.startswith(_NOTE)]
    if rate.used > rate.asked:
        notes.insert(0, f"{_NOTE}{rate.asked:.2%} was asked for; {rate.reachable:.2%} is the lowest there is.")
    manifest = before.model_copy(
        update={
            "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "parent": version,
            "false_alarm_rate": rate,
            "thresholds": {name: table.threshold(rate.used) for name, table in before.calibration.items()},
            "notes": tuple(notes),
            "files": {},
            "metrics": {},
            "data": before.data.model_copy(update={"trained": before.data.trained or before.created}),
        }
    )
    graph = (folder / CLASSIFIER_FILE).read_bytes()
    if held_out is not None and len(held_out):
        manifest = manifest.model_copy(update={"metrics": held_out_figures(graph, manifest, held_out)})
    return store.publish({CLASSIFIER_FILE: graph}, manifest.to_json())
