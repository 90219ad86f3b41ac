"""The guard against the real small language model, and against messages spoilt on purpose.

Here: facts drawn at random, the model's messages about them, what the guard let through, and a judgement of that by
other means. Not here: the guard (`automation/code/guard.js`), the model (`automation.llm`).

Of what the guard lets through, each figure must stand in the facts with its unit, and the message must name its own
machine; that is looked up here without the guard's code. Every message that passed is then spoilt, in English and in
French, with a number, a machine or a name: none of those may pass.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import automation
from automation import n8n
from benchmarks.faults.fault import Fault, Outcome
from benchmarks.faults.running import wait_for
from wheeltapper.parts import free_ports

_CODE = Path(automation.__file__).parent / "code"
_MACHINES = (
    ("fan/id_00", "the roof fan", "le ventilateur de toit"),
    ("pump/id_02", "the pump", "la pompe"),
    ("valve/id_04", "Valve 4", "la vanne 4"),
    ("slider/id_06", "the slide rail", "la glissière"),
    ("gearbox/section_01", "gearbox north", "le réducteur nord"),
)
_LIES = (
    "It was 88 dB louder before.", "This went on for twenty-three minutes.", "It is twice as loud.",
    "The level rose by half.", "The compressor is the cause.", "Bob heard it too.", "It is the Siemens motor.",
    "The system is ninety percent sure.", "Cela a duré vingt-trois minutes.", "C'est deux fois plus fort.",
    "Le compresseur en est la cause.", "Dupont l'a entendu aussi.", "Le système est sûr à quatre-vingts pour cent.",
    "Une douzaine de cas sont connus.",
)  # fmt: skip
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def wording(rounds: int) -> Outcome:
    """Let the real model word so many messages; count what survives the guard, and what should not have."""
    chance = random.Random(270)
    facts = [_drawn(chance) for _ in range(rounds)]
    prompts = _javascript("facts.map((f) => prompt(f))", facts=facts)
    begun = time.monotonic()
    texts = _worded(prompts)
    seconds = (time.monotonic() - begun) / rounds
    verdicts = _javascript("facts.map((f, i) => guard(texts[i], f).ok)", facts=facts, texts=texts)
    told = _javascript("facts.map((f) => factsText(f))", facts=facts)
    kept = [i for i, ok in enumerate(verdicts) if ok]
    untrue = sum(not _keeps_to(texts[i], told[i], facts[i]) for i in kept)
    spoilt = [(f"{texts[i]} {lie}", facts[i]) for i in kept for lie in _LIES]
    spoilt += [(f"{lie} {texts[i]}", facts[i]) for i in kept for lie in _LIES]
    passed = sum(_javascript("cases.map(([text, f]) => guard(text, f).ok)", cases=spoilt))
    return Outcome(
        passed=untrue == passed == 0 and len(kept) >= rounds / 2,
        rounds=rounds,
        figures={
            "messages that survived the guard": len(kept),
            "of them with a figure or machine that the facts do not hold": untrue,
            "messages spoilt on purpose": len(spoilt),
            "of them let through": passed,
            "seconds a message": round(seconds, 1),
        },
    )


def _drawn(chance: random.Random) -> dict[str, Any]:
    machine, english, french = chance.choice(_MACHINES)
    language = chance.choice(("en", "fr"))
    start = round(chance.uniform(0, 8), 1)
    bands = []
    for _ in range(chance.choice((0, 1, 1, 2))):
        low, direction = chance.choice((120, 350, 800, 1500, 2400, 4100)), chance.choice(("more", "less"))
        change = round(chance.uniform(2, 15), 1) * (1 if direction == "more" else -1)
        bands.append({"low_hz": low, "high_hz": low * 1.5, "direction": direction, "change_db": change})
    near = {"id": "n", "machine": machine, "target": chance.choice((True, False, None)), "title": "rattle of 12 Nov"}
    name = english if language == "en" else french
    return {
        "question_id": "q", "prediction_id": "p", "language": language, "machine": machine, "machine_name": name,
        "playbook": {"machine_name": name, "likely": [], "steps": [], "contact": None}, "duration_s": 10.0,
        "local_time": "2026-11-24T14:03:00+01:00", "anomaly": chance.random() < 0.85,
        "p_value": chance.choice((0.2, 0.05, 0.012, 0.003, 0.0004)), "bands": bands, "sensor": [],
        "seconds": [{"start_s": start, "end_s": start + chance.choice((0.5, 1.5, 2.0))}],
        "nearest": chance.choice(([], [near])), "filename": None, "recipient": {"name": "", "email": "o@localhost"},
        "episode": {"count": 1, "first": None, "last": None},
    }  # fmt: skip


def _worded(prompts: list[Any]) -> list[str]:
    """Let the model word them, through its OpenAI-compatible endpoint."""
    port = free_ports(1)[0]
    url = f"http://127.0.0.1:{port}/v1"
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [sys.executable, "-c", "import sys; from wheeltapper.cli import main; sys.exit(main())", "llm",
             f"--port={port}", "--threads=1"],
            stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        try:

            def up() -> bool:
                if server.poll() is not None:
                    log.seek(0)
                    raise RuntimeError(f"The language model ended:\n{log.read()[-2000:].decode(errors='replace')}")
                try:
                    with _open(f"{url}/models", timeout=5) as answer:
                        return bool(answer.status == 200)
                except OSError:
                    return False

            wait_for(up, 300, "the language model answers")
            # Prompts that begin alike follow each other: llama.cpp goes on from what it has read for the one before.
            order = sorted(range(len(prompts)), key=lambda i: json.dumps(prompts[i]))
            told = {i: _complete(url, prompts[i]) for i in order}
            return [told[i] for i in range(len(prompts))]
        finally:
            server.kill()
            server.wait()


def _complete(url: str, messages: object) -> str:
    # As the workflow *ask* sends it.
    body = {"model": "gemma3-270m", "messages": messages, "temperature": 0, "max_tokens": 220, "stop": ["\n\n"]}
    request = urllib.request.Request(
        f"{url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with _open(request, timeout=300) as answer:
        return str(json.load(answer)["choices"][0]["message"]["content"]).strip()


def _keeps_to(text: str, told: str, facts: dict[str, Any]) -> bool:
    """Look up each figure with the unit behind it, and the machine, in what the facts say."""
    figures = re.findall(r"[−-]?\d+(?:[.,]\d+)?(?:\s?(?:kHz|Hz|dB|s|%)\b)?", text)
    known = f" {told} {facts['machine']} "
    if not all(re.search(rf"(?<![\d.,]){re.escape(figure)}(?![\d])", known) for figure in figures):
        return False
    others = [machine for machine, *_ in _MACHINES if machine != facts["machine"]]
    return not any(other in text for other in others)


def _javascript(expression: str, **given: object) -> Any:  # noqa: ANN401  (JSON)
    """Evaluate an expression after the code of the workflows."""
    source = "\n".join((_CODE / name).read_text(encoding="utf-8") for name in ("facts.js", "prompt.js", "guard.js"))
    script = (
        f"{source}\nconst {{ {', '.join(given)} }} = JSON.parse(require('fs').readFileSync(0, 'utf8'));\n"
        f"process.stdout.write(JSON.stringify({expression}));"
    )
    done = subprocess.run(
        [str(n8n.node()), "-e", script], input=json.dumps(given), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


FAULTS = {
    "wording": Fault(
        "the real small language model (`make llm`) words messages about facts drawn at random; at least half must "
        "survive the guard, none with an invented number, machine or name",
        200,
        wording,
    )
}
