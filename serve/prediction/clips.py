"""The stored clips: `<folder>/ab/<sha256>.flac`, each once, whole or not there.

Here: files. Not here: the rows that point at them (`database`), and how long they are kept (`retention`).
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from audio_pipeline.clip import ACCEPTED_BEFORE, Clip, decode, to_flac

_FLAC_MAGIC = b"fLaC"


class ClipStore:
    """Clips as FLAC files, under the sha256 of the bytes that were sent.

    Parameters
    ----------
    folder
        Where they lie; made when the first one comes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, sent: bytes, clip: Clip) -> str:
        """Store a clip, unless it is there.

        FLAC is kept byte for byte as it was sent (nothing is lost, and nothing is spent); anything else as the 16 kHz
        mono signal that is scored.

        Parameters
        ----------
        sent
            The bytes that were decoded.
        clip
            What they were decoded to.

        Returns
        -------
        str
            The file's path relative to the folder.

        Raises
        ------
        OSError
            The disk is full or cannot be written.
        """
        name = f"{clip.sha256[:2]}/{clip.sha256}.flac"
        path = self.folder / name
        try:
            os.utime(path)  # it counts as new: `retention` goes by this
        except FileNotFoundError:
            pass
        else:
            return name
        data = sent if sent.startswith(_FLAC_MAGIC) else to_flac(clip.samples)
        if not path.parent.is_dir():  # 256 of them: they are nearly always there
            path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
        # No fsync: a kill of the process loses nothing that was written, and the row that names this file is no safer
        # from a power cut (connection.py). Waiting for the disk costs more than scoring.
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return name

    def read(self, name: str) -> Clip | None:
        """Read a stored clip; None when it is no longer kept."""
        try:
            data = (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None
        return decode(data, ACCEPTED_BEFORE, name)
