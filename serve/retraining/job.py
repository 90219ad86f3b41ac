"""One retrain from beginning to end, in a process of its own: learn, compare, promote or not.

    lease ─► reference and answers ─► challenger ─► published ─► compared with the champion ─► promoted | kept

Here: the order, and what is written down. Not here: which answers are used (`data`), fitting
(`audio_pipeline.detector`), the rule (`audio_pipeline.comparison`), changing what serves (`serve.models.promotion`).

A kill at any point leaves the champion serving; the job is begun again (`serve.database.jobs.bury`), and what it
publishes then has the same name if the data are the same.
"""

from __future__ import annotations

import logging
import shutil
import uuid
from dataclasses import replace
from datetime import datetime

import numpy as np
from sqlalchemy.orm import Session

from audio_pipeline.artifacts import ModelStore, find_encoder
from audio_pipeline.comparison import MIN_ANOMALIES, MIN_NORMALS, Comparison, compare
from audio_pipeline.detector.classifier import Classifier
from audio_pipeline.detector.manifest import CLASSIFIER_FILE, ModelManifest, TrainingData, read_manifest
from audio_pipeline.detector.training import fit
from audio_pipeline.embedding_job import EmbeddingCache
from audio_pipeline.encoder import Encoder
from audio_pipeline.errors import ReferenceDataError, SettingsError, TrainingError, WheeltapperError
from audio_pipeline.reembedding import Recordings
from audio_pipeline.reference import MANIFEST, Reference, read_reference, write_reference
from audio_pipeline.scoring import Scorer
from serve.asking import news
from serve.database import jobs, leases, ledger, references
from serve.database.connection import Database
from serve.database.retrain_tables import Job
from serve.models.lineage import record_training
from serve.models.promotion import Promotion
from serve.models.reembedding import Prepared, Reembedding
from serve.prediction.clips import ClipStore
from serve.retraining import data
from serve.retraining.uploads import add_recordings, unpack
from serve.settings import Settings

logger = logging.getLogger(__name__)

_STEPS = 5
DEFAULT_RATE = 0.01


class Stopped(BaseException):
    """The process is asked to end; the job waits for the next one."""


