"""The loop on real clips, with true and with shuffled answers: `python -m benchmarks.retraining FOLDER …`.

For each: the model that `make run` trains serves; every labelled clip of the folders that it was not trained on is
predicted and answered with its file's label; the last answer starts a retrain by itself; eight clients send clips all
the while. Written to RESULTS.md: what the retrain came to, what `/predict` says then, and how the clients fared.

Here: the script and its table. Not here: the service (`benchmarks.faults.running` starts it).
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import random
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audio_pipeline.datasets import Recording, discover
from audio_pipeline.reference import read_reference
from benchmarks.faults.running import Killable
from wheeltapper import demo

RESULTS = Path(__file__).with_name("RESULTS.md")
CLIENTS = 8
_JOB_WITHIN_S = 900.0
_SWAP_WITHIN_S = 5.0


@dataclass
class Load:
    """Eight clients that send clips without a pause, and what they were told.

    Parameters
    ----------
    service, clips
        Whom they send what.
    """

    service: Killable
    clips: list[tuple[str, dict[str, Any]]]
    statuses: Counter[int] = field(default_factory=Counter)
    told: dict[tuple[str, str], set[tuple[float, float]]] = field(default_factory=dict)
    first_seen: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._clients = [threading.Thread(target=self._send, args=(n,)) for n in range(CLIENTS)]
        for client in self._clients:
            client.start()

    def _send(self, number: int) -> None:
        draw = random.Random(number)
        while not self._stop.is_set():
            name, body = draw.choice(self.clips)
            status, said = self.service.ask("POST", "/predict", body, timeout=120)
            with self._lock:
                self.statuses[status] += 1
                if status == 200:
                    version = said["model_version"]
                    self.first_seen.setdefault(version, time.monotonic())
                    self.told.setdefault((name, version), set()).add((said["score"], said["threshold"]))

    def end(self) -> None:
        """Let them finish."""
        self._stop.set()
        for client in self._clients:
            client.join()


def run(folders: list[Path], shuffled: bool, seed: int) -> dict[str, Any]:
    """Go through the loop once; return what there is to tell."""
    with tempfile.TemporaryDirectory(prefix="wheeltapper-loop-") as place:
        home = Path(place)
        demo.prepare(home / "data", home / "artifacts")
        recordings = _unheard(folders, home / "data")
        words = ["anomaly" if recording.target else "normal" for recording in recordings]
        if shuffled:
            random.Random(seed).shuffle(words)
        service = Killable(
            home, home / "artifacts", {"RETRAIN_EVERY": str(len(recordings)), "WHEELTAPPER_WORKERS": "2"}
        )
        service.start()
        try:
            champion = service.wait_ready()["model_version"]
            return _loop(service, recordings, words, champion)
        finally:
            service.kill()


def _unheard(folders: list[Path], data: Path) -> list[Recording]:
    """The labelled clips whose bytes the demo's reference does not hold."""
    known = set(read_reference(data).clips.tolist())
    found = [recording for folder in folders for recording in discover(folder)]
    return [r for r in found if hashlib.sha256(r.path.read_bytes()).hexdigest() not in known]


