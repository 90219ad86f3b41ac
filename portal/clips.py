"""Clips as the pages need them: a picture and a WAV that every browser plays, from a file or from the service.

Here: decoding, and keeping the last few so that a click elsewhere on the page does not fetch them again. Not here:
drawing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from audio_pipeline.clip import ClipLimits, decode, to_wav
from audio_pipeline.errors import ClipError
from portal import session
from portal.client import ServiceError
from portal.picture import Picture, picture_of

_FORMATS = ("wav", "flac", "mp3", "ogg", "opus", "oga", "aif", "aiff")
# Each holds a picture (tens of kB) and a WAV (320 kB for 10 s, 19 MB for ten minutes), for all visitors together.
_KEPT = 12


@dataclass(frozen=True)
class Shown:
    """A clip to look at and listen to."""

    picture: Picture
    wav: bytes


@dataclass(frozen=True)
class Unreadable:
    """Why a file is no clip: the code and the sentence, as the service would say."""

    code: str
    detail: str


@dataclass(frozen=True)
class DemoClip:
    """A recording that is shipped to try things with."""

    path: Path
    machine: str
    kind: str

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name


@st.cache_data(max_entries=_KEPT, show_spinner=False)
def read_file(data: bytes, filename: str, max_bytes: int) -> Shown | Unreadable:
    """Decode a file, before it is sent anywhere."""
    try:
        clip = decode(data, ClipLimits(max_bytes=max_bytes), filename)
    except ClipError as error:
        return Unreadable(error.code, error.message)
    return Shown(picture_of(clip.samples), to_wav(clip.samples))


@st.cache_data(max_entries=_KEPT, show_spinner=False)
def fetch(address: str, path: str) -> Shown:
    """Fetch a clip from the service by its path there.

    Raises
    ------
    ServiceError
        As any call; `refused`: it is kept and cannot be read, as one that is silent in 16 bits.
    """
    wav = session.service_at(address, session.own_key()).audio(path)
    try:
        samples = decode(wav, ClipLimits(min_s=0.0)).samples
    except ClipError as error:
        raise ServiceError("refused", error.message, error.code) from error
    return Shown(picture_of(samples), wav)


def demo_clips(folder: Path) -> list[DemoClip]:
    """List the demo clips, `<machine>/<normal or abnormal>/<file>`; none where the folder is not there."""
    return [
        DemoClip(path, "/".join(path.relative_to(folder).parts[:-2]), path.parent.name)
        for path in sorted(folder.glob("**/*"))
        if path.suffix.lstrip(".").lower() in _FORMATS and len(path.relative_to(folder).parts) >= 2
    ]
