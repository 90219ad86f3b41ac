"""What a retrain learns from and is judged on: the reference and people's answers, sorted into uses.

    answer ─┬─ held out by its recording group ──────────────► compared on
            ├─ contradicts another answer or the reference ──► left out (noise)
            ├─ far more of one kind than of the rest ────────► left out (flood)
            └─ else ─────────────────────────────────────────► trained on; drawn at random and normal: calibrates, too

Here: sorting. Not here: fitting (`audio_pipeline.detector`), comparing (`audio_pipeline.comparison`).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePath
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from audio_pipeline.detector.coreset import coreset
from audio_pipeline.embedding import EmbeddedClip, embed_clip
from audio_pipeline.embedding_job import EmbeddingCache
from audio_pipeline.encoder import Encoder
from audio_pipeline.reference import Reference, is_held_out
from serve.database.predictions import from_bytes
from serve.database.tables import Answer, Prediction, PredictionWindow, Question, StoredClip
from serve.prediction.clips import ClipStore

Role = Literal["trained", "calibrated", "held_out", "left_out"]

PREFIX = "production"
"""First part of the recording group of an answered clip."""
TWIN = 0.25
"""Two windows nearer to each other than this share of what two healthy ones usually are apart sound the same."""
NOISY_SHARE, NOISY_AT_LEAST = 0.2, 4
"""As many contradicting answers, of all, mean that the answers cannot be learned from."""
FLOOD_FROM, FLOOD_SHARE = 20, 0.95
"""From so many new answers on, of which such a share says the same, they are looked at with care."""
_NORMALS_A_REFERENCE_NORMAL, _FEWEST_NORMALS, _MOST_FAULTS, _MOST_COMPARED = 3, 100, 100, 50
_PIECE = re.compile(r"_[ts]\d+$")


@dataclass(frozen=True)
class AnsweredClip:
    """A prediction that a person called an anomaly or normal.

    Attributes
    ----------
    prediction_id, created
        Which, and when the answer that stands was given.
    target
        True = anomaly.
    machine, clip_sha256, path, filename
        Of the clip; `path` in the store of clips.
    drawn
        It was asked about at random, whatever it sounded like.
    predicted
        The verdict that was given.
    encoder_sha256
        Made the vectors.
    deciding
        Position of the deciding window in `vectors`.
    starts_s, ends_s, vectors
        float64[W], float64[W], float32[W, n]: its windows.
    """

    prediction_id: uuid.UUID
    created: datetime
    target: bool
    machine: str
    clip_sha256: str
    path: str
    filename: str | None
    drawn: bool
    predicted: bool
    encoder_sha256: str
    deciding: int
    starts_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]
    vectors: NDArray[np.float32]


@dataclass(frozen=True)
class Use:
    """What is done with one answer."""

    clip: AnsweredClip
    role: Role
    why: str = ""


@dataclass(frozen=True)
class Material:
    """What a challenger is made of and judged on.

    Attributes
    ----------
    rows
        The reference's rows, then the deciding windows of the answers that train; `fit` takes those not held out.
    held_out
        All windows of every held-out clip, of the reference and of answers.
    uses
        One a prediction answered.
    """

    rows: Reference
    held_out: Reference
    uses: tuple[Use, ...]

    @property
    def contradicting(self) -> int:
        """How many answers were left out because they contradict something."""
        return sum(use.role == "left_out" and use.why.startswith(_CONTRADICTION) for use in self.uses)

    @property
    def noisy(self) -> bool:
        """Whether the answers contradict each other too often to learn from."""
        return self.contradicting >= max(NOISY_AT_LEAST, NOISY_SHARE * len(self.uses))


_CONTRADICTION = "Contradiction: "


def answered_clips(session: Session) -> list[AnsweredClip]:
    """Read every answered prediction, in the order of `prod_data.csv`."""
    found = session.execute(
        select(Answer, Prediction, StoredClip.path, Question.reason)
        .join(Prediction, Prediction.id == Answer.prediction_id)
        .join(StoredClip, StoredClip.sha256 == Prediction.clip_sha256)
        .outerjoin(Question, Question.prediction_id == Prediction.id)
        .where(Answer.answer.in_(("anomaly", "normal")))
        .order_by(Answer.row)
    ).all()
    windows: dict[uuid.UUID, list[PredictionWindow]] = {}
    numbers = [prediction.id for _, prediction, _, _ in found]
    for first in range(0, len(numbers), 500):
        for window in session.scalars(
            select(PredictionWindow)
            .where(PredictionWindow.prediction_id.in_(numbers[first : first + 500]))
            .order_by(PredictionWindow.prediction_id, PredictionWindow.position)
            .options(undefer(PredictionWindow.vector))
        ):
            windows.setdefault(window.prediction_id, []).append(window)
    return [
        AnsweredClip(
            prediction_id=prediction.id,
            created=answer.changed or answer.created,
            target=answer.answer == "anomaly",
            machine=prediction.machine,
            clip_sha256=prediction.clip_sha256,
            path=path,
            filename=prediction.filename,
            drawn=reason == "audit",
            predicted=prediction.anomaly,
            encoder_sha256=prediction.encoder_sha256,
            deciding=prediction.deciding_window,
            starts_s=np.array([window.start_s for window in windows[prediction.id]]),
            ends_s=np.array([window.end_s for window in windows[prediction.id]]),
            vectors=np.array([from_bytes(window.vector) for window in windows[prediction.id]], np.float32),
        )
        for answer, prediction, path, reason in found
    ]


def by_encoder(
    answered: Sequence[AnsweredClip], encoder: Encoder, clips: ClipStore, cache: EmbeddingCache
) -> tuple[list[AnsweredClip], list[Use]]:
    """Have every clip's vectors made by one encoder, from the stored recording where another one made them.

    Returns
    -------
    list of AnsweredClip, list of Use
        The clips, and those whose recording is gone.
    """
    kept, gone = [], []
    for clip in answered:
        if clip.encoder_sha256 == encoder.manifest.sha256:
            kept.append(clip)
            continue
        embedded = _embed_again(clip, encoder, clips, cache)
        if embedded is None:
            why = "Another encoder made its vectors, and the recording is no longer kept to make them anew."
            gone.append(Use(clip, "left_out", why))
            continue
        start = clip.starts_s[clip.deciding]
        kept.append(
            replace(
                clip,
                encoder_sha256=encoder.manifest.sha256,
                starts_s=embedded.starts_s,
                ends_s=embedded.ends_s,
                vectors=embedded.vectors,
                deciding=int(np.abs(embedded.starts_s - start).argmin()),
            )
        )
    return kept, gone


def _embed_again(clip: AnsweredClip, encoder: Encoder, clips: ClipStore, cache: EmbeddingCache) -> EmbeddedClip | None:
    embedded = cache.get(clip.clip_sha256)
    if embedded is None:
        stored = clips.read(clip.path)
        if stored is None:
            return None
        embedded = replace(embed_clip(encoder, stored), sha256=clip.clip_sha256)
        cache.put(embedded)
    return embedded


def sort_out(reference: Reference, answered: Sequence[AnsweredClip]) -> Material:
    """Decide what each answer is good for.

    Parameters
    ----------
    reference
        The reference set.
    answered
        With vectors of the reference's encoder.
    """
    groups = {clip.prediction_id: group_of(clip, reference) for clip in answered}
    uses: dict[uuid.UUID, Use] = {}
    for clip, why in _contradicting(reference, answered):
        uses.setdefault(clip.prediction_id, Use(clip, "left_out", _CONTRADICTION + why))
    seen: dict[str, uuid.UUID] = {}
    for clip in reversed(answered):  # of several predictions of one clip, the last answer counts
        if clip.prediction_id in uses:
            continue
        if clip.clip_sha256 in seen:
            why = f"The same recording as prediction {seen[clip.clip_sha256]}, whose answer is used."
            uses[clip.prediction_id] = Use(clip, "left_out", why)
            continue
        seen[clip.clip_sha256] = clip.prediction_id
        if is_held_out(groups[clip.prediction_id]):
            uses[clip.prediction_id] = Use(clip, "held_out")
    remaining = [clip for clip in answered if clip.prediction_id not in uses]
    for clip in _beyond_measure(reference, remaining):
        why = "More answers of this kind about this machine than are used; those that are used are spread over them."
        uses[clip.prediction_id] = Use(clip, "left_out", why)
    for clip in remaining:
        # Asked about whatever it sounded like, and found healthy: the only answers that thresholds may rest on.
        calibrates = clip.drawn and not clip.target and not clip.predicted
        uses.setdefault(clip.prediction_id, Use(clip, "calibrated" if calibrates else "trained"))
    ordered = tuple(uses[clip.prediction_id] for clip in answered)
    training = [use for use in ordered if use.role in ("trained", "calibrated")]
    known = set(reference.clips[reference.held_out].tolist())
    compared = [use for use in ordered if use.role == "held_out" and use.clip.clip_sha256 not in known]
    return Material(
        rows=reference.joined(_rows(reference, training, groups, deciding_only=True)),
        held_out=reference.select(reference.held_out).joined(
            _rows(reference, _at_most(compared), groups, deciding_only=False)
        ),
        uses=ordered,
    )


def group_of(clip: AnsweredClip, reference: Reference) -> str:
    """Return an answered clip's recording group, which decides for good whether it is held out.

    A clip that the reference holds too belongs to its group there. Files that are named as pieces of one session
    (`flight7_t03.wav`) belong together; any other clip is a recording of its own, however often it is sent.
    """
    rows = np.flatnonzero(reference.clips == clip.clip_sha256)
    if len(rows):
        return str(reference.groups[rows[0]])
    stem = PurePath(clip.filename or "").stem
    if _PIECE.search(stem):
        return f"{PREFIX}/{clip.machine}/{_PIECE.sub('', stem)}"
    return f"{PREFIX}/{clip.clip_sha256}"


def one_sided(uses: Iterable[Use], since: datetime | None) -> bool | None:
    """Return the target that nearly all new answers have, when there are many of them; None: there is no flood."""
    new = [use.clip.target for use in uses if since is None or use.clip.created > since]
    if len(new) < FLOOD_FROM:
        return None
    share = sum(new) / len(new)
    return True if share >= FLOOD_SHARE else False if share <= 1 - FLOOD_SHARE else None


def without_flood(material: Material, target: bool, since: datetime | None) -> Reference:
    """Return the held-out rows but for the new answers that say `target`."""
    flood = {
        use.clip.clip_sha256
        for use in material.uses
        if use.clip.target == target and (since is None or use.clip.created > since)
    }
    return material.held_out.select(~np.isin(material.held_out.clips, list(flood)))


def _contradicting(reference: Reference, answered: Sequence[AnsweredClip]) -> Iterable[tuple[AnsweredClip, str]]:
    """Find answers that say one thing of a sound of which another answer, or the reference, says the other."""
    by_sha: dict[str, set[bool]] = {}
    for clip in answered:
        by_sha.setdefault(clip.clip_sha256, set()).add(clip.target)
    of_reference = dict(zip(reference.clips.tolist(), reference.targets.tolist(), strict=True))
    for clip in answered:
        if len(by_sha[clip.clip_sha256]) > 1:
            yield clip, "the same recording was called normal by one answer and an anomaly by another."
        elif of_reference.get(clip.clip_sha256, clip.target) != clip.target:
            yield clip, "the reference holds this recording with the other label."
    if not answered or not len(reference):
        return
    standard = _standard(reference)
    deciding = standard(np.stack([clip.vectors[clip.deciding] for clip in answered]))
    targets = np.array([clip.target for clip in answered])
    machines = np.array([clip.machine for clip in answered])
    for machine in np.unique(machines):
        own = np.flatnonzero(machines == machine)
        normals = reference.vectors[(reference.machines == machine) & ~reference.targets]
        others = normals if len(normals) > 1 else reference.vectors[~reference.targets]
        near = TWIN * _usual_distance(standard(others))
        apart = _distances(deciding[own], deciding[own])
        opposite = targets[own][:, None] != targets[own][None]
        for position in np.flatnonzero(((apart < near) & opposite).any(1)):
            yield answered[own[position]], "it sounds the same as a clip of which another answer says the opposite."
        faults = own[targets[own]]
        if len(normals) and len(faults):
            for position in np.flatnonzero((_distances(deciding[faults], standard(normals)) < near).any(1)):
                yield answered[faults[position]], "it sounds the same as a healthy clip of the reference."


def _beyond_measure(reference: Reference, remaining: Sequence[AnsweredClip]) -> list[AnsweredClip]:
    """Find the answers that one machine has too many of in one kind: they would outweigh everything else."""
    surplus = []
    for machine, target in {(clip.machine, clip.target) for clip in remaining}:
        own = [clip for clip in remaining if (clip.machine, clip.target) == (machine, target)]
        normals = int(((reference.machines == machine) & ~reference.targets & ~reference.held_out).sum())
        most = _MOST_FAULTS if target else max(_FEWEST_NORMALS, _NORMALS_A_REFERENCE_NORMAL * normals)
        if len(own) > most:
            standard = _standard(reference)
            chosen = coreset(standard(np.stack([clip.vectors[clip.deciding] for clip in own])), most)
            surplus += [clip for position, clip in enumerate(own) if position not in set(chosen.tolist())]
    return surplus


def _at_most(uses: Sequence[Use]) -> list[Use]:
    """Keep so many clips a machine and kind, drawn by their hash: one flood may not decide for all machines."""
    counts: dict[tuple[str, bool], int] = {}
    kept = []
    for use in sorted(uses, key=lambda use: use.clip.clip_sha256):
        kind = use.clip.machine, use.clip.target
        counts[kind] = counts.get(kind, 0) + 1
        if counts[kind] <= _MOST_COMPARED:
            kept.append(use)
    return kept


class _standard:  # noqa: N801 - used as a function that remembers the reference
    """Columns in deviations of the reference's healthy windows."""

    def __init__(self, reference: Reference) -> None:
        normals = reference.vectors[~reference.targets].astype(np.float64)
        normals = normals if len(normals) else reference.vectors.astype(np.float64)
        self._centre, deviation = normals.mean(0), normals.std(0)
        self._scale = np.where(deviation > 0, deviation, 1.0)

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray((vectors - self._centre) / self._scale)


