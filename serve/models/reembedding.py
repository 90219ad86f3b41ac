"""Another encoder takes over: reference and answers get its vectors first, then encoder and model swap together.

    recordings ─► new reference, new vectors of answered clips ─► model trained on both ─► published
                  one transaction: answers' vectors, ref_data.csv, ledger row, current.json

Everything slow happens before the transaction and is kept in the cache: interrupted, it goes on where it stopped, and
until the very end the old encoder serves with its own reference. A kill within the last step leaves a reference that
the serving model does not fit, and no more: run again, it ends the swap.

Here: the order. Not here: embedding (`audio_pipeline.reembedding`), what answers are good for (`serve.retraining`),
what makes an encoder worth it (`audio_pipeline.finetuning`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import update
from sqlalchemy.orm import Session

from audio_pipeline.artifacts import ModelStore
from audio_pipeline.detector.manifest import CLASSIFIER_FILE, read_manifest
from audio_pipeline.detector.training import fit
from audio_pipeline.embedding_job import EmbeddingCache
from audio_pipeline.encoder import Encoder
from audio_pipeline.errors import ReferenceDataError, SettingsError
from audio_pipeline.reembedding import Recordings, reembed
from audio_pipeline.reference import Reference, move_reference, read_reference, write_reference
from serve.database import answers, counters, jobs, leases, references
from serve.database.connection import Database
from serve.database.predictions import to_bytes
from serve.database.tables import Answer, Prediction, PredictionWindow
from serve.models.lineage import record_training
from serve.models.promotion import Promotion, Switch
from serve.prediction.clips import ClipStore
from serve.retraining import data
from serve.settings import Settings

Report = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that a new encoder needs to serve.

    Parameters
    ----------
    encoder
        It.
    reference
        With its vectors; written, but not yet where the service reads it.
    material
        Reference and answers, sorted as for a retrain.
    answered
        The answered clips with its vectors.
    missing
        Paths of reference clips whose recording is gone.
    replaces
        Hash of the reference that it was made of.
    """

    encoder: Encoder
    reference: Reference
    material: data.Material
    answered: tuple[data.AnsweredClip, ...]
    missing: tuple[str, ...]
    replaces: str


class Reembedding:
    """Prepares another encoder and lets it take over.

    Parameters
    ----------
    settings
        Name the folders.
    database
        Holds the answers, the ledger and the lease.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._store = ModelStore(settings.artifacts_dir)

    def prepare(
        self, encoder: Encoder, *, workers: int = 1, drop_missing: bool = False, report: Report = lambda *_: None
    ) -> Prepared:
        """Embed the reference and the answered clips again; changes nothing that serves.

        Parameters
        ----------
        encoder
            The new one.
        workers
            Threads.
        drop_missing
            Leave out clips whose recording is gone, instead of refusing.
        report
            Called with what is done, how far, of how much.

        Raises
        ------
        ReferenceDataError
            There is no reference, or recordings are gone.
        """
        old = read_reference(self._settings.data_dir)
        sha256 = encoder.manifest.sha256
        cache = EmbeddingCache(self._settings.data_dir / "cache", sha256)
        clips = ClipStore(self._settings.data_dir / "clips")
        of, done = len(set(old.clips.tolist())), 0

        def on_clip() -> None:
            nonlocal done
            done += 1
            report("reference", done, of)

        again = reembed(old, encoder, cache, Recordings(clips.folder), workers=workers, on_clip=on_clip)
        if again.missing and not drop_missing:
            raise ReferenceDataError(
                f"The recordings of {len(again.missing)} of {of} reference clips are gone (the first: "
                f"{again.missing[0]}): put them back, or go on without them with --drop-missing."
            )
        reference = write_reference(self._prepared_in(sha256), again.reference)
        report("answers", 0, 1)
        with self._database.read() as session:
            answered = data.answered_clips(session)
        usable, gone = data.by_encoder(answered, encoder, clips, cache)
        material = data.sort_out(reference, usable)
        material = replace(material, uses=(*material.uses, *gone))
        return Prepared(encoder, reference, material, tuple(usable), again.missing, old.sha256)

    def train(self, prepared: Prepared) -> str:
        """Train and publish the model that goes with the encoder; return its version, which does not serve yet."""
        current = self._store.current()
        parent = current.model if current else None
        rate = read_manifest(self._store.models / parent).false_alarm_rate.asked if parent else 0.01
        manifest = prepared.encoder.manifest
        graph, told = fit(prepared.material.rows, manifest, false_alarm_rate=rate, parent=parent)
        answers = sum(use.role in ("trained", "calibrated") for use in prepared.material.uses)
        trained = told.data.model_copy(
            update={
                "reference_rows": told.data.reference_rows - answers,
                "production_rows": answers,
                "trained": datetime.now(UTC).isoformat(),
            }
        )
        return self._store.publish({CLASSIFIER_FILE: graph}, told.model_copy(update={"data": trained}).to_json())

    def take_over(self, prepared: Prepared, session: Session) -> None:
        """Put vectors and reference in place; to be called within the transaction that lets the new model serve."""
        sha256 = prepared.encoder.manifest.sha256
        # A change like that of an answer: whoever follows the answers by number, and looked when the encoder had
        # changed and its vectors were not committed, looks again.
        revision = counters.take(session, answers.COUNTER)
        for clip in prepared.answered:
            session.execute(update(Answer).where(Answer.prediction_id == clip.prediction_id).values(revision=revision))
            session.execute(
                update(Prediction)
                .where(Prediction.id == clip.prediction_id)
                .values(encoder_sha256=sha256, deciding_window=clip.deciding)
            )
            for position, vector in enumerate(clip.vectors):
                session.execute(
                    update(PredictionWindow)
                    .where(PredictionWindow.prediction_id == clip.prediction_id, PredictionWindow.position == position)
                    .values(vector=to_bytes(vector))
                )
        # Not written here: nobody else writes to an embedded database meanwhile, and a large reference takes a while.
        move_reference(self._prepared_in(sha256), self._settings.data_dir)

    def _prepared_in(self, encoder_sha256: str) -> Path:
        return self._settings.data_dir / "reembedded" / encoder_sha256[:12]

    def swap(self, prepared: Prepared, version: str, *, by: str, reason: str) -> Switch:
        """Let encoder and model take over together.

        Raises
        ------
        SettingsError
            A retrain is running: it would end with a model of the old encoder. Or the reference is no longer the one
            that was embedded: recordings that were added meanwhile would be lost.
        """
        references.record(self._database, prepared.reference)
        created = datetime.fromisoformat(self._store.load(version).created)

        def within(session: Session) -> None:
            record_training(session, version, created, prepared.reference.sha256, prepared.material.uses)
            self.take_over(prepared, session)

        owner = f"reembed-{uuid.uuid4().hex[:8]}"
        with leases.held(self._database, jobs.LEASE, owner, jobs.LEASE_S) as alone:
            if not alone:
                raise SettingsError(
                    "A retrain is running: wait for its end (`wheeltapper retrain`), then run this again."
                )
            if read_reference(self._settings.data_dir).sha256 != prepared.replaces:
                raise SettingsError(
                    "The reference has changed while it was embedded: run this again (what is embedded is kept)."
                )
            return Promotion(self._database, self._settings).promote(version, by=by, reason=reason, within=within)