class Retrain:
    """Runs jobs.

    Parameters
    ----------
    settings, database
        As the service's.
    owner
        Under this name it holds the lease.
    """

    def __init__(self, settings: Settings, database: Database, owner: str) -> None:
        self._settings = settings
        self._database = database
        self._owner = owner
        self._store = ModelStore(settings.artifacts_dir)
        self._promotion = Promotion(database, settings)
        self._clips = ClipStore(settings.data_dir / "clips")

    def run(self, job_id: uuid.UUID) -> str | None:
        """Run a queued job to its end; return its status, None when another process runs one, or it is over.

        Raises
        ------
        Stopped
            Told to end: the job is queued again.
        """
        with leases.held(self._database, jobs.LEASE, self._owner, jobs.LEASE_S) as alone:
            if not alone:
                return None
            with self._database.write() as session:
                jobs.bury(session)  # the lease was free: whatever says it runs does not
                job = jobs.begin(session, job_id)
            if job is None:
                return None
            try:
                return self._run(job)
            except (Stopped, KeyboardInterrupt):
                with self._database.write() as session:
                    if leases.holder(session, jobs.LEASE) == self._owner:
                        jobs.put_back(session, job_id)
                raise
            except leases.LeaseLost as lost:
                logger.error("Retrain %s stops: %s", job_id, lost)  # noqa: TRY400 - expected, and explained
                return None
            except Exception as error:
                if isinstance(error, WheeltapperError):
                    sentence = error.message
                    logger.warning("Retrain %s failed: %s", job_id, sentence)
                else:
                    sentence = f"{type(error).__name__}: {error}"
                    logger.exception("Retrain %s failed.", job_id)
                return self._fail(job, sentence)

    def _run(self, job: Job) -> str:
        self._report(job, 1, "Reading the reference and the answers")
        champion = self._champion()
        if champion is not None and champion == job.challenger:
            return self._was_promoted(job, champion)
        if job.upload is not None:
            self._add_upload(job, champion)
        encoder = self._encoder(champion)
        reference = self._reference(encoder)
        references.record(self._database, reference)
        cache = EmbeddingCache(self._settings.data_dir / "cache", encoder.manifest.sha256)
        with self._database.read() as session:
            answered = data.answered_clips(session)
        self._report(job, 2, f"Sorting {len(answered)} answers")
        usable, gone = data.by_encoder(answered, encoder, self._clips, cache)
        material = data.sort_out(reference, usable)
        material = replace(material, uses=(*material.uses, *gone))
        tuned, proof = None, None
        if champion is not None and job.mode == "finetune":
            tuned, proof = self._finetuned(job, reference, material)
        learned = material if tuned is None else tuned.material
        self._report(job, 3, f"Training on {len(learned.rows)} windows")
        version = self._train(job, learned, encoder if tuned is None else tuned.encoder, champion)
        self._write_down(job, version, champion, reference if tuned is None else tuned.reference, learned)
        if champion is None:
            return self._promote(job, version, None, "No model served before.", None, len(answered))
        self._report(job, 4, f"Comparing with {champion} on {len(np.unique(material.held_out.clips))} held-out clips")
        comparison = self._compare(champion, version, encoder, material, tuned)
        if comparison.interval is None and proof is not None:
            comparison = proof  # too few faults that people confirmed: faults mixed into held-out clips decide
        problem = self._objection(material, champion, version, encoder, comparison, tuned)
        self._report(job, 5, "Deciding")
        used = sum(use.role in ("trained", "calibrated") for use in material.uses)
        if comparison.better and problem is None:
            return self._promote(job, version, champion, comparison.reason, comparison, used, tuned)
        return self._keep(job, version, champion, problem or comparison.reason, comparison, used)

    def _champion(self) -> str | None:
        current = self._store.current()
        return current.model if current is not None else None

    def _was_promoted(self, job: Job, version: str) -> str:
        """End a job whose last process was killed after `current.json` was changed, before that was written down."""
        self._promotion.note_what_serves()
        with self._database.write() as session:
            reason = "The challenger was better and serves; the process was killed before it could write that down."
            jobs.end(session, job.id, "promoted", reason)
            self._tell(session, job, "promoted", reason, version, job.champion)
        return "promoted"

    def _encoder(self, champion: str | None) -> Encoder:
        """Load the champion's encoder; without a champion, the one that made the reference."""
        if champion is not None:
            wanted = self._store.load(champion).encoder_sha256
        elif (self._settings.data_dir / MANIFEST).exists():
            wanted = read_reference(self._settings.data_dir).encoder_sha256
        else:
            wanted = "default"
        return Encoder.load(find_encoder(self._settings.artifacts_dir, wanted), threads=1)

    def _reference(self, encoder: Encoder) -> Reference:
        return read_reference(self._settings.data_dir, encoder.manifest.sha256)

    def _add_upload(self, job: Job, champion: str | None) -> None:
        """Unpack and embed the recordings that came with the job; put them into the reference."""
        assert job.upload is not None
        archive = self._settings.data_dir / job.upload
        encoder = self._encoder(champion)
        try:
            old: Reference | None = self._reference(encoder)
        except ReferenceDataError:
            if (self._settings.data_dir / MANIFEST).exists():
                raise
            old = None
        if not archive.exists():
            return  # an attempt before this one was killed after it had finished with the archive
        root = unpack(archive, archive.parent / "unpacked", self._settings.max_reference_bytes)
        cache = EmbeddingCache(self._settings.data_dir / "cache", encoder.manifest.sha256)
        told = -1

        def on_clip(done: int, of: int) -> None:
            nonlocal told
            if done * 20 // of > told:
                told = done * 20 // of
                self._report(job, 1, f"Embedding recordings: {done} of {of}")

        added = add_recordings(root, old, encoder, cache, self._clips, on_clip)
        for skipped in added.skipped[:20]:
            logger.warning("Left out of the reference: %s: %s", skipped.path, skipped.reason)
        if added.clips == 0 and old is not None and job.attempts == 1:  # a killed attempt may have added them all
            reasons = "; ".join(f"{skipped.path}: {skipped.reason}" for skipped in added.skipped[:3])
            raise ReferenceDataError(f"None of the recordings is new or usable. {reasons}")
        write_reference(self._settings.data_dir, added.reference)
        archive.unlink()
        shutil.rmtree(archive.parent, ignore_errors=True)
        with self._database.write() as session:
            left_out = f", {len(added.skipped)} left out" if added.skipped else ""
            jobs.note(session, job.id, detail=f"{job.detail} {added.clips} recordings added{left_out}.")

    def _train(self, job: Job, material: data.Material, encoder: Encoder, champion: str | None) -> str:
        before = read_manifest(self._store.models / champion) if champion else None
        graph, manifest = fit(
            material.rows,
            encoder.manifest,
            false_alarm_rate=before.false_alarm_rate.asked if before else DEFAULT_RATE,
            parent=champion,
            warm_start=before if job.mode == "warm" else None,
        )
        manifest = manifest.model_copy(
            update={
                "created": job.created.isoformat(timespec="milliseconds"),
                "data": _told(manifest, material, job.created),
            }
        )
        return self._store.publish({CLASSIFIER_FILE: graph}, manifest.to_json())

    def _finetuned(
        self, job: Job, reference: Reference, material: data.Material
    ) -> tuple[Prepared | None, Comparison | None]:
        """Fit the encoder to the plant's machines, embed reference and answers with it; None: it is no better."""
        try:
            from audio_pipeline.finetuning import Confirmed, Tuning, finetune
        except ModuleNotFoundError as error:
            raise SettingsError(
                f"RETRAIN_MODE=finetune needs the Python package '{error.name}' where the service runs: "
                "pip install 'wheeltapper[train]', or use the mode scratch or warm."
            ) from error
        told = ""

        def report(what: str, done: int, of: int) -> None:
            nonlocal told
            text = f"Fine-tuning the encoder: {what} {done * 10 // max(of, 1) * 10} %"
            if text != told:  # a row in the database for each step would be too many
                told = text
                self._report(job, 3, text)

        def faults(role: str) -> Confirmed:
            clips = [use.clip for use in material.uses if use.role == role and use.clip.target]
            heard = [(clip, self._clips.read(clip.path)) for clip in clips]
            return [
                (clip.clip_sha256, data.group_of(clip, reference), clip.machine, found.samples)
                for clip, found in heard
                if found is not None
            ]

        folder = proof = None
        try:
            result = finetune(
                reference,
                self._settings.artifacts_dir,
                Recordings(self._clips.folder),
                taught=faults("trained"),
                confirmed=faults("held_out"),
                tuning=Tuning(steps=self._settings.finetune_steps),
                report=report,
            )
            folder, proof = result.folder, result.comparison
            why = f"fine-tuned, the encoder was no better. {proof.reason}"
        except TrainingError as error:  # answers teach the classifier all the same
            why = f"the encoder could not be fine-tuned. {error}"
        if folder is None:
            with self._database.write() as session:
                jobs.note(session, job.id, detail=f"{job.detail} Only the classifier is trained: {why}".strip())
            return None, None
        # Of clips whose recording is gone there are no new vectors: they are left out, the others decide.
        work = Reembedding(self._settings, self._database)
        return work.prepare(Encoder.load(folder), drop_missing=True, report=report), proof

    def _compare(
        self, champion: str, version: str, encoder: Encoder, material: data.Material, tuned: Prepared | None = None
    ) -> Comparison:
        judges = [
            Scorer(of, Classifier.load(self._store.load(name).folder), name)
            for of, name in ((encoder, champion), (encoder if tuned is None else tuned.encoder, version))
        ]
        if tuned is None:
            return compare(judges[0], judges[1], material.held_out)
        rows = tuned.material.held_out
        both = np.intersect1d(rows.clips, material.held_out.clips)
        return compare(
            judges[0],
            judges[1],
            material.held_out.select(np.isin(material.held_out.clips, both)),
            rows.select(np.isin(rows.clips, both)),
        )

    def _objection(
        self,
        material: data.Material,
        champion: str,
        version: str,
        encoder: Encoder,
        comparison: Comparison,
        tuned: Prepared | None,
    ) -> str | None:
        """Say why a challenger may not be promoted even if it compared well; None: nothing speaks against it."""
        if material.noisy:
            return (
                f"{material.contradicting} of {len(material.uses)} answers contradict another answer or the reference "
                "about sounds that are the same: they were left out, and nothing is promoted until that is sorted out "
                "(see which in GET /models/{version})."
            )
        if not comparison.better:
            return None
        before = read_manifest(self._store.models / champion)
        since = _moment(before.data.trained or before.created)  # a new false-alarm rate since then is no training
        flood = data.one_sided(material.uses, since)
        if flood is None:
            return None
        word = "an anomaly" if flood else "normal"
        others = replace(material, held_out=data.without_flood(material, flood, since))
        rest = self._compare(champion, version, encoder, others, tuned)
        if rest.interval is None:
            return (
                f"Nearly all new answers say '{word}', and without them too few held-out recordings are left to tell "
                f"whether the challenger forgets something ({MIN_ANOMALIES} of faults and {MIN_NORMALS} of healthy "
                "machines are needed)."
            )
        if rest.difference is not None and rest.difference < 0:
            return f"Nearly all new answers say '{word}', and on the other clips the challenger is worse. {rest.reason}"
        return None

    def _promote(
        self,
        job: Job,
        version: str,
        champion: str | None,
        reason: str,
        comparison: Comparison | None,
        used: int,
        tuned: Prepared | None = None,
    ) -> str:
        if tuned is not None:
            references.record(self._database, tuned.reference)

        def within(session: Session) -> None:
            leases.renew(session, jobs.LEASE, self._owner, jobs.LEASE_S)  # a process taken for dead promotes nothing
            if tuned is not None:
                Reembedding(self._settings, self._database).take_over(tuned, session)
            self._end(session, job, "promoted", version, champion, reason, comparison, used)

        self._promotion.promote(
            version, by=f"retrain ({job.reason})", reason=reason, job_id=job.id, expected=champion, within=within
        )
        return "promoted"

    def _keep(self, job: Job, version: str, champion: str, reason: str, comparison: Comparison, used: int) -> str:
        with self._database.write() as session:
            leases.renew(session, jobs.LEASE, self._owner, jobs.LEASE_S)
            ledger.append(
                session,
                "kept",
                version,
                encoder_sha256=self._store.load(version).encoder_sha256,
                by=f"retrain ({job.reason})",
                reason=reason,
                previous=champion,
                job_id=job.id,
            )
            self._end(session, job, "kept_champion", version, champion, reason, comparison, used)
            self._tell(session, job, "kept_champion", reason, version, champion)
        return "kept_champion"

    def _fail(self, job: Job, sentence: str) -> str | None:
        try:
            with self._database.write() as session:
                leases.renew(session, jobs.LEASE, self._owner, jobs.LEASE_S)  # or another process is at the job by now
                if job.upload is not None:  # whatever was wrong with it is so the next time, too
                    shutil.rmtree((self._settings.data_dir / job.upload).parent, ignore_errors=True)
                jobs.end(session, job.id, "failed", sentence)
                self._tell(session, job, "failed", sentence, None, None)
        except leases.LeaseLost as lost:
            logger.error("Retrain %s stops: %s", job.id, lost)  # noqa: TRY400 - expected, and explained
            return None
        return "failed"

    def _end(
        self,
        session: Session,
        job: Job,
        outcome: jobs.Outcome,
        version: str,
        champion: str | None,
        reason: str,
        comparison: Comparison | None,
        used: int,
    ) -> None:
        jobs.end(
            session,
            job.id,
            outcome,
            reason,
            champion=champion,
            challenger=version,
            comparison=None if comparison is None else comparison.to_json(),
            answers_used=used,
        )

    def _tell(
        self,
        session: Session,
        job: Job,
        event: news.Event,
        detail: str,
        version: str | None,
        champion: str | None,
    ) -> None:
        reason = f"Retrain ({job.reason}). {job.detail}".strip()
        news.tell(
            session,
            self._settings,
            event,
            reason=reason,
            detail=detail,
            model_version=version,
            previous=champion,
            job_id=job.id,
        )

    def _write_down(
        self, job: Job, version: str, champion: str | None, reference: Reference, material: data.Material
    ) -> None:
        """Keep which rows and answers the version was made of; done again by a second attempt, the same is kept."""
        with self._database.write() as session:
            jobs.note(session, job.id, champion=champion, challenger=version)
            if not record_training(session, version, job.created, reference.sha256, material.uses, job.id):
                return
            ledger.append(
                session,
                "trained",
                version,
                encoder_sha256=reference.encoder_sha256,
                by=f"retrain ({job.reason})",
                reason=f"{job.detail} Mode {job.mode}.".strip(),
                previous=champion,
                job_id=job.id,
            )

    def _report(self, job: Job, step: int, text: str) -> None:
        with self._database.write() as session:
            jobs.report(session, job.id, step, _STEPS, text)


def _told(manifest: ModelManifest, material: data.Material, trained: datetime) -> TrainingData:
    """What the manifest says about the data, answers apart from the reference."""
    answers = [use for use in material.uses if use.role in ("trained", "calibrated")]
    return manifest.data.model_copy(
        update={
            "reference_rows": manifest.data.reference_rows - len(answers),
            "production_rows": len(answers),
            "trained": trained.isoformat(),
        }
    )


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
