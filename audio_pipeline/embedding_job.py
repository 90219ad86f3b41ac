"""The job behind `wheeltapper embed`: recordings in, a reference set out; interruptible, cached, on several threads.

Here: the cache of embedded clips, the pool of workers, what happens to broken and doubled clips. Not here: finding
recordings (`datasets`), the steps from bytes to vectors (`embedding`), the files written (`reference`), or
progress bars (`wheeltapper.commands.embed`).

Threads, not processes: ONNX Runtime, the decoder and numpy release the GIL, so that two threads keep two cores busy
with one encoder in memory. A clip is embedded by itself with one ONNX Runtime thread: the vectors, to the bit, do not
depend on the number of workers, on the other clips, or on how often the job was interrupted.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audio_pipeline.clip import DEFAULT_LIMITS, ClipLimits, bytes_of, decode
from audio_pipeline.datasets import Recording
from audio_pipeline.durable import replace_file
from audio_pipeline.embedding import EmbeddedClip, embed_clip
from audio_pipeline.encoder import Encoder
from audio_pipeline.errors import ClipError, DatasetError
from audio_pipeline.reference import Reference
from audio_pipeline.sensor import check
from audio_pipeline.windows import HOP_S, WINDOW_S

_CACHE_FORMAT = "1"  # raised when the steps from bytes to vectors change


class EmbeddingCache:
    """Embedded clips on disk, found again by what made them.

    Parameters
    ----------
    folder
        Where the files lie; made when needed. It may be deleted at any time: it only saves time.
    encoder_sha256
        Of the encoder that makes the vectors.
    """

    def __init__(self, folder: Path, encoder_sha256: str) -> None:
        self._folder = folder
        self._made_by = f"{_CACHE_FORMAT} {encoder_sha256} {WINDOW_S!r} {HOP_S!r}"

    def _path(self, clip_sha256: str) -> Path:
        key = hashlib.sha256(f"{self._made_by} {clip_sha256}".encode()).hexdigest()
        return self._folder / key[:2] / f"{key}.npz"

    def get(self, clip_sha256: str) -> EmbeddedClip | None:
        """Return what was stored for a clip; None when there is nothing, or when it is damaged."""
        try:
            with np.load(self._path(clip_sha256), allow_pickle=False) as stored:
                return EmbeddedClip(
                    sha256=clip_sha256,
                    vectors=stored["vectors"],
                    starts_s=stored["starts_s"],
                    ends_s=stored["ends_s"],
                    level_db=float(stored["level_db"]),
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def put(self, embedded: EmbeddedClip) -> None:
        """Store a clip; a kill leaves the whole of it or nothing."""
        content = io.BytesIO()
        np.savez(
            content,
            vectors=embedded.vectors,
            starts_s=embedded.starts_s,
            ends_s=embedded.ends_s,
            level_db=embedded.level_db,
        )
        replace_file(self._path(embedded.sha256), content.getvalue())


@dataclass(frozen=True)
class Skipped:
    """A recording that did not make it into the reference, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class JobResult:
    """What the job made.

    Parameters
    ----------
    reference
        One row a window, in the order of the recordings; not written yet.
    clips
        How many recordings are in it.
    cached
        How many of those were found in the cache.
    skipped
        The others, each with a sentence.
    """

    reference: Reference
    clips: int
    cached: int
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class _Outcome:
    embedded: EmbeddedClip | None
    cached: bool = False
    reason: str = ""


def embed_recordings(
    recordings: Sequence[Recording],
    encoder: Encoder,
    cache: EmbeddingCache,
    *,
    limits: ClipLimits = DEFAULT_LIMITS,
    workers: int = 1,
    on_clip: Callable[[bool], None] = lambda _cached: None,
) -> JobResult:
    """Embed recordings, each once; what is done survives an interruption in the cache.

    Parameters
    ----------
    recordings
        From `datasets.discover`.
    encoder
        Loaded with one thread; shared by all workers.
    cache
        Of the same encoder.
    limits
        What is accepted.
    workers
        Threads.
    on_clip
        Called in the calling thread after each recording; told whether it came from the cache.

    Returns
    -------
    JobResult
        Recordings that cannot be read are skipped and listed. Of recordings with the same bytes the first is kept; when
        their targets contradict each other, none is.

    Raises
    ------
    DatasetError
        Not one recording could be used.
    KeyboardInterrupt
        Passed on; clips in work are finished and cached first.
    """
    outcomes: dict[int, _Outcome] = {}
    pool = ThreadPoolExecutor(max_workers=max(1, workers), thread_name_prefix="embed")
    try:
        futures = {
            pool.submit(_embed_file, recording.path, encoder, cache, limits): position
            for position, recording in enumerate(recordings)
        }
        for future in as_completed(futures):
            outcome = outcomes[futures[future]] = future.result()
            on_clip(outcome.cached)
    finally:
        pool.shutdown(cancel_futures=True)
    return _assemble(recordings, [outcomes[position] for position in range(len(recordings))], encoder)


