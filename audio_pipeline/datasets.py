"""Folder or table → labelled recordings, for every layout that is understood without configuration.

Layouts, told from each file's name and folders:

    MACHINE/{normal,abnormal,anomaly}/**             a folder a label
    MACHINE/id_XX/{normal,abnormal,anomaly}/**       MIMII
    MACHINE/FOLDER/section_XX_{source,target}_{train,test}_{normal,anomaly}_NNNN*   DCASE Task 2, 2021 and later
    MACHINE/{train,test}/{normal,anomaly}_id_XX_NNNNNNNN                            DCASE Task 2, 2020
    TABLE.csv with the columns path,target[,machine,section]                        a manifest

Rules. The root given may be any folder above: nothing but a file's own folders counts, so that machine and group are
the same from whichever folder above a search began. The machine is the name of the folder that holds the label
folders (or `train`, `test` …), followed by the id or section where there is one: `fan/id_04`, `valve/section_00`,
`uav`. Files without a label in name or folder are left out: they are not part of the labelled set.
The group is `<machine>/<folders of the label or split>/<stem without a trailing _tN or _sN piece number>`: pieces of
one flight or session belong together, and equal names in `normal` and `abnormal` are two recordings.
Not here: decoding; who is held out (`reference.py`).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from audio_pipeline.errors import DatasetError

AUDIO_SUFFIXES: Final = frozenset(
    f".{ending}"
    for ending in (
        *("wav", "wave", "bwf", "rf64", "w64", "flac", "ogg", "oga", "opus", "mp3", "aif", "aiff", "aifc", "au", "snd"),
        *("caf", "voc", "nist", "sph", "paf", "pvf", "svx", "iff", "avr", "ircam", "sf", "mat", "htk"),
    )
)
"""Name endings of the formats that libsndfile reads, in lower case."""

_LABELS: Final = {"normal": False, "abnormal": True, "anomaly": True}
_TARGETS: Final = _LABELS | {"true": True, "false": False, "1": True, "0": False}
_MIMII_ID: Final = re.compile(r"id_\d+", re.IGNORECASE)
_DCASE_2021: Final = re.compile(
    r"(?P<section>section_\d+)_(?P<domain>source|target)_(?P<split>train|test)_(?P<label>normal|anomaly)_\d+"
)
_DCASE_2020: Final = re.compile(r"(?P<label>normal|anomaly)_(?P<section>id_\d+)_\d+")
# Not any name with the word in it: test_rig_1 and train_2 are machines.
_SPLIT: Final = re.compile(r"(?:(?:source|target)_)?(train|test)(?:_(?:source|target))?", re.IGNORECASE)
_PIECE: Final = re.compile(r"_[ts]\d+$")

_LAYOUTS: Final = (
    "Understood are: normal/ and abnormal/ (or anomaly/); MIMII's MACHINE/id_XX/{normal,abnormal}/; DCASE Task 2 "
    "names such as section_00_source_train_normal_0000.wav or normal_id_00_00000000.wav in train/ and test/; "
    "a CSV with the columns path,target[,machine,section]."
)


@dataclass(frozen=True, slots=True, order=True)
class Recording:
    """One labelled clip.

    Attributes
    ----------
    path
        The file.
    target
        True = anomaly.
    machine
        `type/section`, or "" where a manifest names none.
    domain
        "source", "target", or "" where the layout knows none.
    split
        "train", "test", or "" where the layout knows none.
    group
        What must stay on one side of any split.
    """

    path: Path
    target: bool
    machine: str
    domain: Literal["source", "target", ""]
    split: Literal["train", "test", ""]
    group: str


def discover(path: Path | str) -> list[Recording]:
    """Find the labelled clips of a data set.

    Parameters
    ----------
    path
        A folder in one of the layouts of this module's docstring, or a CSV manifest.

    Returns
    -------
    list of Recording
        Sorted by path; at least one.

    Raises
    ------
    DatasetError
        The folder is missing, holds no clips or none with a label; the manifest lacks a column or a file, has a
        target that is no target, or lists a file twice.
    """
    path = Path(path)
    if path.is_file():
        if path.suffix.lower() != ".csv":
            raise DatasetError(f"{path} is a file. Give a folder of clips or a CSV manifest. {_LAYOUTS}")
        found = list(_manifest(path))
    elif path.is_dir():
        found = list(_folder(path))
    else:
        raise DatasetError(f"{path} does not exist. Give a folder of clips or a CSV manifest.")
    return sorted(found)


def _folder(root: Path) -> Iterator[Recording]:
    clips = [
        file
        for file in root.rglob("*")
        # ._NAME.wav is how macOS archives keep attributes: no audio.
        if file.suffix.lower() in AUDIO_SUFFIXES and not file.name.startswith(".") and file.is_file()
    ]
    if not clips:
        raise DatasetError(f"{root} holds no audio files (no .wav, .flac, .ogg, .mp3, .aiff …). {_LAYOUTS}")
    whole = root.resolve()
    recordings = [recording for clip in clips if (recording := _labelled(clip, whole / clip.relative_to(root), whole))]
    if not recordings:
        raise DatasetError(f"{root} holds {len(clips)} audio files in no layout that is understood. {_LAYOUTS}")
    yield from recordings


def _labelled(path: Path, whole: Path, root: Path) -> Recording | None:
    """Read machine and label from the name or else the folders; `whole` is the absolute path."""
    match = _DCASE_2021.match(whole.stem)
    if match:
        machine = f"{whole.parent.parent.name}/{match['section']}"
        return _recording(path, match["label"], machine, "", whole.stem, match["domain"], match["split"])
    match = _DCASE_2020.match(whole.stem)
    folder = whole.parent
    if match:
        # train and test number their clips from zero each: the folder belongs to the group.
        machine = f"{folder.parent.name}/{match['section']}"
        return _recording(path, match["label"], machine, f"{folder.name}/", whole.stem, "", _split(folder.name))
    while folder.name.lower() not in _LABELS:
        if folder == root or folder == folder.parent:
            return None
        folder = folder.parent
    above, inside = folder.parent, folder.name
    split = _split(above.name)
    if split:
        above, inside = above.parent, f"{above.name}/{inside}"
    machine = f"{above.parent.name}/{above.name}" if _MIMII_ID.fullmatch(above.name) else above.name
    deeper = whole.parent.relative_to(folder).as_posix()
    inside += "/" if deeper == "." else f"/{deeper}/"
    return _recording(path, folder.name, machine, inside, whole.stem, "", split)


def _split(name: str) -> str:
    match = _SPLIT.fullmatch(name)
    return match[1].lower() if match else ""


def _recording(path: Path, label: str, machine: str, inside: str, stem: str, domain: str, split: str) -> Recording:
    return Recording(
        path=path,
        target=_TARGETS[label.lower()],
        machine=machine,
        domain=domain,  # type: ignore[arg-type]  # the patterns let nothing else through
        split=split,  # type: ignore[arg-type]
        group=f"{machine}/{inside}{_PIECE.sub('', stem)}",
    )


def _manifest(table: Path) -> Iterator[Recording]:
    try:
        # Spreadsheets put a byte-order mark in front.
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns = [column.strip().lower() for column in reader.fieldnames or ()]
            reader.fieldnames = columns
            missing = [column for column in ("path", "target") if column not in columns]
            if missing:
                raise DatasetError(
                    f"{table} has no column {' and no column '.join(missing)}, only: {', '.join(columns) or 'none'}. "
                    "The first line must read path,target or path,target,machine,section."
                )
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{table} cannot be read as a CSV in UTF-8: {error}.") from None
    if not rows:
        raise DatasetError(f"{table} lists no clips.")
    seen: dict[Path, int] = {}
    for line, row in rows:
        yield _row(
            table, line, {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}, seen
        )


def _row(table: Path, line: int, row: dict[str, str], seen: dict[Path, int]) -> Recording:
    where = f"{table}, line {line}"
    if not row["path"]:
        raise DatasetError(f"{where}: no path.")
    listed = Path(row["path"])
    path = table.parent / listed
    if not path.is_file():
        raise DatasetError(f"{where}: {row['path']} does not exist. Relative paths are relative to the CSV's folder.")
    whole = path.resolve()
    if whole in seen:
        raise DatasetError(f"{where}: {row['path']} is listed already in line {seen[whole]}. List each file once.")
    seen[whole] = line
    if row["target"].lower() not in _TARGETS:
        raise DatasetError(f"{where}: target {row['target']!r} is none of {', '.join(_TARGETS)}.")
    kind, section = row.get("machine", ""), row.get("section", "")
    if section and not kind:
        raise DatasetError(f"{where}: section {section!r} without a machine.")
    inside = listed.parent.as_posix().strip("/")
    return _recording(
        path,
        row["target"],
        f"{kind}/{section}" if section else kind,
        "" if inside in ("", ".") else f"{inside}/",
        path.stem,
        "",
        "",
    )
