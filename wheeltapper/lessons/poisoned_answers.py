"""Lesson: an operator who calls every alarm a false one. What he says is kept, and does not teach."""

from __future__ import annotations

from wheeltapper.lessons import sounds, teaching
from wheeltapper.lessons.plant import Plant
from wheeltapper.lessons.stage import Stage

_POISONED, _TRIAL = 30, 6


def play(plant: Plant, stage: Stage) -> None:
    """Play it."""
    heard = sounds.record(plant.folder, teaching.HEALTHY, teaching.FAULTS + _POISONED + _TRIAL)
    plant.learn(heard.reference)
    plant.start("serve")
    good = teaching.first_good_retrain(plant, stage, heard)
    trial = heard.faulty[-_TRIAL:]
    before = teaching.alarms(plant, trial)
    stage.shows(f"Of {_TRIAL} further faulty clips {before} now raise an alarm.")

    stage.act(
        f"Night shift. Tom is tired: he answers 'False alarm' {_POISONED} times, whatever he is asked, and every one "
        "of these clips is of the worn bearing."
    )
    poisoned = heard.faulty[teaching.FAULTS :][:_POISONED]
    predictions = teaching.answered(plant, poisoned, ["normal"] * _POISONED, "Tom")
    stage.look("portal", "/history", "thirty lines that say 'false alarm', all by Tom")
    job = plant.retrain("Tom's answers")
    teaching.compared(stage, job)
    stage.look("portal", "/models", "tab Retraining: the job, and why the champion stays")
    stage.check(
        job["status"] == "kept_champion" and plant.serving() == good,
        f"The challenger that learned from Tom is not promoted: {good} still serves.",
        f"the job ended as {job['status']}, {plant.serving()} serves.",
    )
    after = teaching.alarms(plant, trial)
    stage.check(
        after >= before, f"Of the {_TRIAL} faulty clips {after} still raise an alarm.", f"only {after} of {before} do."
    )

    stage.act("In the morning Ann listens again and corrects what Tom said: the same answers, with override.")
    lines = teaching.targets(plant)
    for prediction in predictions:
        plant.answer(prediction, "anomaly", "Ann", override=True)

    def as_ann_says() -> list[str] | None:
        now = teaching.targets(plant)
        return now if now.count("False") == teaching.HEALTHY else None

    corrected = plant.wait(as_ann_says, "prod_data.csv is corrected")
    stage.check(
        len(corrected) == len(lines),
        f"prod_data.csv has the corrected targets in the same {len(lines)} rows: nothing was added, nothing lost.",
        f"it has {len(corrected)} rows instead of {len(lines)}.",
    )
    stage.look("portal", "/history", "choose a corrected clip: who said what, and that Ann's word stands")