def _embed_file(path: Path, encoder: Encoder, cache: EmbeddingCache, limits: ClipLimits) -> _Outcome:
    try:
        data = bytes_of(path, limits)
    except OSError as error:
        return _Outcome(None, reason=f"The file cannot be read ({error.strerror}).")
    embedded = cache.get(hashlib.sha256(data).hexdigest())
    if embedded is not None:
        return _Outcome(embedded, cached=True)
    try:
        clip = decode(data, limits)
    except ClipError as error:
        return _Outcome(None, reason=error.message)
    for finding in check(clip.sensor).findings:
        if finding.fatal:  # a broken microphone must not become what a machine sounds like
            return _Outcome(None, reason=finding.message)
    embedded = embed_clip(encoder, clip)
    cache.put(embedded)
    return _Outcome(embedded)


def _assemble(recordings: Sequence[Recording], outcomes: Sequence[_Outcome], encoder: Encoder) -> JobResult:
    first_with: dict[str, Recording] = {}
    contradicted: set[str] = set()
    for recording, outcome in zip(recordings, outcomes, strict=True):
        if outcome.embedded is not None:
            first = first_with.setdefault(outcome.embedded.sha256, recording)
            if first.target != recording.target:
                contradicted.add(outcome.embedded.sha256)
    kept: list[tuple[Recording, EmbeddedClip]] = []
    skipped: list[Skipped] = []
    cached = 0
    for recording, outcome in zip(recordings, outcomes, strict=True):
        embedded = outcome.embedded
        if embedded is None:
            skipped.append(Skipped(recording.path, outcome.reason))
        elif embedded.sha256 in contradicted:
            reason = "The same sound is labelled normal in one place and anomaly in another: keep the right one."
            skipped.append(Skipped(recording.path, reason))
        elif first_with[embedded.sha256] is not recording:
            first = first_with[embedded.sha256]
            skipped.append(Skipped(recording.path, f"The same bytes as {first.path}, which is kept."))
        else:
            kept.append((recording, embedded))
            cached += outcome.cached
    if not kept:
        example = f" The first: {skipped[0].path}: {skipped[0].reason}" if skipped else ""
        raise DatasetError(f"None of the {len(recordings)} recordings could be used.{example}")
    return JobResult(_reference(kept, encoder), len(kept), cached, tuple(skipped))


def _reference(kept: Sequence[tuple[Recording, EmbeddedClip]], encoder: Encoder) -> Reference:
    counts = [len(embedded.vectors) for _, embedded in kept]

    def per_window(values: Iterable[str]) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
        return np.repeat(np.array(list(values), dtype=np.str_), counts)

    return Reference(
        vectors=np.concatenate([embedded.vectors for _, embedded in kept]),
        targets=np.repeat(np.array([recording.target for recording, _ in kept], dtype=bool), counts),
        clips=per_window(embedded.sha256 for _, embedded in kept),
        paths=per_window(str(recording.path) for recording, _ in kept),
        machines=per_window(recording.machine for recording, _ in kept),
        domains=per_window(recording.domain for recording, _ in kept),
        splits=per_window(recording.split for recording, _ in kept),
        groups=per_window(recording.group for recording, _ in kept),
        starts_s=np.concatenate([embedded.starts_s for _, embedded in kept]),
        ends_s=np.concatenate([embedded.ends_s for _, embedded in kept]),
        levels_db=np.repeat(np.array([embedded.level_db for _, embedded in kept], dtype=np.float64), counts),
        encoder_name=encoder.manifest.name,
        encoder_sha256=encoder.manifest.sha256,
    )
