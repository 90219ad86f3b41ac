"""Lesson: a challenger made of coin tosses, and a version whose file is damaged. Neither may serve."""

from __future__ import annotations

from audio_pipeline.artifacts import ModelStore
from audio_pipeline.errors import WheeltapperError
from wheeltapper.lessons import sounds, teaching
from wheeltapper.lessons.plant import Plant
from wheeltapper.lessons.stage import Stage

_ANSWERED = 40


def play(plant: Plant, stage: Stage) -> None:
    """Play it."""
    heard = sounds.record(plant.folder, _ANSWERED // 2, _ANSWERED // 2 + 1)
    plant.learn(heard.reference)
    plant.start("serve")
    champion = plant.serving()
    stage.act(
        f"A fan in a hall, and {champion} serves. An intern has to label {_ANSWERED} clips before lunch: he "
        "tosses a coin for each."
    )
    clips = [*heard.faulty[: _ANSWERED // 2], *heard.healthy]
    words = ["anomaly" if teaching.draw(clip) else "normal" for clip in clips]
    teaching.answered(plant, clips, words, "the intern")
    wrong = sum((word == "anomaly") != (clip in heard.faulty) for clip, word in zip(clips, words, strict=True))
    stage.shows(f"{wrong} of {_ANSWERED} answers are wrong.")
    job = plant.retrain("the intern's answers")
    teaching.compared(stage, job)
    stage.look("portal", "/models", "tab Retraining: champion, challenger, the interval of the difference, the rule")
    stage.check(
        job["status"] == "kept_champion" and plant.serving() == champion,
        f"What coin tosses taught is not promoted: {champion} still serves.",
        f"the job ended as {job['status']}, {plant.serving()} serves.",
    )
    challenger = str(job["challenger"])
    history = next(m for m in plant.must("GET", "/models")["models"] if m["version"] == challenger)["history"]
    stage.check(
        any(entry["action"] == "kept" for entry in history),
        "The ledger keeps the challenger and why it does not serve.",
        f"its history is {history}.",
    )

    stage.act("Now somebody wants the challenger all the same; but a disk has flipped a bit in its classifier.onnx.\n")
    graph = ModelStore(plant.folder / "artifacts").models / challenger / "classifier.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.chmod(0o644)
    graph.write_bytes(content)
    stage.act(f"$ wheeltapper models promote {challenger}")
    refusal = ""
    try:
        plant.command("models", "promote", challenger, "--reason", "I want it.")
    except WheeltapperError as refused:
        refusal = refused.message.partition(": ")[2]
        stage.shows(refusal)
    stage.check(
        "classifier.onnx" in refusal,
        "The damaged version is refused, with the file's name.",
        f"the command said: {refusal or 'nothing: it promoted it'}.",
    )

    stage.act("They edit artifacts/current.json by hand, past all checks.")
    pointer = plant.folder / "artifacts" / "current.json"
    kept = pointer.read_bytes()
    pointer.write_bytes(kept.replace(champion.encode(), challenger.encode()))
    plant.wait(
        lambda: "wheeltapper_model_broken 1.0" in str(plant.ask("GET", "/metrics")[1]), "the service has noticed"
    )
    said = plant.predict(heard.faulty[-1], sounds.MACHINE)
    stage.look("service", "/metrics", "wheeltapper_model_broken is 1: an alert of Prometheus hangs on it")
    stage.look("service", "/health/ready", "it serves, and says what is wrong")
    stage.check(
        said["model_version"] == champion,
        f"The service checks the hash, refuses the file and goes on answering with {champion}.",
        f"it answered with {said['model_version']}.",
    )
    pointer.write_bytes(kept)
    plant.wait(lambda: "wheeltapper_model_broken 0.0" in str(plant.ask("GET", "/metrics")[1]), "all is well again")
    stage.check(
        plant.serving() == champion, "The pointer is put back, and all is well again.", f"{plant.serving()} serves."
    )
