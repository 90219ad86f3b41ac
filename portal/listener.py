"""The picture of a clip that one can listen to: outline, strangeness and spectrogram on one time axis that zooms.

Here: what is sent to the browser. Not here: drawing it (`assets/listener.js`, a Streamlit component in the page itself,
so that it works offline and moves the page's own audio element), making the picture (`picture`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from portal.components import component
from portal.formats import Formats
from portal.picture import Picture
from portal.records import Explanation
from portal.texts import Texts
from portal.wording import direction

_BANDS_DRAWN = 3


def listener_data(
    key: str, picture: Picture, explanation: Explanation | None, texts: Texts, formats: Formats
) -> dict[str, Any]:
    """Say what the browser draws.

    Parameters
    ----------
    key
        Names the clip and, as a class, the container that holds its player.
    picture
        Of the clip.
    explanation
        What stands out in it, if that is known.

    Returns
    -------
    dict[str, Any]
        JSON.
    """
    explained = explanation or Explanation()
    bands = [
        {
            "low_hz": band.low_hz,
            "high_hz": band.high_hz,
            "direction": direction(band),
            "label": "≠" if direction(band) == "same" else formats.decibels(band.change_db),
        }
        for band in explained.bands[:_BANDS_DRAWN]
    ]
    seconds = [] if explained.throughout else [second.model_dump() for second in explained.seconds]
    strongest = max(explained.frame_strength, default=0.0)
    # What is the same all the time is said in words; drawn, it would hide the picture.
    told = strongest > 0 and not explained.throughout
    strength = [round(max(0.0, value) / strongest, 3) for value in explained.frame_strength] if told else []
    legend = [("strength", texts("listener.strength"))] if told else []
    legend += [("odd", texts("listener.odd"))] if seconds else []
    legend += [
        (kind, texts(f"listener.{kind}"))
        for kind in ("more", "less", "same")
        if any(b["direction"] == kind for b in bands)
    ]
    return {
        "id": key,
        "player": f"st-key-{key}",
        "duration": picture.duration_s,
        "outline": list(picture.outline),
        "spectrogram": picture.spectrogram,
        "edges_hz": list(picture.edges_hz),
        "strength": strength,
        "strength_from": explained.frame_start_s,
        "strength_step": explained.frame_hop_s,
        "seconds": seconds,
        "bands": bands,
        "labels": {
            "alt": texts("listener.alt"),
            "legend": legend,
            "buttons": {name: texts(f"listener.{name}") for name in ("in", "out", "whole", "jump")},
        },
    }


def show(data: Mapping[str, Any], wav: bytes, play: bool = False) -> None:
    """Show the picture and, under it, the player that it moves.

    Parameters
    ----------
    data
        As `listener_data` makes it.
    wav
        The clip.
    play
        Begin at once.
    """
    mount = component("listener")
    mount(data=dict(data), key=f"listener-{data['id']}")
    with st.container(key=str(data["id"])):
        st.audio(wav, format="audio/wav", autoplay=play)
