"""What several lessons begin with: people answer truly, and a better model takes over.

Here: answering a row of clips, the first good retrain. Not here: what goes wrong afterwards (the lessons).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from audio_pipeline.comparison import MIN_ANOMALIES, MIN_NORMALS
from wheeltapper.lessons import sounds
from wheeltapper.lessons.plant import Plant
from wheeltapper.lessons.stage import Stage

FAULTS, HEALTHY = 32, 8


def answered(plant: Plant, clips: Iterable[Path], words: Iterable[str], operator: str) -> list[dict[str, Any]]:
    """Let the service judge clips, and a person say something of each; return the predictions."""
    predictions = []
    for clip, word in zip(clips, words, strict=True):
        predictions.append(plant.predict(clip, sounds.MACHINE))
        plant.answer(predictions[-1], word, operator)
    return predictions


def first_good_retrain(plant: Plant, stage: Stage, heard: sounds.Sounds) -> str:
    """Let Ann answer truly about the first clips, and retrain; return the version that then serves."""
    before = plant.serving()
    stage.act(
        f"A fan in a hall, a model made of 40 healthy recordings ({before}). Its bearing begins to wear: the model "
        f"hardly hears it. Ann listens to {FAULTS + HEALTHY} clips and says truly which are faulty."
    )
    clips = [*heard.faulty[:FAULTS], *heard.healthy[:HEALTHY]]
    words = ["anomaly"] * FAULTS + ["normal"] * HEALTHY
    predictions = answered(plant, clips, words, "Ann")
    stage.shows(f"Of {FAULTS} faulty clips {_alarms(predictions[:FAULTS])} raised an alarm.")
    job = plant.retrain("Ann's answers")
    compared(stage, job)
    stage.check(
        job["status"] == "promoted",
        f"The challenger is better on held-out clips and takes over: {job['challenger']}.",
        f"the retrain ended as {job['status']}: {job['message']}",
    )
    plant.wait(lambda: plant.serving() == job["challenger"], "the new version serves")
    return str(job["challenger"])


def compared(stage: Stage, job: dict[str, Any]) -> None:
    """Show how a challenger did against the champion."""
    found = job["comparison"]
    if found and found["interval"]:
        low, high = found["interval"]
        stage.shows(
            f"Champion {found['champion']:.3f}, challenger {found['challenger']:.3f} ({found['metric']}; "
            f"difference [{low:+.3f}, {high:+.3f}]), on {found['normals']} healthy and {found['anomalies']} faulty "
            f"recordings that neither has trained on ({MIN_NORMALS} and {MIN_ANOMALIES} are needed)."
        )
    stage.shows(f"{job['status']}: {job['message']}")


def alarms(plant: Plant, clips: Sequence[Path]) -> int:
    """Return how many of the clips raise an alarm now."""
    return _alarms([plant.predict(clip, sounds.MACHINE) for clip in clips])


def targets(plant: Plant) -> list[str]:
    """Return the column `target` of prod_data.csv, row by row, once it holds an answer for each of the database's."""
    rows = plant.must("GET", "/feedback?limit=1000")["answers"]
    wanted = sum(row["answer"] != "unsure" for row in rows)

    def read() -> list[str] | None:
        lines = (plant.data / "prod_data.csv").read_text(encoding="utf-8").splitlines()
        found = [line.rsplit(",", 2)[1] for line in lines[1:]]
        return found if len(found) == wanted else None

    return plant.wait(read, "prod_data.csv holds every answer")


def draw(clip: Path) -> bool:
    """Toss a coin for a clip, the same way each time."""
    return hashlib.sha256(b"coin" + clip.name.encode()).digest()[0] % 2 == 0


def _alarms(predictions: Iterable[dict[str, Any]]) -> int:
    return sum(bool(prediction["anomaly"]) for prediction in predictions)
