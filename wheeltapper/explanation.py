"""A verdict in plain words, for somebody who meets the figures for the first time.

Here: wording, for the command line and the demo alike. Not here: making the verdict (`audio_pipeline.scoring`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def explain(answer: Mapping[str, Any], known: bool = True) -> str:
    """Say in plain words what a verdict means.

    Parameters
    ----------
    answer
        As `POST /predict` answers it, and `Verdict.to_json` tells it.
    known
        Whether the model was trained on the answer's machine; otherwise the clip was compared with all machines.

    Returns
    -------
    str
        A few lines, each beginning with what it is about.

    Examples
    --------
    >>> window = {"start_s": 0.0, "end_s": 10.0, "score": 3.2}
    >>> answer = {"anomaly": True, "score": 3.2, "threshold": 2.0, "p_value": 0.03, "machine": "fan/id_04"}
    >>> answer |= {"false_alarm_rate": 0.05, "false_alarm_rate_used": 0.05, "windows": [window], "duration_s": 10.0}
    >>> answer |= {"sensor": {"ok": True, "findings": []}, "encoder": "default"}
    >>> print(explain(answer | {"model_version": "model-8c12b867bd03"}))
    verdict     ANOMALY
    score       3.20, above the threshold: the higher, the less it sounds like the healthy clips of fan/id_04
    threshold   2.00: about 5 in 100 healthy clips go above it and raise a false alarm
    p-value     0.030: of 100 healthy clips about 3 would sound at least this odd
    microphone  no flaw of microphone or cable
    model       model-8c12b867bd03, encoder default
    """
    compared_with = answer["machine"] if known else "any machine that the model knows"
    used, asked = answer["false_alarm_rate_used"], answer["false_alarm_rate"]
    lines = [
        ("verdict", "ANOMALY" if answer["anomaly"] else "normal"),
        (
            "score",
            f"{answer['score']:.2f}, {'above' if answer['anomaly'] else 'not above'} the threshold: the higher, "
            f"the less it sounds like the healthy clips of {compared_with}",
        ),
        (
            "threshold",
            f"{answer['threshold']:.2f}: about {100 * used:.2g} in 100 healthy clips go above it and raise a false "
            "alarm",
        ),
    ]
    if used > asked:
        lines.append(("", f"({100 * asked:.2g} in 100 was asked for; that takes more healthy recordings)"))
    lines.append(("p-value", f"{answer['p_value']:.3f}: {_in_a_hundred(answer['p_value'])}"))
    if len(answer["windows"]) > 1:
        oddest = max(answer["windows"], key=lambda window: float(window["score"]))
        lines.append(
            (
                "where",
                f"{oddest['start_s']:g} s to {oddest['end_s']:g} s of {answer['duration_s']:.1f} s, the oddest of "
                f"{len(answer['windows'])} windows, decides",
            )
        )
    sensor = answer["sensor"]
    if not sensor["ok"]:
        lines.append(("microphone", "the recording is so poor that this verdict is worth nothing:"))
    elif not sensor["findings"]:
        lines.append(("microphone", "no flaw of microphone or cable"))
    for finding in sensor["findings"]:
        lines.append(("" if lines[-1][0] == "microphone" else "microphone", finding["message"]))
    lines.append(("model", f"{answer['model_version']}, encoder {answer['encoder']}"))
    return "\n".join(f"{about:<10}  {words}" for about, words in lines)


def _in_a_hundred(p_value: float) -> str:
    count = p_value * 100
    if count >= 99.5:
        return "all of 100 healthy clips would sound at least this odd"
    about = f"about {count:.0f}" if count >= 1.5 else "about one" if count >= 0.75 else "less than one"
    return f"of 100 healthy clips {about} would sound at least this odd"