def _loop(service: Killable, recordings: list[Recording], words: list[str], champion: str) -> dict[str, Any]:
    bodies = [
        {
            "audio_base64": base64.b64encode(recording.path.read_bytes()).decode(),
            "filename": recording.path.name,
            "machine": recording.machine,
        }
        for recording in recordings
    ]
    predictions = []
    for body in bodies:
        status, said = service.ask("POST", "/predict", body, timeout=120)
        assert status == 200, said
        predictions.append(said["prediction_id"])
    for prediction, word in zip(predictions[:-1], words[:-1], strict=True):
        status, said = service.ask("POST", "/feedback", {"prediction_id": prediction, "answer": word}, timeout=120)
        assert status == 201, said
    load = Load(service, [(f"{n}", body) for n, body in enumerate(bodies[:: max(1, len(bodies) // 12)])])
    try:
        status, said = service.ask("POST", "/feedback", {"prediction_id": predictions[-1], "answer": words[-1]})
        assert status == 201, said
        job = _finished(service)
        promoted = time.monotonic()
        serves = job["challenger"] if job["status"] == "promoted" else champion
        time.sleep(2 * _SWAP_WITHIN_S)
    finally:
        load.end()
    _, now = service.ask("POST", "/predict", bodies[0])
    _, model = service.ask("GET", f"/models/{job['challenger']}")
    return {
        "clips": len(recordings),
        "faults": words.count("anomaly"),
        "job": job,
        "champion": champion,
        "serves": serves,
        "predict_says": now["model_version"],
        "roles": model["answers_by_role"],
        "statuses": dict(load.statuses),
        "mixed": sum(len(scores) > 1 for scores in load.told.values()),
        "seen": len(load.told),
        "swap_s": round(load.first_seen[serves] - promoted, 1) if serves != champion else None,
    }


def _finished(service: Killable) -> dict[str, Any]:
    give_up = time.monotonic() + _JOB_WITHIN_S
    while time.monotonic() < give_up:
        _, said = service.ask("GET", "/retrain?limit=1")
        if said.get("jobs") and said["jobs"][0]["finished"]:
            job: dict[str, Any] = said["jobs"][0]
            return job
        time.sleep(0.1)
    raise TimeoutError(f"The retrain did not end within {_JOB_WITHIN_S:.0f} s:\n{service.log()}")


def sentence(told: dict[str, Any]) -> str:
    """Tell a run in one line of the table."""
    job, compared = told["job"], told["job"]["comparison"]
    figures = "–"
    if compared["interval"]:
        low, high = compared["interval"]
        figures = (
            f"{compared['champion']:.3f} → {compared['challenger']:.3f}, {compared['difference']:+.3f} "
            f"[{low:+.3f}, {high:+.3f}] on {compared['normals']} healthy and {compared['anomalies']} faulty recordings"
        )
    failed = sum(count for status, count in told["statuses"].items() if status != 200)
    swap = f"{told['swap_s']:+.1f} s" if told["swap_s"] is not None else "–"
    return (
        f"{told['clips']} ({told['faults']} faults) | {job['status'].replace('_', ' ')} | {figures} | "
        f"{'the challenger' if told['predict_says'] == job['challenger'] else 'the champion'} | {swap} | "
        f"{told['statuses'].get(200, 0)} answered, {failed} failed, {told['mixed']} mixed"
    )


def main() -> None:
    """Run both, print them and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retraining")
    parser.add_argument("folders", nargs="+", type=Path, help="labelled clips, in a layout that `embed` reads")
    parser.add_argument("--shuffles", type=int, default=1, help="runs with shuffled answers, each another shuffle")
    options = parser.parse_args()
    lines = []
    for number in range(options.shuffles + 1):
        told = run(options.folders, shuffled=number > 0, seed=number)
        name = f"shuffled ({number})" if number else "the files' labels"
        lines.append(f"| {name} | {sentence(told)} |")
        print(lines[-1], json.dumps(told["job"]["message"]), flush=True)
    names = ", ".join(f"`{folder.name}`" for folder in options.folders)
    RESULTS.write_text(
        "# The loop on real clips\n\n"
        f"`python -m benchmarks.retraining FOLDERS`, {datetime.now(UTC):%Y-%m-%d}, clips of {names}. The champion is "
        "what `make run` trains; one answer a clip; the last one starts the retrain; eight clients send clips. "
        "*Mixed*: a clip that one version gave two scores. *Swap*: from the job's end to the first answer of the new "
        "version (negative: the answer came before the job was seen to have ended).\n\n"
        "| answers | clips | retrain | mean of AUC and balanced accuracy, champion → challenger | `/predict` says | "
        "swap | load |\n|---|---|---|---|---|---|---|\n" + "\n".join(lines) + "\n"
    )


if __name__ == "__main__":
    main()
