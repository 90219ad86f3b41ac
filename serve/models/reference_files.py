"""The reference set on this service's disk, read once for each of its versions.

Here: when to read again, and where a clip's recording lies. Not here: the files' content (`audio_pipeline.reference`).
"""

from __future__ import annotations

import threading
from pathlib import Path

from audio_pipeline.clip import DEFAULT_LIMITS, Clip, decode
from audio_pipeline.errors import ClipError, ReferenceDataError
from audio_pipeline.reference import MANIFEST, Reference, read_reference
from serve.prediction.clips import ClipStore


class ReferenceFiles:
    """Reads `ref_data.csv` when it has changed; safe to use from several threads.

    Parameters
    ----------
    data
        The data folder.
    clips
        Where uploaded recordings are kept.
    """

    def __init__(self, data: Path, clips: ClipStore) -> None:
        self._data = data
        self._clips = clips
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._reference: Reference | None = None

    def read(self) -> Reference:
        """Return the reference set.

        Raises
        ------
        ReferenceDataError
            There is none, or its files are damaged.
        """
        with self._lock:
            try:
                found = (self._data / MANIFEST).stat()
            except OSError as error:
                raise ReferenceDataError(
                    f"There is no reference in {self._data} yet: run `wheeltapper embed FOLDER` on recordings, "
                    "or send a zip of them to POST /reference."
                ) from error
            state = found.st_ino, found.st_mtime_ns, found.st_size
            if self._reference is None or state != self._seen:
                self._reference, self._seen = read_reference(self._data), state
            return self._reference

    def clip(self, sha256: str) -> Clip | None:
        """Return the recording of a reference clip; None: it is not in the reference, or no longer on the disk."""
        try:
            reference = self.read()
        except ReferenceDataError:
            return None
        paths = reference.paths[reference.clips == sha256]
        if not len(paths):
            return None
        kept = self._clips.read(f"{sha256[:2]}/{sha256}.flac")
        if kept is not None:
            return kept
        try:
            return decode(Path(str(paths[0])).read_bytes(), DEFAULT_LIMITS)
        except (OSError, ClipError):
            return None
