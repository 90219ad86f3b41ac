"""The microphone, as it is: recorded without what browsers do to sound for the sake of speech.

Here: what comes from the browser. Not here: recording (`assets/recorder.js`, a Streamlit component: Streamlit's own
recorder cannot switch noise suppression and automatic gain off, which remove just what a machine sounds like).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final

import streamlit as st

from portal.components import component
from portal.texts import Texts

_MOST_S: Final = 60
_RECORDED: Final = "recording"


@dataclass(frozen=True)
class Recording:
    """What was recorded.

    Attributes
    ----------
    wav
        The file.
    cleaned
        The browser filtered it all the same.
    """

    wav: bytes
    cleaned: bool


def show_recorder(texts: Texts, key: str) -> Recording | None:
    """Show the recorder; what it recorded last in this visit, None before."""
    names = ("start", "stop", "failed", "insecure", "NotAllowedError", "NotFoundError")
    labels = {name: texts(f"recorder.{name}") for name in names}
    found = component("recorder")(data={"labels": labels, "most_s": _MOST_S}, key=key, on_recorded_change=lambda: None)
    sent = getattr(found, "recorded", None)
    if sent:
        st.session_state[_RECORDED] = _recording_of(sent)
    kept: Recording | None = st.session_state.get(_RECORDED)
    return kept


def forget_recording() -> None:
    """Drop what was recorded."""
    st.session_state.pop(_RECORDED, None)


def _recording_of(sent: Any) -> Recording | None:  # noqa: ANN401 - whatever a browser sends
    try:
        return Recording(base64.b64decode(sent["wav"], validate=True), bool(sent["cleaned"]))
    except (binascii.Error, KeyError, TypeError, ValueError):
        return None
