"""Recordings that were sent as a zip: unpacked with care, found in their layout, made part of the reference.

Here: the archive and the merging. Not here: embedding (`audio_pipeline.embedding_job`), when (`job`).
"""

from __future__ import annotations

import lzma
import shutil
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from audio_pipeline.clip import decode
from audio_pipeline.datasets import discover
from audio_pipeline.embedding_job import EmbeddingCache, Skipped, embed_recordings
from audio_pipeline.encoder import Encoder
from audio_pipeline.errors import DatasetError
from audio_pipeline.reference import Reference
from serve.prediction.clips import ClipStore

ARCHIVES = "uploads"
_MOST_FILES = 100_000
_COPY = 1 << 20


@dataclass(frozen=True)
class Added:
    """What an upload came to.

    Attributes
    ----------
    reference
        The old reference with the new recordings; not written yet.
    clips
        How many are new.
    skipped
        Those that were left out, and why.
    """

    reference: Reference
    clips: int
    skipped: tuple[Skipped, ...]


def unpack(archive: Path, folder: Path, most_bytes: int) -> Path:
    """Unpack a zip; return the folder that recordings are searched in.

    Parameters
    ----------
    archive
        The zip.
    folder
        Made anew.
    most_bytes
        Of all files together, counted while unpacking: headers lie.

    Raises
    ------
    DatasetError
        It is no zip, names places outside, or holds too much.
    """
    shutil.rmtree(folder, ignore_errors=True)
    root = folder / archive.stem  # a zip of plain normal/ and abnormal/ has its machine's name
    left = most_bytes
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir()]
            if len(entries) > _MOST_FILES:
                raise DatasetError(f"The archive holds {len(entries)} files, at most {_MOST_FILES} are accepted.")
            for entry in entries:
                name = PurePosixPath(entry.filename.replace("\\", "/"))
                if name.is_absolute() or ".." in name.parts:
                    raise DatasetError(
                        f"The archive names a place outside of itself ('{entry.filename}'): pack it anew."
                    )
                target = root / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(entry) as packed, target.open("wb") as file:
                    while block := packed.read(_COPY):
                        left -= len(block)
                        if left < 0:
                            raise DatasetError(
                                f"The archive unpacks to more than {most_bytes / 2**20:.4g} MiB: send it in parts."
                            )
                        file.write(block)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError, EOFError) as error:
        raise DatasetError(f"The archive cannot be unpacked ({error}): pack it anew as an ordinary zip.") from error
    return root


def add_recordings(
    root: Path,
    reference: Reference | None,
    encoder: Encoder,
    cache: EmbeddingCache,
    clips: ClipStore,
    on_clip: Callable[[int, int], None],
) -> Added:
    """Embed the recordings under a folder and put those that are new after an old reference.

    Parameters
    ----------
    root
        The folder, unpacked.
    reference
        The old one, of the same encoder; None: there is none.
    encoder, cache
        As for `embed_recordings`.
    clips
        Keeps each recording, so that it can be heard and embedded again by another encoder.
    on_clip
        Told how many of how many recordings are done.

    Raises
    ------
    DatasetError
        There is no recording in a layout that is understood, or none that can be used.
    """
    recordings = discover(root)
    done = 0

    def count(_: bool) -> None:
        nonlocal done
        done += 1
        on_clip(done, len(recordings))

    result = embed_recordings(recordings, encoder, cache, on_clip=count)
    new, skipped = result.reference, list(result.skipped)
    known = (
        dict(zip(reference.clips.tolist(), reference.targets.tolist(), strict=True)) if reference is not None else {}
    )
    first_row = dict(zip(reversed(new.clips.tolist()), reversed(range(len(new))), strict=True))
    for sha256, row in first_row.items():
        path = Path(str(new.paths[row]))
        if sha256 in known:
            same = known[sha256] == bool(new.targets[row])
            reason = (
                "It is in the reference already."
                if same
                else "The reference has the same sound with the other label: take the wrong one out first."
            )
            skipped.append(Skipped(path.relative_to(root), reason))
        else:
            data = path.read_bytes()
            clips.keep(data, decode(data))
    fresh = new.select(np.array([sha256 not in known for sha256 in new.clips.tolist()], dtype=bool))
    fresh = replace(fresh, paths=np.array([str(Path(str(p)).relative_to(root.parent)) for p in fresh.paths], np.str_))
    count_new = len(set(fresh.clips.tolist()))
    return Added(fresh if reference is None else reference.joined(fresh), count_new, tuple(skipped))