def _distances(rows: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    squares = (rows**2).sum(1)[:, None] + (others**2).sum(1)[None] - 2 * rows @ others.T
    return np.asarray(np.sqrt(np.maximum(squares, 0)))


def _usual_distance(normals: NDArray[np.float64]) -> float:
    """The median distance of a healthy window from the nearest other one."""
    normals = normals[:500]
    apart = _distances(normals, normals)
    np.fill_diagonal(apart, np.inf)
    nearest = apart.min(1)
    return float(np.median(nearest[np.isfinite(nearest)])) if np.isfinite(nearest).any() else 0.0


def _rows(reference: Reference, uses: Sequence[Use], groups: dict[uuid.UUID, str], deciding_only: bool) -> Reference:
    """Make rows of answered clips: their deciding windows, or all of them."""
    picked = [
        (use, position)
        for use in uses
        for position in ([use.clip.deciding] if deciding_only else range(len(use.clip.vectors)))
    ]
    empty = np.array([""] * len(picked), np.str_)
    width = reference.vectors.shape[1]
    return Reference(
        vectors=np.array([use.clip.vectors[p] for use, p in picked], np.float32).reshape(len(picked), width),
        targets=np.array([use.clip.target for use, _ in picked], bool),
        clips=np.array([use.clip.clip_sha256 for use, _ in picked], np.str_),
        paths=np.array([f"prediction:{use.clip.prediction_id}" for use, _ in picked], np.str_),
        machines=np.array([use.clip.machine for use, _ in picked], np.str_),
        domains=empty,
        splits=empty,
        groups=np.array([groups[use.clip.prediction_id] for use, _ in picked], np.str_),
        starts_s=np.array([use.clip.starts_s[p] for use, p in picked], np.float64),
        ends_s=np.array([use.clip.ends_s[p] for use, p in picked], np.float64),
        levels_db=np.full(len(picked), np.nan),
        encoder_name=reference.encoder_name,
        encoder_sha256=reference.encoder_sha256,
        calibrates=np.array([use.role == "calibrated" for use, _ in picked], bool),
    )
