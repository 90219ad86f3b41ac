"""Lesson: a coat over the microphone. The sound drifts, the machine does not."""

from __future__ import annotations

import json
from typing import Any

from wheeltapper.lessons import sounds
from wheeltapper.lessons.plant import Plant, require
from wheeltapper.lessons.stage import Stage

_CALM, _MUFFLED = 25, 75


def play(plant: Plant, stage: Stage) -> None:
    """Play it."""
    require("monitoring")
    stage.act("A fan in a hall. The model learns from 40 healthy recordings; then the fan runs as ever.")
    heard = sounds.record(plant.folder, healthy=_CALM + _MUFFLED)
    plant.learn(heard.reference)
    plant.start("serve")
    for clip in heard.healthy[:_CALM]:
        plant.predict(clip, sounds.MACHINE)
    calm = _look(plant, stage)
    stage.check(
        calm["drift"]["status"] == "ok",
        f"{_CALM} healthy clips later there is no drift.",
        calm["drift"]["message"],
    )
    stage.look("monitoring", "", "'Evidence of drift': one power of ten or less is usual")

    stage.act(
        f"Somebody hangs a coat over the microphone and forgets it. {_MUFFLED} more clips arrive; the fan is as "
        "healthy as before."
    )
    verdicts = [plant.predict(sounds.under_a_coat(clip), sounds.MACHINE) for clip in heard.healthy[_CALM:]]
    alarms = sum(verdict["anomaly"] for verdict in verdicts)
    stage.shows(f"{alarms} of {len(verdicts)} clips raise an alarm: the detector hears 'unlike', not 'broken'.")
    stage.look("portal", "/overview", "the share of anomalies, and 'Drift'")
    found = _look(plant, stage)
    stage.look(
        "monitoring",
        "",
        "'Evidence of drift' has gone up, and below: how well production can be told from the reference",
    )
    stage.check(
        found["drift"]["status"] == "drift",
        "Monitoring notices that production no longer sounds like the reference.",
        found["drift"]["message"],
    )
    finding = found["machines"].get(sounds.MACHINE, found["drift"])
    stage.check(
        finding["cause"] == "sensor",
        "It takes the microphone, not the machine, for the cause: the whole spectrum has moved along one smooth curve.",
        f"it says '{finding['cause']}': {finding['message']}",
    )
    stage.check(
        found["retrain_job"] is not None,
        "It asks for a retrain, with the reason drift.",
        "no retrain was asked for.",
    )
    job = plant.job(found["retrain_job"])
    stage.shows(f"Retrain, reason {job['reason']}: {job['status']}. {job['message']}")

    stage.act("The coat hangs there for another hour, and monitoring looks again.")
    plant.predict(sounds.under_a_coat(heard.healthy[0]), sounds.MACHINE)
    again = _look(plant, stage)
    stage.check(
        again["retrain_job"] is None and again["drift"]["status"] == "drift",
        "It still sees the drift and does not ask again: one thing gone wrong is one retrain.",
        f"drift {again['drift']['status']}, retrain {again['retrain_job']}.",
    )
    gauge = 'wheeltapper_drift_detected{machine="",of="embedding"} 1.0'
    plant.wait(lambda: gauge in str(plant.ask("GET", "/metrics")[1]), "the gauge wheeltapper_drift_detected is 1")
    stage.check(True, "Prometheus sees it: wheeltapper_drift_detected is 1.", "")
    stage.look("service", "/metrics", "search for wheeltapper_drift")
    stage.act(
        "What to do: take the coat away. Had the microphone been moved for good, one would record the healthy fan anew "
        "(portal, Models and data, Reference) and retrain."
    )


def _look(plant: Plant, stage: Stage) -> dict[str, Any]:
    stage.act("$ wheeltapper monitor")
    found: dict[str, Any] = json.loads(plant.command("monitor", "--json"))
    stage.shows(f"{found['rows']} recent predictions. Drift: {found['drift']['message']}")
    for finding in found["machines"].values():
        stage.shows(finding["message"])
    return found
