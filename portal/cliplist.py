"""The list of clips to choose from: a picture that plays, what and when, the verdict on its scale, what people said.

Here: what is sent to the browser, and which line was chosen. Not here: drawing it (`assets/cliplist.js`, a Streamlit
component in the page itself: Streamlit's own table has no lines that play, and none that fold on a phone), the small
pictures (`thumbnails`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from portal.charts import bounded_scale
from portal.components import component
from portal.formats import Formats
from portal.records import Prediction, Summary
from portal.texts import Texts
from portal.wording import line_state


class Choice(NamedTuple):
    """The line that was chosen, and whether its clip is to be played at once."""

    prediction_id: str
    play: bool


def list_data(
    lines: Sequence[Summary | Prediction],
    pictures: Mapping[str, str],
    chosen: str | None,
    texts: Texts,
    formats: Formats,
) -> dict[str, Any]:
    """Say what the browser draws.

    Parameters
    ----------
    lines
        From top to bottom.
    pictures
        Prediction → small picture as a data URL; a line without one shows none.
    chosen
        The prediction whose line is marked.

    Returns
    -------
    dict[str, Any]
        JSON.
    """
    rows = []
    for line in lines:
        fill, limit = bounded_scale(line.score, line.threshold)
        length, machine = formats.seconds(line.duration_s), formats.machine(line.machine)
        sensor_ok = line.sensor_ok if isinstance(line, Summary) else line.sensor.ok
        rows.append(
            {
                "id": line.prediction_id,
                "image": pictures.get(line.prediction_id, ""),
                "name": line.filename or line.prediction_id,
                "about": f"{machine} · {formats.moment(line.created)} · {length}",
                "verdict": texts("verdict.anomaly" if line.anomaly else "verdict.normal"),
                "tone": "bad" if line.anomaly else "good",
                "score": f"{formats.number(line.score)} · p {formats.number(line.p_value, 3)}",
                "fill": round(fill, 3),
                "limit": round(limit, 3),
                "state": line_state(line, texts),
                "flaw": "" if sensor_ok else f"{texts('field.sensor')}: {texts('sensor.bad')}",
            }
        )
    labels = {name: texts(f"list.{name}") for name in ("list", "play", "scale")}
    return {"rows": rows, "chosen": chosen or "", "labels": labels}


def show_list(data: Mapping[str, Any], key: str) -> Choice | None:
    """Show the list; the line that was chosen last, None before."""
    found = component("cliplist")(data=dict(data), key=key, on_chosen_change=lambda: None)
    picked = getattr(found, "chosen", None)
    return Choice(str(picked["id"]), bool(picked["play"])) if picked else None
