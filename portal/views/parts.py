"""Pieces that several pages show: an error, a verdict, a score against its threshold, clips to choose from.

Here: small pieces of a page. Not here: what they say (`wording`).
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from portal.charts import bounded_scale
from portal.client import ServiceError
from portal.cliplist import Choice, list_data, show_list
from portal.formats import Formats
from portal.records import Prediction, Summary
from portal.session import Here
from portal.texts import Texts
from portal.thumbnails import thumbnails
from portal.wording import Line, Tone, problem, verdict


def show_line(line: Line) -> None:
    """Show a sentence the way it is meant."""
    box = {"good": st.success, "bad": st.error, "warning": st.warning, "quiet": st.info}
    box[line.tone](line.text)


def choose_clip(lines: Sequence[Summary | Prediction], chosen: str | None, key: str, visit: Here) -> Choice | None:
    """Show clips to choose one from; the one that was chosen."""
    pictures = thumbnails(visit.service, [line.prediction_id for line in lines])
    choice = show_list(list_data(lines, pictures, chosen, visit.texts, visit.formats), key)
    st.caption(visit.texts("list.open"))
    return choice if choice and any(line.prediction_id == choice.prediction_id for line in lines) else None


def show_problem(error: ServiceError, texts: Texts) -> None:
    """Show what went wrong and what to do; a service that is away is asked again by a button."""
    quiet = error.kind == "missing_route"
    (st.info if quiet else st.error if error.kind in ("fault", "away") else st.warning)(problem(error, texts))
    if error.kind in ("away", "slow", "busy"):
        st.button(
            texts("frame.again"), icon=":material/refresh:", key=f"again-{error.kind}", on_click=st.cache_data.clear
        )


def show_verdict(prediction: Prediction, visit: Here) -> None:
    """Show the verdict, big, and where the score lies against the threshold."""
    texts, formats = visit.texts, visit.formats
    line = verdict(prediction, texts, formats)
    tone: Tone = line.tone if prediction.sensor.ok else "warning"
    name = texts("verdict.anomaly" if prediction.anomaly else "verdict.normal")
    st.html(f'<div class="verdict {tone}" data-testid="verdict"><b>{escape(name)}</b>{escape(line.text)}</div>')
    st.html(_scale(prediction, texts, formats, line.tone))


def _scale(prediction: Prediction, texts: Texts, formats: Formats, tone: Tone) -> str:
    score, limit = bounded_scale(prediction.score, prediction.threshold)
    words = texts(
        "score.above" if prediction.anomaly else "score.below",
        score=formats.number(prediction.score),
        threshold=formats.number(prediction.threshold),
    )
    name = texts("score.threshold", threshold=formats.number(prediction.threshold))
    return (
        f'<div class="scale {tone}" role="img" aria-label="{escape(words)}">'
        f'<span class="name" style="left:{100 * limit:.1f}%">{escape(name)}</span>'
        f'<span class="track"><span class="fill" style="width:{100 * score:.1f}%"></span></span>'
        f'<span class="limit" style="left:{100 * limit:.1f}%"></span></div><div>{escape(words)}</div>'
    )
