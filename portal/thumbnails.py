"""Small pictures of clips for lists: fetched and drawn a few at once, and kept.

Here: which, and how long is waited for them. Not here: drawing (`picture.thumbnail_of`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Final

from audio_pipeline.clip import ClipLimits, decode
from audio_pipeline.errors import ClipError
from portal.client import Service, ServiceError
from portal.picture import thumbnail_of

# A few kB each.
_KEPT: Final = 2000
_AT_ONCE: Final = 2
_PATIENCE_S: Final = 3.0
_pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="thumbnails")


def thumbnails(service: Service, prediction_ids: Sequence[str], within_s: float = _PATIENCE_S) -> dict[str, str]:
    """Return the pictures that can be had in time; the others come next time.

    Parameters
    ----------
    service
        That keeps the clips.
    prediction_ids
        Of the lines to show; a clip that is no longer kept, or cannot be read, has no picture.
    within_s
        A list is not held up for longer.
    """
    asked = {name: _pool.submit(_picture, service, name) for name in dict.fromkeys(prediction_ids)}
    until = time.monotonic() + within_s
    found: dict[str, str] = {}
    for name, coming in asked.items():
        url = _when_done(coming, until)
        if url:
            found[name] = url
    return found


def _when_done(coming: Future[str], until: float) -> str:
    try:
        return coming.result(max(0.0, until - time.monotonic()))
    except TimeoutError:
        coming.cancel()  # not begun yet: whoever looks at the list next asks again
        return ""
    except (ServiceError, ClipError):
        return ""


@lru_cache(_KEPT)
def _picture(service: Service, prediction_id: str) -> str:
    wav = service.audio(f"/predictions/{prediction_id}/audio")
    return thumbnail_of(decode(wav, ClipLimits(min_s=0.0)).samples)
