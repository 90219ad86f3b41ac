"""The reference set on disk: what is written reads back to the bit, and anything else is refused with a sentence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from audio_pipeline.errors import ReferenceDataError
from audio_pipeline.reference import (
    Reference,
    format_rows,
    header,
    is_held_out,
    parse_table,
    read_reference,
    write_reference,
)

ENCODER = "ab" * 32


def reference(rows: int = 4, dimensions: int = 3) -> Reference:
    random = np.random.default_rng(0)
    numbers = np.arange(rows)
    return Reference(
        vectors=random.standard_normal((rows, dimensions)).astype(np.float32),
        targets=numbers % 2 == 1,
        clips=np.array([f"{n:064x}" for n in numbers]),
        paths=np.array([f"halle 3, süd/{n}\n.wav" for n in numbers]),
        machines=np.array(["fan/id_00", ""] * rows)[:rows],
        domains=np.array(["source", ""] * rows)[:rows],
        splits=np.array(["train", ""] * rows)[:rows],
        groups=np.array([f"fan/id_00/{n}" for n in numbers]),
        starts_s=numbers * 5.0,
        ends_s=numbers * 5.0 + 10.0,
        levels_db=random.standard_normal(rows) - 30,
        encoder_name="default",
        encoder_sha256=ENCODER,
    )


def test_a_reference_reads_back_as_it_was_written(tmp_path: Path) -> None:
    written = write_reference(tmp_path, reference())
    read = read_reference(tmp_path, ENCODER)
    for name, value in vars(written).items():
        np.testing.assert_array_equal(getattr(read, name), value, err_msg=name)
    assert read.vectors.dtype == np.float32
    assert read.sha256 == hashlib.sha256((tmp_path / "ref_data.csv").read_bytes()).hexdigest()


def test_the_table_has_the_columns_of_the_contract(tmp_path: Path) -> None:
    write_reference(tmp_path, reference(rows=2))
    lines = (tmp_path / "ref_data.csv").read_text().splitlines()
    assert lines[0] == "emb_1,emb_2,emb_3,target"
    assert [line.rsplit(",", 1)[1] for line in lines[1:]] == ["False", "True"]


finite = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=True)


@given(arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 8)), elements=finite))
@settings(max_examples=300, deadline=None)
def test_every_finite_float32_reads_back_to_the_bit(vectors: np.ndarray) -> None:
    table = ",".join(header(vectors.shape[1])).encode() + b"\n" + format_rows(vectors, ["True"] * len(vectors))
    read, targets = parse_table(table, Path("ref_data.csv"))
    assert read.view(np.uint32).tolist() == vectors.view(np.uint32).tolist()
    assert targets.all()


def test_all_kinds_of_float32_bit_patterns_read_back_and_are_shortest() -> None:
    bits = np.random.default_rng(1).integers(0, 2**32, 50_000, dtype=np.uint32)
    edge = np.array([0, 1, 2, 0x7FFFFF, 0x800000, 0x7F7FFFFF, 0x80000000, 0x80000001, 0x3F800000], dtype=np.uint32)
    values = np.concatenate([edge, bits]).view(np.float32)
    values = values[np.isfinite(values)][:, None]
    text = format_rows(values, ["False"] * len(values))
    read, _ = parse_table(b"emb_1,target\n" + text, Path("ref_data.csv"))
    np.testing.assert_array_equal(read.view(np.uint32), values.view(np.uint32))
    for line, value in zip(text.decode().splitlines()[:500], values[:500, 0], strict=True):
        assert float(line.split(",")[0]) == float(str(value)), "numpy's own shortest text"


def rewrite(folder: Path, change: Callable[[str], str]) -> None:
    """Edit the table and record its new hash, so that only the edit itself can be found."""
    path = folder / "ref_data.csv"
    path.write_text(change(path.read_text()))
    manifest = json.loads((folder / "ref_data.json").read_text())
    manifest["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "ref_data.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda text: text.replace("emb_2", "x"), "found 'x'"),
        (lambda text: text.replace("target", "label"), "found 'label'"),
        (lambda text: "", "must have the columns"),
        (lambda text: text.split("\n")[0] + "\n", "no row"),
        (lambda text: text.replace("True", "1"), "line 3: the target must be True or False"),
        (lambda text: text.replace("True", "true"), "True or False"),
        (lambda text: text[:-3], "middle of a row"),
        (lambda text: _replace_first_value(text, "nan"), "row 1: a value is NaN"),
        (lambda text: _replace_first_value(text, "inf"), "NaN or infinite"),
        (lambda text: _replace_first_value(text, "1e99"), "NaN or infinite"),
        (lambda text: _replace_first_value(text, "abc"), "no number"),
        (lambda text: _replace_first_value(text, ""), "no number"),
        (lambda text: _replace_first_value(text, "1,2"), "no number|columns"),
        (lambda text: text + text.splitlines()[-1] + "\n", "5 rows of 3 values"),
        (lambda text: "\n".join(text.splitlines()[:-1]) + "\n", "3 rows of 3 values"),
    ],
)
def test_a_bad_table_is_refused_with_what_is_wrong(tmp_path: Path, change: Callable[[str], str], sentence: str) -> None:
    write_reference(tmp_path, reference())
    rewrite(tmp_path, change)
    with pytest.raises(ReferenceDataError, match=sentence):
        read_reference(tmp_path)


def _replace_first_value(text: str, value: str) -> str:
    first, second, rest = text.split("\n", 2)
    return f"{first}\n{value},{second.split(',', 1)[1]}\n{rest}"


def test_an_edited_value_is_found_by_the_hash(tmp_path: Path) -> None:
    write_reference(tmp_path, reference())
    path = tmp_path / "ref_data.csv"
    path.write_text(_replace_first_value(path.read_text(), "0.5"))
    with pytest.raises(ReferenceDataError, match=r"not the file that ref_data\.json describes"):
        read_reference(tmp_path)


def test_another_encoder_is_refused_with_the_remedy(tmp_path: Path) -> None:
    write_reference(tmp_path, reference())
    with pytest.raises(ReferenceDataError, match=r"another encoder.*wheeltapper reembed"):
        read_reference(tmp_path, "cd" * 32)


@pytest.mark.parametrize("name", ["ref_data.csv", "ref_clips.csv", "ref_data.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write_reference(tmp_path, reference())
    (tmp_path / name).unlink()
    with pytest.raises(ReferenceDataError, match=f"{name} is missing: run `wheeltapper embed"):
        read_reference(tmp_path)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"rows": "many"}', "null"])
def test_a_damaged_manifest_is_refused(tmp_path: Path, content: str) -> None:
    write_reference(tmp_path, reference())
    (tmp_path / "ref_data.json").write_text(content)
    with pytest.raises(ReferenceDataError, match=r"ref_data\.json does not describe"):
        read_reference(tmp_path)


def test_clips_that_do_not_fit_row_for_row_are_refused(tmp_path: Path) -> None:
    write_reference(tmp_path, reference())
    clips = tmp_path / "ref_clips.csv"
    clips.write_text(clips.read_text().replace("source", "target"))
    with pytest.raises(ReferenceDataError, match=r"ref_clips\.csv is not the file"):
        read_reference(tmp_path)


def test_a_kill_between_the_files_is_refused_not_mixed(tmp_path: Path) -> None:
    """The new table is there and the old description: what a kill in the middle of writing leaves behind."""
    write_reference(tmp_path, reference())
    old = (tmp_path / "ref_data.json").read_bytes()
    write_reference(tmp_path, reference(rows=6))
    (tmp_path / "ref_data.json").write_bytes(old)
    with pytest.raises(ReferenceDataError, match="embed"):
        read_reference(tmp_path)


def test_vectors_that_are_not_finite_are_never_written(tmp_path: Path) -> None:
    bad = reference()
    bad.vectors[2, 1] = np.nan
    with pytest.raises(ReferenceDataError, match="row 3"):
        write_reference(tmp_path, bad)
    assert not any(tmp_path.iterdir())


def test_the_held_out_rule_is_the_first_byte_of_the_hash() -> None:
    groups = [f"valve/section_00/{n}" for n in range(3000)]
    held_out = [is_held_out(group) for group in groups]
    assert held_out == [int(hashlib.sha256(group.encode()).hexdigest()[:2], 16) < 77 for group in groups]
    assert 0.27 < np.mean(held_out) < 0.33


def test_selected_rows_stay_together() -> None:
    whole = reference()
    anomalies = whole.select(whole.targets)
    assert len(anomalies) == 2
    assert anomalies.targets.all()
    np.testing.assert_array_equal(anomalies.vectors, whole.vectors[1::2])
    assert anomalies.groups.tolist() == ["fan/id_00/1", "fan/id_00/3"]
