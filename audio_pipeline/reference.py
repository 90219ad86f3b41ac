"""The reference set on disk: vectors, where each came from, and which of them are held out for good.

    ref_data.csv    emb_1,…,emb_n,target            one row a window; target True = anomaly
    ref_clips.csv   clip_sha256,path,machine,…      row for row: where that window came from
    ref_data.json   encoder, rows, hashes           written last: what it names is complete

Here: reading, writing, checking, the held-out rule. Not here: making the vectors (`embedding_job`), or
`prod_data.csv`, whose rows the service writes with the same functions (`format_rows`, `header`).
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.durable import replace_file, sync_folder
from audio_pipeline.errors import ReferenceDataError

DATA, CLIPS, MANIFEST = "ref_data.csv", "ref_clips.csv", "ref_data.json"
CLIP_COLUMNS = ("clip_sha256", "path", "machine", "domain", "split", "group", "start_s", "end_s", "level_db")
HELD_OUT_BELOW = 77  # of 256: 30 %
_BLOCK_ROWS = 256  # formatted at a time: the text of a value takes eight times its bytes


def is_held_out(group: str) -> bool:
    """Whether a recording group is kept from all training, calibration and fine-tuning, for good.

    Parameters
    ----------
    group
        Recording group id, as `datasets` makes it.

    Examples
    --------
    >>> [is_held_out(f"fan/id_00/{n:08d}") for n in range(6)]
    [True, False, False, True, True, False]
    """
    return hashlib.sha256(group.encode(errors="surrogateescape")).digest()[0] < HELD_OUT_BELOW


@dataclass(frozen=True)
class Reference:
    """A reference set in memory; every array has one entry a row (a window).

    Parameters
    ----------
    vectors
        float32[R, n].
    targets
        bool[R], True = anomaly.
    clips
        str[R], sha256 of the clip's bytes.
    paths
        str[R], where the clip was read from, as given to `wheeltapper embed`.
    machines
        str[R], `type/section`, empty = unknown.
    domains
        str[R], `source`, `target` or empty = unknown.
    splits
        str[R], the data set's own `train` or `test`, or empty; not the held-out rule, which goes by group.
    groups
        str[R], recording group ids.
    starts_s, ends_s
        float64[R], the window within its clip, seconds.
    levels_db
        float64[R], level of the whole clip, RMS in dB of full scale.
    encoder_name, encoder_sha256
        What made the vectors.
    sha256
        Hash of `ref_data.csv`; empty before it is written.
    calibrates
        bool[R]: the rows that thresholds and p-values may be computed from; None: all of them. In `ref_data.csv` all
        do. Answered clips of production that were asked about because they sounded odd train, and do not calibrate:
        normals chosen for their high scores would make every threshold too high.
    """

    vectors: NDArray[np.float32]
    targets: NDArray[np.bool_]
    clips: NDArray[np.str_]
    paths: NDArray[np.str_]
    machines: NDArray[np.str_]
    domains: NDArray[np.str_]
    splits: NDArray[np.str_]
    groups: NDArray[np.str_]
    starts_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]
    levels_db: NDArray[np.float64]
    encoder_name: str
    encoder_sha256: str
    sha256: str = ""
    calibrates: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def held_out(self) -> NDArray[np.bool_]:
        """bool[R]: the rows that no version ever trains or calibrates on."""
        by_group = {group: is_held_out(str(group)) for group in np.unique(self.groups)}
        return np.array([by_group[group] for group in self.groups], dtype=bool)

    @property
    def calibrating(self) -> NDArray[np.bool_]:
        """bool[R]: `calibrates`, spelt out."""
        return np.ones(len(self), dtype=bool) if self.calibrates is None else self.calibrates

    def select(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Reference:
        """Return the rows where `rows` (bool[R]) is True, or those at the positions given (int64[n])."""
        arrays = {
            field.name: getattr(self, field.name)[rows]
            for field in fields(self)
            if isinstance(getattr(self, field.name), np.ndarray)
        }
        return replace(self, **arrays)

    def joined(self, other: Reference) -> Reference:
        """Return these rows, then those of another set of the same encoder; the hash stays that of the first."""
        columns: dict[str, Any] = {
            name: np.concatenate([value, getattr(other, name)])
            for name, value in vars(self).items()
            if isinstance(value, np.ndarray) and name != "calibrates"
        }
        either = self.calibrates is not None or other.calibrates is not None
        calibrates = np.concatenate([self.calibrating, other.calibrating]) if either else None
        return replace(self, **columns, calibrates=calibrates)


def header(dimensions: int) -> tuple[str, ...]:
    """Return the column names of a reference of `dimensions` values a row."""
    return (*(f"emb_{i}" for i in range(1, dimensions + 1)), "target")


def format_rows(vectors: NDArray[np.float32], endings: Sequence[str]) -> bytes:
    """Write rows of vectors as CSV lines, each float32 as the shortest text that reads back the same.

    Parameters
    ----------
    vectors
        float32[R, n].
    endings
        What follows the vector in each row, R of them: `True`, or `True,False` in `prod_data.csv`.

    Examples
    --------
    >>> format_rows(np.array([[0.1, -2.0]], dtype=np.float32), ["True"])
    b'0.1,-2.0,True\\n'
    """
    lines: list[bytes] = []
    for first in range(0, len(vectors), _BLOCK_ROWS):
        # numpy's cast to bytes writes the shortest text of a float32 at C speed; repr() would write the double's.
        block = np.ascontiguousarray(vectors[first : first + _BLOCK_ROWS], dtype=np.float32).astype("S")
        for row, ending in zip(block.tolist(), endings[first : first + _BLOCK_ROWS], strict=True):
            lines.append(b",".join([*row, ending.encode()]) + b"\n")
    return b"".join(lines)


def write_reference(folder: Path, reference: Reference) -> Reference:
    """Write the three files so that a kill at any moment leaves a set that reads, or is refused as half written.

    Parameters
    ----------
    folder
        The data folder.
    reference
        What to write, at least one row.

    Returns
    -------
    Reference
        The same, with `sha256` of the written `ref_data.csv`.

    Raises
    ------
    ReferenceDataError
        There is no row, a value is not finite, or the arrays differ in length.
    """
    _check_values(reference.vectors, "the vectors to write", "this encoder cannot be used for these clips")
    lengths = {len(value) for value in vars(reference).values() if isinstance(value, np.ndarray)}
    if lengths != {len(reference)} or not len(reference):
        raise ReferenceDataError(f"A reference needs at least one row and as many of each column, not {lengths}.")
    dimensions = reference.vectors.shape[1]
    table = ",".join(header(dimensions)).encode() + b"\n"
    table += format_rows(reference.vectors, [str(target) for target in reference.targets.tolist()])
    clips = _clips_csv(reference)
    manifest = {
        "encoder": reference.encoder_name,
        "encoder_sha256": reference.encoder_sha256,
        "dimensions": dimensions,
        "rows": len(reference),
        "anomalies": int(reference.targets.sum()),
        "held_out_rows": int(reference.held_out.sum()),
        "sha256": hashlib.sha256(table).hexdigest(),
        "clips_sha256": hashlib.sha256(clips).hexdigest(),
    }
    replace_file(folder / DATA, table)
    replace_file(folder / CLIPS, clips)
    replace_file(folder / MANIFEST, json.dumps(manifest, indent=2).encode() + b"\n")
    return replace(reference, sha256=str(manifest["sha256"]))


def move_reference(source: Path, folder: Path) -> None:
    """Put a reference that `write_reference` wrote in the place of another one, in no more than the time of a rename.

    Parameters
    ----------
    source
        Where it was written, on the same file system; it is empty afterwards.
    folder
        The data folder.
    """
    for name in (DATA, CLIPS, MANIFEST):
        (source / name).replace(folder / name)
    sync_folder(folder)


def read_reference(folder: Path, encoder_sha256: str | None = None) -> Reference:
    """Read and verify a reference set.

    Parameters
    ----------
    folder
        The data folder.
    encoder_sha256
        When given, the set must have been made with this encoder.

    Raises
    ------
    ReferenceDataError
        A file is missing or damaged, the files do not fit together, or another encoder made them.
    """
    manifest = _read_manifest(folder)
    if encoder_sha256 is not None and manifest["encoder_sha256"] != encoder_sha256:
        raise ReferenceDataError(
            f"{folder / DATA} was made with another encoder ('{manifest['encoder']}', sha256 "
            f"{manifest['encoder_sha256'][:12]}…, not {encoder_sha256[:12]}…), and vectors of two encoders are never "
            "mixed: run `wheeltapper reembed`."
        )
    table = _read(folder / DATA)
    vectors, targets = parse_table(table, folder / DATA)
    if vectors.shape != (manifest["rows"], manifest["dimensions"]):
        raise ReferenceDataError(
            f"{folder / DATA} has {len(vectors)} rows of {vectors.shape[1]} values where {MANIFEST} says "
            f"{manifest['rows']} of {manifest['dimensions']}: {_REMEDY}."
        )
    clips = _read(folder / CLIPS)
    for name, content, key in ((DATA, table, "sha256"), (CLIPS, clips, "clips_sha256")):
        if hashlib.sha256(content).hexdigest() != manifest[key]:
            raise ReferenceDataError(f"{folder / name} is not the file that {MANIFEST} describes: {_REMEDY}.")
    columns = _parse_clips(clips, folder / CLIPS, len(vectors))
    return Reference(
        vectors=vectors,
        targets=targets,
        clips=np.array(columns["clip_sha256"], dtype=np.str_),
        paths=np.array(columns["path"], dtype=np.str_),
        machines=np.array(columns["machine"], dtype=np.str_),
        domains=np.array(columns["domain"], dtype=np.str_),
        splits=np.array(columns["split"], dtype=np.str_),
        groups=np.array(columns["group"], dtype=np.str_),
        starts_s=np.array(columns["start_s"], dtype=np.float64),
        ends_s=np.array(columns["end_s"], dtype=np.float64),
        levels_db=np.array(columns["level_db"], dtype=np.float64),
        encoder_name=manifest["encoder"],
        encoder_sha256=manifest["encoder_sha256"],
        sha256=manifest["sha256"],
    )


_REMEDY = "it was edited, or its writing was cut short; run `wheeltapper embed` again (finished clips are cached)"


def parse_table(table: bytes, path: Path) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read the bytes of a `ref_data.csv`.

    Parameters
    ----------
    table
        The file's content.
    path
        Its name, for the error's sentence.

    Returns
    -------
    vectors, targets
        float32[R, n] and bool[R].

    Raises
    ------
    ReferenceDataError
        Wrong column names, a row of another length, a target that is neither `True` nor `False`, a value that is no
        finite number, or no row at all.
    """
    first, _, body = table.partition(b"\n")
    names = first.decode("utf-8", "replace").split(",")
    dimensions = len(names) - 1
    if dimensions < 1 or tuple(names) != header(dimensions):
        wrong = next((n for n, e in zip(names, header(max(dimensions, 1)), strict=False) if n != e), names[-1])
        raise ReferenceDataError(f"{path} must have the columns emb_1,…,emb_n,target; found '{wrong[:40]}': {_REMEDY}.")
    if body and not body.endswith(b"\n"):
        raise ReferenceDataError(f"{path} ends in the middle of a row: {_REMEDY}.")
    rows = body.count(b"\n")
    if not rows:
        raise ReferenceDataError(f"{path} has no row: run `wheeltapper embed FOLDER` on recordings first.")
    if body.count(b",True\n") + body.count(b",False\n") != rows:
        bad = next(i for i, line in enumerate(body.split(b"\n")) if not line.endswith((b",True", b",False")))
        raise ReferenceDataError(f"{path}, line {bad + 2}: the target must be True or False: {_REMEDY}.")
    body = body.replace(b",True\n", b",1\n").replace(b",False\n", b",0\n")
    try:
        values = np.loadtxt(io.BytesIO(body), dtype=np.float32, delimiter=",", comments=None, ndmin=2)
    except ValueError as error:
        raise ReferenceDataError(f"{path} holds something that is no number ({error}): {_REMEDY}.") from error
    if values.shape != (rows, dimensions + 1):
        raise ReferenceDataError(
            f"{path} has {values.shape[1]} columns in its rows and {dimensions + 1} in its header: {_REMEDY}."
        )
    vectors = np.ascontiguousarray(values[:, :-1])
    _check_values(vectors, str(path), _REMEDY)
    return vectors, values[:, -1] == 1


