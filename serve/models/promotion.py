"""Changing what serves: promote, roll back, another false-alarm rate; one writer at a time, each change in the ledger.

    lock ─► verify model and encoder ─► ledger row, message ─► current.json ─► commit

A kill before `current.json` is replaced changes nothing; one between that and the commit leaves a change without its
row, which the next service that looks writes down (`note_what_serves`). Services follow `current.json` by themselves
(`serve.models.current`).

Here: the steps and their order. Not here: files (`audio_pipeline.artifacts`), rows (`serve.database.ledger`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from audio_pipeline.artifacts import ModelStore, find_encoder
from audio_pipeline.detector.classifier import Classifier
from audio_pipeline.detector.rate import with_false_alarm_rate
from audio_pipeline.errors import ReferenceDataError, SettingsError
from audio_pipeline.reference import Reference, read_reference
from serve.asking import news
from serve.database import counters, ledger
from serve.database.connection import Database
from serve.settings import Settings

COUNTER = "ledger"


@dataclass(frozen=True)
class Switch:
    """A change of what serves.

    Attributes
    ----------
    version, previous
        What serves now, and what did before.
    changed
        False: it served already, and nothing was written.
    """

    version: str
    previous: str | None
    changed: bool


class Promotion:
    """Changes what serves.

    Parameters
    ----------
    database
        Holds the ledger.
    settings
        Name the artifacts folder and whom to tell.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._store = ModelStore(settings.artifacts_dir)

    def promote(
        self,
        version: str,
        *,
        by: str,
        reason: str,
        job_id: uuid.UUID | None = None,
        expected: str | None = None,
        within: Callable[[Session], None] = lambda _: None,
    ) -> Switch:
        """Let a version serve.

        Parameters
        ----------
        version
            Published, with its encoder there.
        by, reason
            For the ledger and the message.
        job_id
            The retrain that found it better.
        expected
            What has to serve until now; another champion than the one it was compared with makes the comparison void.
        within
            Called in the same transaction when nothing speaks against the promotion any more, before anything is
            changed: what it raises stops it.

        Raises
        ------
        SettingsError
            There is no such version, or something else serves than was expected.
        BrokenArtifact
            A file of it is missing or not what was published.
        """
        with self._database.write() as session:
            return self._switch(session, "promoted", version, by, reason, job_id, expected, within)

    def roll_back(self, *, by: str, reason: str) -> Switch:
        """Let that version serve again which served before the current one.

        Raises
        ------
        SettingsError
            There was none before.
        BrokenArtifact
            A file of it is missing or not what was published.
        """
        with self._database.write() as session:
            counters.take(session, COUNTER)
            current = self.serving()
            entry = ledger.last_switch(session, current)
            previous = (entry.previous if entry is not None else None) or self._store.load(current).parent
            if previous is None:
                raise SettingsError(
                    f"{current} is the first version that served, there is none to go back to: choose one with "
                    "`wheeltapper models promote VERSION`."
                )
            return self._switch(session, "rolled_back", previous, by, reason)

    def set_false_alarm_rate(self, rate: float, *, by: str) -> Switch:
        """Let the model that serves alarm more or less often: a new version with the same graph.

        Its verdicts are measured on the reference's held-out rows, if there are any of its encoder.

        Parameters
        ----------
        rate
            False alarms per healthy clip, above 0, at most 1.
        by
            For the ledger.

        Raises
        ------
        SettingsError
            The rate cannot be used, or nothing serves.
        BrokenArtifact
            The model that serves is damaged on disk.
        """
        held_out = self._held_out()  # read first: predictions cannot be stored while an embedded database is written to
        with self._database.write() as session:
            counters.take(session, COUNTER)
            current = self.serving()
            before = Classifier.load(self._store.load(current).folder).manifest
            if held_out is not None and held_out.encoder_sha256 != before.encoder_sha256:
                held_out = None
            version = with_false_alarm_rate(self._store, current, rate, held_out)
            reason = f"False-alarm rate asked for: {rate:.4g}, before {before.false_alarm_rate.asked:.4g}."
            return self._switch(session, "threshold", version, by, reason)

    def note_what_serves(self) -> None:
        """Write down a change of `current.json` that the ledger does not know, if there is one."""
        current = self._store.current()
        with self._database.read() as session:
            last = ledger.last_switch(session)
        if current is None or (last is not None and last.model_version == current.model):
            return
        with self._database.write() as session:
            counters.take(session, COUNTER)  # a promotion under way is over when this returns
            current, last = self._store.current(), ledger.last_switch(session)
            if current is None or (last is not None and last.model_version == current.model):
                return
            ledger.append(
                session,
                "promoted",
                current.model,
                encoder_sha256=current.encoder_sha256,
                by="unknown",
                reason="Found in artifacts/current.json, changed without the database's knowledge.",
                previous=last.model_version if last else None,
            )

    def serving(self) -> str:
        """Return the version that serves.

        Raises
        ------
        SettingsError
            None does.
        """
        current = self._store.current()
        if current is None:
            raise SettingsError(
                f"No model serves in {self._store.root} yet: run `wheeltapper embed FOLDER`, then `wheeltapper train`."
            )
        return current.model

    def _held_out(self) -> Reference | None:
        try:
            reference = read_reference(self._settings.data_dir)
        except ReferenceDataError:
            return None
        return reference.select(reference.held_out)

    def _switch(
        self,
        session: Session,
        action: ledger.Action,
        version: str,
        by: str,
        reason: str,
        job_id: uuid.UUID | None = None,
        expected: str | None = None,
        within: Callable[[Session], None] = lambda _: None,
    ) -> Switch:
        counters.take(session, COUNTER)
        before = self._store.current()
        previous = before.model if before else None
        if expected is not None and previous != expected:
            raise SettingsError(f"{previous} serves by now, not {expected}, which {version} was compared with.")
        model = self._store.load(version)
        find_encoder(self._store.root, model.encoder_sha256)  # a model without its encoder cannot serve
        within(session)  # after every refusal: it may put files in place, which no rollback takes away
        if previous == version:
            return Switch(version, previous, changed=False)
        ledger.append(
            session,
            action,
            version,
            encoder_sha256=model.encoder_sha256,
            by=by,
            reason=reason,
            previous=previous,
            job_id=job_id,
        )
        if action != "threshold":
            event: news.Event = "promoted" if action == "promoted" else "rolled_back"
            news.tell(
                session,
                self._settings,
                event,
                reason=reason,
                detail=f"{version} serves now, before {previous or 'none'} did.",
                model_version=version,
                previous=previous,
                job_id=job_id,
            )
        session.flush()
        self._store.set_current(version)
        return Switch(version, previous, changed=True)
