"""`prod_data.csv`: the answered predictions as rows for training, written from the database by one writer.

    prod_data.csv    emb_1,…,emb_n,target,prediction     one row an answered prediction: its deciding window
    prod_data.json   encoder, rows, bytes, sha256, …     how far the table is complete

Here: keeping the file as the database says. Not here: the answers (`database.answers`), reading the file.

The database is the truth. New rows are appended and flushed to the disk, then `prod_data.json` says so; whatever a kill
left behind what that file vouches for is cut off and written again. An answer that replaces another rewrites the whole
table into a new file, which takes the old one's place in one step. Only the holder of a lock on `.prod_data.lock`
writes: the system takes it from a process that is killed. The table holds the rows whose vectors the encoder in
service made (`artifacts/current.json`); after another encoder took over, it is written anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import logging
import os
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from sqlalchemy.exc import SQLAlchemyError

from audio_pipeline.artifacts import ModelStore, find_encoder
from audio_pipeline.durable import replace_file, sync_folder
from audio_pipeline.encoder import EncoderManifest
from audio_pipeline.encoder import read_manifest as read_encoder
from audio_pipeline.errors import WheeltapperError
from audio_pipeline.reference import format_rows, header
from serve.database import answers
from serve.database.answers import Row
from serve.database.connection import Database
from serve.observability.metrics import Metrics

logger = logging.getLogger(__name__)

DATA, STATE, _LOCK = "prod_data.csv", "prod_data.json", ".prod_data.lock"
_LOOK_EVERY_S = 2.0
_BLOCK = 256  # rows formatted and written at a time
_READ = 1 << 20


@dataclass(frozen=True)
class Written:
    """What `prod_data.json` vouches for.

    Attributes
    ----------
    encoder, encoder_sha256, dimensions
        What made the vectors.
    rows, last_row
        How many rows, and the number of the last one in the database; 0: none.
    bytes, sha256
        Of the table so far, from its beginning.
    revision
        The last change of an answer that the table shows.
    """

    encoder: str
    encoder_sha256: str
    dimensions: int
    rows: int
    last_row: int
    bytes: int
    sha256: str
    revision: int


class ProductionTable:
    """Keeps `prod_data.csv` in a data folder as the database says.

    Parameters
    ----------
    database
        Where the answers are.
    data, artifacts
        Folders.
    """

    def __init__(self, database: Database, data: Path, artifacts: Path) -> None:
        self.path = data / DATA
        self._state = data / STATE
        self._lock = data / _LOCK
        self._database = database
        self._artifacts = artifacts
        self._manifest: EncoderManifest | None = None
        # What this process has read of the table: hashing it again for every answer would grow with it.
        self._known: tuple[Written, hashlib._Hash] | None = None
        self._swept = False

    def catch_up(self) -> int:
        """Bring the table up to the last answer; return that answer's revision.

        Raises
        ------
        OSError
            The disk is full or the folder cannot be written; the next call goes on where this one stopped.
        WheeltapperError
            No model serves yet, and with it no encoder whose rows these are.
        """
        manifest = self._encoder()
        with self._alone(), self._database.read() as session:
            written = self._verified()
            if written is None or written.encoder_sha256 != manifest.sha256:
                return self._rewrite(manifest).revision
            newest, changed = answers.changes(session, manifest.sha256, written.revision)
            if any(number <= written.last_row for number, _ in changed):
                return self._rewrite(manifest).revision
            if newest > written.revision or self.path.stat().st_size != written.bytes:
                last = max((number for number, _ in changed), default=written.last_row)
                self._append(written, answers.rows(session, manifest.sha256, written.last_row, last), newest)
            return newest

    def rebuild(self) -> Written:
        """Write the table anew, whatever is there.

        Raises
        ------
        OSError, WheeltapperError
            As `catch_up`.
        """
        manifest = self._encoder()
        with self._alone():
            return self._rewrite(manifest)

    def _encoder(self) -> EncoderManifest:
        current = ModelStore(self._artifacts).current()
        if current is None:
            raise WheeltapperError(
                f"{self.path} is written once a model serves in {self._artifacts}: its columns are the encoder's."
            )
        if self._manifest is None or self._manifest.sha256 != current.encoder_sha256:
            self._manifest = read_encoder(find_encoder(self._artifacts, current.encoder_sha256))
        return self._manifest

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock of this folder's table; others wait."""
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not self._swept:
                self._sweep()
            yield
        finally:
            os.close(descriptor)

    def _sweep(self) -> None:
        """Remove what writers left half done when they were killed: with the lock held, nobody is at it."""
        for name in (DATA, STATE):
            for left in self.path.parent.glob(f".{name}.*.tmp"):
                left.unlink(missing_ok=True)
        self._swept = True

    def _verified(self) -> Written | None:
        """Read what the table's state file vouches for, checked against the table; None: it has to be written anew."""
        try:
            written = Written(**json.loads(self._state.read_bytes()))
            size = self.path.stat().st_size
        except (OSError, ValueError, TypeError):
            return None
        known = self._known
        if known is not None and known[0] == written and size >= written.bytes:
            return written
        if size < written.bytes:
            return None
        digest, start = hashlib.sha256(), 0
        if known is not None and known[0].bytes <= written.bytes and known[0].encoder_sha256 == written.encoder_sha256:
            digest, start = known[1].copy(), known[0].bytes  # another process may have appended since
        if not self._hash(digest, start, written) and (start == 0 or not self._hash(hashlib.sha256(), 0, written)):
            return None
        return written

    def _hash(self, digest: hashlib._Hash, start: int, written: Written) -> bool:
        with self.path.open("rb") as table:
            table.seek(start)
            left = written.bytes - start
            while left and (block := table.read(min(left, _READ))):
                digest.update(block)
                left -= len(block)
        if digest.hexdigest() != written.sha256:
            return False
        self._known = written, digest
        return True

    def _append(self, written: Written, rows: Iterator[Row], revision: int) -> None:
        assert self._known is not None
        digest = self._known[1].copy()
        with self.path.open("r+b") as table:
            table.truncate(written.bytes)
            table.seek(written.bytes)
            try:
                grown = _write(table, digest, written, rows)
            except OSError:
                table.truncate(written.bytes)  # no half row for a reader to stumble over
                raise
        self._vouch(replace(grown, revision=revision), digest)

    def _rewrite(self, manifest: EncoderManifest) -> Written:
        temporary = self.path.with_name(f".{DATA}.{secrets.token_hex(6)}.tmp")
        first = (",".join((*header(manifest.dimensions), "prediction")) + "\n").encode()
        digest = hashlib.sha256(first)
        try:
            with self._database.read() as session, temporary.open("xb") as table:
                # Read first: an answer that is changed while the rows are read is looked at again.
                revision, last = answers.position(session)
                table.write(first)
                written = Written(
                    encoder=manifest.name,
                    encoder_sha256=manifest.sha256,
                    dimensions=manifest.dimensions,
                    rows=0,
                    last_row=0,
                    bytes=len(first),
                    sha256=digest.hexdigest(),
                    revision=revision,
                )
                written = _write(table, digest, written, answers.rows(session, manifest.sha256, 0, last))
            temporary.replace(self.path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(self.path.parent)
        self._vouch(written, digest)
        return written

    def _vouch(self, written: Written, digest: hashlib._Hash) -> None:
        replace_file(self._state, json.dumps(asdict(written), indent=2).encode() + b"\n")
        self._known = written, digest


def _write(table: BinaryIO, digest: hashlib._Hash, written: Written, rows: Iterable[Row]) -> Written:
    """Write rows at the end of `table` and flush them to the disk; return what the table then holds."""
    iterator = iter(rows)
    while block := list(itertools.islice(iterator, _BLOCK)):
        text = format_rows(np.stack([row.vector for row in block]), [f"{r.target},{r.prediction}" for r in block])
        table.write(text)
        digest.update(text)
        written = replace(
            written,
            rows=written.rows + len(block),
            last_row=block[-1].number,
            bytes=written.bytes + len(text),
        )
    table.flush()
    os.fsync(table.fileno())
    return replace(written, sha256=digest.hexdigest())


class ProductionWriter:
    """Keeps the table up to date in a thread, soon after every answer.

    Parameters
    ----------
    table
        What is written.
    metrics
        Told how it goes.

    Attributes
    ----------
    problem
        Why the table is behind, in a sentence; None: it is not.
    """

    def __init__(self, table: ProductionTable, metrics: Metrics) -> None:
        self.table = table
        self.problem: str | None = None
        self._metrics = metrics
        self._done = 0
        self._state = threading.Condition()
        self._asked = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="prod-data", daemon=True)

    def start(self) -> None:
        """Begin; whatever was answered while nobody wrote comes first."""
        self._thread.start()

    def close(self) -> None:
        """Write what is known by now, and end."""
        self._ended = True
        self._asked.set()
        self._thread.join()

    @property
    def shown(self) -> int:
        """The last change of an answer that the table is known here to show."""
        return self._done

    def wait_for(self, revision: int, seconds: float) -> bool:
        """Have the table written, and wait until it shows a change of an answer; False: it does not yet."""
        self._asked.set()
        with self._state:
            return self._state.wait_for(lambda: self._done >= revision or self.problem is not None, seconds) and (
                self._done >= revision
            )

    def _run(self) -> None:
        while not self._ended:
            self._catch_up()
            self._asked.wait(_LOOK_EVERY_S)
            self._asked.clear()
        self._catch_up()

    def _catch_up(self) -> None:
        problem = None
        try:
            done = self.table.catch_up()
        except WheeltapperError as error:
            # Without a model there are no answers to write either; the service says that by itself.
            logger.debug("%s", error.message)
            return
        except OSError as error:
            problem = (
                f"{self.table.path} cannot be written ({error.strerror}): answers are safe in the database, "
                "and the table is written once the disk allows it."
            )
        except SQLAlchemyError as error:
            problem = f"The database does not tell the rows of {self.table.path}: {type(error).__name__}."
            logger.debug("%s", error)
        except Exception as error:  # a thread that ends in silence would write no answer from now on
            problem = f"{self.table.path} cannot be written ({type(error).__name__}: {error})."
            logger.debug("What nobody expected:", exc_info=True)
        if problem is not None and problem != self.problem:
            logger.error("%s", problem)
        with self._state:
            if problem is None:
                self._done = done
            self.problem = problem
            self._state.notify_all()
        self._metrics.table_broken.set(problem is not None)
