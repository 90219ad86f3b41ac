"""The code of `automation/code`, run by Node alone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import automation
from automation import n8n

CODE = Path(automation.__file__).parent / "code"


def run(files: tuple[str, ...], expression: str, **given: Any) -> Any:
    """Evaluate an expression after the files; `given` are its variables."""
    source = "\n".join((CODE / name).read_text(encoding="utf-8") for name in files)
    script = (
        f"{source}\nconst given = JSON.parse(require('fs').readFileSync(0, 'utf8'));\n"
        f"const {{ {', '.join(given)} }} = given;\n"
        f"process.stdout.write(JSON.stringify({expression}) ?? 'null');"
    )
    done = subprocess.run(
        [str(n8n.node()), "-e", script], input=json.dumps(given), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def facts(**different: Any) -> dict[str, Any]:
    """Facts of an alarm, as serve gives them."""
    return {
        "question_id": "6f1c2a30-0000-4000-8000-000000000001",
        "prediction_id": "6f1c2a30-0000-4000-8000-000000000002",
        "token": "a-token",
        "reason": "alarm",
        "state": "queued",
        "language": "en",
        "recipient": {"name": "Ann", "email": "operator@localhost"},
        "escalation": {"name": "", "email": "second@localhost"},
        "machine": "fan/id_00",
        "machine_name": "the roof fan",
        "created": "2026-11-24T13:03:00Z",
        "local_time": "2026-11-24T14:03:00+01:00",
        "duration_s": 10.0,
        "anomaly": True,
        "score": 3.41,
        "threshold": 2.2,
        "p_value": 0.012,
        "false_alarm_rate_used": 0.02,
        "filename": "fan_abnormal_00.flac",
        "seconds": [{"start_s": 2.0, "end_s": 3.5}],
        "bands": [{"low_hz": 2100, "high_hz": 4000, "direction": "more", "change_db": 6.2}],
        "nearest": [{"id": "x", "machine": "fan/id_00", "target": True, "title": "rattle of 12 Nov", "distance": 0.3}],
        "sensor": [],
        "playbook": {
            "machine_name": "the roof fan",
            "likely": ["a worn bearing"],
            "steps": ["Listen at the bearing side.", "Stop the fan if the noise grows."],
            "contact": "Workshop, extension 12",
        },
        "episode": {"count": 3, "first": None, "last": None},
        "form_url": "https://ask.example/form/wheeltapper-answer?question_id=q&token=t",
        "portal_url": "https://portal.example/?prediction=p",
        "audio_url": "/predictions/p/audio",
        "spectrogram_url": "/predictions/p/spectrogram.png",
        "model_version": "20261124-1",
        **different,
    }