def _check_values(vectors: NDArray[np.float32], where: str, remedy: str) -> None:
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise ReferenceDataError(f"{where}, row {row + 1}: a value is NaN or infinite: {remedy}.")


def _clips_csv(reference: Reference) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CLIP_COLUMNS)
    columns = (
        reference.clips,
        reference.paths,
        reference.machines,
        reference.domains,
        reference.splits,
        reference.groups,
        reference.starts_s,
        reference.ends_s,
        reference.levels_db,
    )
    writer.writerows(zip(*(column.tolist() for column in columns), strict=True))
    return text.getvalue().encode(errors="surrogateescape")  # file names need not be valid UTF-8


def _parse_clips(content: bytes, path: Path, rows: int) -> dict[str, tuple[str, ...]]:
    lines = list(csv.reader(io.StringIO(content.decode(errors="surrogateescape"), newline="")))
    if tuple(lines[0] if lines else ()) != CLIP_COLUMNS or any(len(line) != len(CLIP_COLUMNS) for line in lines):
        raise ReferenceDataError(f"{path} must have the columns {','.join(CLIP_COLUMNS)}: {_REMEDY}.")
    if len(lines) - 1 != rows:
        raise ReferenceDataError(f"{path} has {len(lines) - 1} rows, {DATA} has {rows}: {_REMEDY}.")
    return dict(zip(CLIP_COLUMNS, zip(*lines[1:], strict=True), strict=True))


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(_read(path))
        kinds = {"encoder": str, "encoder_sha256": str, "dimensions": int, "rows": int, "sha256": str}
        if not all(isinstance(manifest[key], kind) for key, kind in {**kinds, "clips_sha256": str}.items()):
            raise TypeError  # noqa: TRY301 - one sentence for all ways to be unreadable
    except (ValueError, KeyError, TypeError) as error:
        raise ReferenceDataError(f"{path} does not describe a reference set: {_REMEDY}.") from error
    result: dict[str, Any] = manifest
    return result


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ReferenceDataError(f"{path} is missing: run `wheeltapper embed FOLDER` on recordings first.") from error
    except OSError as error:
        raise ReferenceDataError(
            f"{path} cannot be read ({error.strerror}): check the disk and permissions."
        ) from error
