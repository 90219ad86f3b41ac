"""The reference made anew with another encoder, from the recordings that are still there.

    reference ─► each clip's recording (where it was read from, or clip store) ─► cache ─► the same rows, new vectors

Here: finding recordings again, the rows. Not here: answers and the swap (`serve.models.reembedding`), the files
(`reference`). Interrupted, it goes on from the cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from audio_pipeline.clip import ACCEPTED_BEFORE, Clip, decode
from audio_pipeline.embedding import EmbeddedClip, embed_clip
from audio_pipeline.embedding_job import EmbeddingCache
from audio_pipeline.encoder import Encoder
from audio_pipeline.errors import ClipError, ReferenceDataError
from audio_pipeline.reference import Reference


class Recordings:
    """The recordings behind a reference's rows.

    Parameters
    ----------
    store
        The clip store's folder: `ab/<sha256>.flac`, named by the bytes that were sent.
    """

    def __init__(self, store: Path) -> None:
        self._store = store

    def read(self, sha256: str, path: str) -> Clip | None:
        """Read a clip; None when neither the file it was read from is still the same nor the store has it.

        The file comes first: the store may hold 16 bits at 16 kHz of what was finer.

        Parameters
        ----------
        sha256
            Of the clip's bytes.
        path
            Where it was read from.
        """
        for place, exact in ((Path(path), True), (self._store / sha256[:2] / f"{sha256}.flac", False)):
            try:
                data = place.read_bytes()
                if exact and hashlib.sha256(data).hexdigest() != sha256:
                    continue
                return replace(decode(data, ACCEPTED_BEFORE, place.name), sha256=sha256)
            except (OSError, ValueError, ClipError):  # ValueError: a path that no system can have
                continue
        return None


@dataclass(frozen=True, eq=False)
class Reembedded:
    """What came of it.

    Parameters
    ----------
    reference
        The same clips in the same order, with the new encoder's vectors; `sha256` is empty until it is written.
    missing
        Paths of the clips whose recording is gone; their rows are left out.
    """

    reference: Reference
    missing: tuple[str, ...]


def reembed(
    reference: Reference,
    encoder: Encoder,
    cache: EmbeddingCache,
    recordings: Recordings,
    *,
    workers: int = 1,
    on_clip: Callable[[], None] = lambda: None,
) -> Reembedded:
    """Embed a reference's clips with another encoder.

    Parameters
    ----------
    reference
        Of any encoder.
    encoder, cache
        The new one, and the cache of its vectors.
    recordings
        Where the clips are.
    workers
        Threads.
    on_clip
        Called after each clip.

    Raises
    ------
    ReferenceDataError
        Not one recording is left.
    """
    first = np.sort(np.unique(reference.clips, return_index=True)[1])
    clips = [(str(reference.clips[row]), str(reference.paths[row])) for row in first]
    rows: list[int] = []
    embedded: list[EmbeddedClip] = []
    missing: list[str] = []
    for row, (_, path), found in zip(first, clips, _embedded(clips, encoder, cache, recordings, workers), strict=True):
        on_clip()
        if found is None:
            missing.append(path)
        else:
            rows.append(int(row))
            embedded.append(found)
    if not rows:
        raise ReferenceDataError(
            f"None of the reference's {len(clips)} recordings is left, neither in the clip store nor where it was read "
            f"from (the first: {missing[0]}): put them back, or run `wheeltapper embed FOLDER --encoder` on others."
        )
    counts = [len(one.vectors) for one in embedded]
    # One row a clip, then as many as it has windows; windows are cut by length alone, whatever the encoder.
    repeated = reference.select(np.repeat(np.array(rows, np.int64), counts))
    return Reembedded(
        replace(
            repeated,
            vectors=np.concatenate([one.vectors for one in embedded]),
            starts_s=np.concatenate([one.starts_s for one in embedded]),
            ends_s=np.concatenate([one.ends_s for one in embedded]),
            encoder_name=encoder.manifest.name,
            encoder_sha256=encoder.manifest.sha256,
            sha256="",
        ),
        tuple(missing),
    )


def _embedded(
    clips: list[tuple[str, str]], encoder: Encoder, cache: EmbeddingCache, recordings: Recordings, workers: int
) -> Iterator[EmbeddedClip | None]:
    def one(clip: tuple[str, str]) -> EmbeddedClip | None:
        found = cache.get(clip[0])
        if found is not None:
            return found
        recording = recordings.read(*clip)
        if recording is None:
            return None
        found = embed_clip(encoder, recording)
        cache.put(found)
        return found

    pool = ThreadPoolExecutor(max_workers=max(1, workers), thread_name_prefix="reembed")
    try:
        yield from pool.map(one, clips)
    finally:
        pool.shutdown(cancel_futures=True)
