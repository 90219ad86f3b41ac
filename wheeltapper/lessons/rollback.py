"""Lesson: a new model serves, and has to go again while clips keep arriving."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

from audio_pipeline.errors import WheeltapperError
from wheeltapper.lessons import sounds, teaching
from wheeltapper.lessons.plant import Plant
from wheeltapper.lessons.stage import Stage

_CLIENTS = 3
_REASON = "Too many alarms on line 2."


class _Clients:
    """Send clips without a pause; remember which version answered, and what failed."""

    def __init__(self, plant: Plant, clips: list[Path]) -> None:
        self.answered: Counter[str] = Counter()
        self.failed: list[str] = []
        self._plant, self._clips = plant, clips
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(_CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        while not self._stop.is_set():
            for clip in self._clips:
                try:
                    self.answered[self._plant.predict(clip, sounds.MACHINE)["model_version"]] += 1
                except WheeltapperError as error:
                    self.failed.append(error.message)

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def play(plant: Plant, stage: Stage) -> None:
    """Play it."""
    heard = sounds.record(plant.folder, teaching.HEALTHY, teaching.FAULTS)
    plant.learn(heard.reference)
    plant.start("serve")
    old = plant.serving()
    new = teaching.first_good_retrain(plant, stage, heard)
    stage.look("portal", "/models", f"tab Versions: {new} serves, {old} is kept")

    stage.act(
        f"{_CLIENTS} clients send clips without a pause. The plant finds the new version too nervous and wants the old "
        "one back, now."
    )
    clients = _Clients(plant, [*heard.faulty[:2], *heard.healthy[:2]])
    try:
        plant.wait(lambda: clients.answered[new] >= _CLIENTS, "clients are answered by the new version")
        stage.act(f"$ wheeltapper models rollback --reason '{_REASON}'")
        stage.shows(plant.command("models", "rollback", "--reason", _REASON))
        came = clients.answered[old]
        plant.wait(lambda: clients.answered[old] >= came + _CLIENTS, "clients are answered by the old version")
        served = plant.serving()
    finally:
        clients.end()
    stage.look("portal", "/models", "tab Versions, ledger: who rolled back, when, why")
    stage.check(served == old, f"{old} serves again, without a restart.", f"{served} serves.")
    told = f"{clients.answered[new]} clips by the new version, {clients.answered[old]} by the old one"
    stage.check(
        not clients.failed and set(clients.answered) <= {old, new},
        f"Not one of the clients' requests failed: {told}.",
        f"{len(clients.failed)} failed, first: {clients.failed[:1]}; versions {dict(clients.answered)}.",
    )
    models = plant.must("GET", "/models")["models"]
    last = next(model for model in models if model["version"] == old)["history"][-1]
    stage.check(
        last["action"] == "rolled_back" and last["reason"] == _REASON,
        f"The ledger says who did it and why: {last['by']}, '{last['reason']}'",
        f"its last line is {last}.",
    )
    confirmed = plant.predict(heard.faulty[0], sounds.MACHINE)
    stage.check(
        bool(confirmed["anomaly"]),
        "What people confirmed is not forgotten with the model: the old version is given the confirmed faults again, "
        "and a clip that it did not know before raises an alarm.",
        f"a confirmed fault is called normal ({confirmed['score']:.2f}, threshold {confirmed['threshold']:.2f}).",
    )
