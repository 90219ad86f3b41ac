"""Every layout is understood without configuration, from whichever folder above, or refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from audio_pipeline.datasets import Recording, discover
from audio_pipeline.errors import DatasetError

REAL = Path(__file__).parents[3] / "shared" / "data"


def put(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def facts(recordings: list[Recording]) -> list[tuple[str, bool, str, str, str]]:
    return [(each.path.stem, each.target, each.machine, each.domain, each.split) for each in recordings]


@pytest.mark.parametrize("label", ["abnormal", "anomaly", "Anomaly", "ABNORMAL"])
def test_a_folder_a_label(tmp_path: Path, label):
    put(tmp_path / "press", "normal/a.wav", f"{label}/b.flac", f"{label}/2024/03/c.ogg")
    expected = {("a", False, "press", "", ""), ("b", True, "press", "", ""), ("c", True, "press", "", "")}
    assert set(facts(discover(tmp_path / "press"))) == set(facts(discover(tmp_path))) == expected


def test_machines_whose_names_hold_train_or_test_stay_machines(tmp_path: Path):
    put(tmp_path / "hall", "test_rig_1/normal/a.wav", "test_rig_2/normal/b.wav", "train_1/abnormal/c.wav")
    assert facts(discover(tmp_path)) == [
        ("a", False, "test_rig_1", "", ""),
        ("b", False, "test_rig_2", "", ""),
        ("c", True, "train_1", "", ""),
    ]
    put(tmp_path / "set" / "fan", "train/normal/a.wav", "Test/normal/b.wav", "source_test/abnormal/c.wav")
    assert [fact[2:] for fact in facts(discover(tmp_path / "set"))] == [
        ("fan", "", "test"),
        ("fan", "", "test"),
        ("fan", "", "train"),
    ]


def test_mimii(tmp_path: Path):
    put(tmp_path, "fan/id_00/normal/00000000.wav", "fan/id_00/abnormal/00000000.wav", "pump/id_04/normal/00000001.wav")
    assert facts(discover(tmp_path)) == [
        ("00000000", True, "fan/id_00", "", ""),
        ("00000000", False, "fan/id_00", "", ""),
        ("00000001", False, "pump/id_04", "", ""),
    ]
    assert [each.machine for each in discover(tmp_path / "fan" / "id_00")] == ["fan/id_00", "fan/id_00"]


def test_dcase_2021_and_later(tmp_path: Path):
    put(
        tmp_path,
        "valve/train/section_00_source_train_normal_0000_pat_00.wav",
        "valve/train/section_00_target_train_normal_0001_noAttribute.wav",
        "valve/test/section_02_target_test_anomaly_0002.wav",
        "valve/source_test/section_01_source_test_normal_0003.wav",
        "valve/attributes_00.csv",
        "valve/test/section_00_0007.wav",
    )
    assert facts(discover(tmp_path)) == [
        ("section_01_source_test_normal_0003", False, "valve/section_01", "source", "test"),
        ("section_02_target_test_anomaly_0002", True, "valve/section_02", "target", "test"),
        ("section_00_source_train_normal_0000_pat_00", False, "valve/section_00", "source", "train"),
        ("section_00_target_train_normal_0001_noAttribute", False, "valve/section_00", "target", "train"),
    ]


def test_dcase_2020(tmp_path: Path):
    put(
        tmp_path / "ToyCar",
        "train/normal_id_01_00000000.wav",
        "test/normal_id_01_00000000.wav",
        "test/anomaly_id_02_00000005.wav",
    )
    found = discover(tmp_path / "ToyCar")
    assert facts(found) == [
        ("anomaly_id_02_00000005", True, "ToyCar/id_02", "", "test"),
        ("normal_id_01_00000000", False, "ToyCar/id_01", "", "test"),
        ("normal_id_01_00000000", False, "ToyCar/id_01", "", "train"),
    ]
    assert len({each.group for each in found}) == 3


def test_pieces_of_one_flight_are_one_group(tmp_path: Path):
    put(tmp_path, *(f"uav/normal/0000_cw_{flight}_t{second:03}.wav" for flight in (1, 2) for second in (0, 10, 20)))
    put(tmp_path, "uav/abnormal/0000_cw_1_s1.wav", "uav/abnormal/plain.wav")
    groups = [each.group for each in discover(tmp_path)]
    assert sorted(set(groups)) == [
        "uav/abnormal/0000_cw_1",
        "uav/abnormal/plain",
        "uav/normal/0000_cw_1",
        "uav/normal/0000_cw_2",
    ]


def test_machine_and_group_do_not_depend_on_the_folder_given(tmp_path: Path, monkeypatch):
    put(tmp_path, "all/fan/id_00/normal/0.wav", "all/fan/id_00/abnormal/0.wav")
    monkeypatch.chdir(tmp_path / "all" / "fan" / "id_00")
    seen = [
        [(each.machine, each.group) for each in discover(root)]
        for root in (tmp_path, tmp_path / "all", tmp_path / "all" / "fan", Path())
    ]
    assert all(each == seen[0] for each in seen)
    assert len({group for _, group in seen[0]}) == 2


def test_any_audio_suffix_in_any_case_and_nothing_else(tmp_path: Path):
    put(tmp_path, "m/normal/a.WAV", "m/normal/b.Mp3", "m/normal/c.aif", "m/normal/d.txt", "m/normal/._e.wav", "f.wav")
    assert [each.path.name for each in discover(tmp_path)] == ["a.WAV", "b.Mp3", "c.aif"]


def test_manifest(tmp_path: Path):
    put(tmp_path, "data/x.wav", "data/y.flac", "other/x.wav")
    (tmp_path / "data" / "list.csv").write_text(
        "\ufeffPath, target ,machine,section,remark\n"
        "x.wav,False,fan,id_00,fine\ny.flac,ANOMALY,fan,,\n"
        f"{tmp_path / 'other' / 'x.wav'},1,,,\n"
    )
    found = {each.machine: each for each in discover(tmp_path / "data" / "list.csv")}
    assert {machine: each.target for machine, each in found.items()} == {"fan/id_00": False, "fan": True, "": True}
    assert all(each.path.is_file() for each in found.values())
    assert found["fan/id_00"].group == "fan/id_00/x"
    assert len({each.group for each in found.values()}) == 3


@pytest.mark.parametrize(("word", "target"), [("True", True), ("false", False), ("0", False), ("abnormal", True)])
def test_manifest_targets_in_the_usual_words(tmp_path: Path, word, target):
    put(tmp_path, "x.wav")
    (tmp_path / "list.csv").write_text(f"path,target\nx.wav,{word}\n")
    assert [each.target for each in discover(tmp_path / "list.csv")] == [target]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no column path and no column target"),
        ("file,target\nx.wav,0\n", "no column path"),
        ("path,label\nx.wav,0\n", "no column target"),
        ("path,target\n", "lists no clips"),
        ("path,target\nx.wav,0\nz.wav,0\n", "line 3: z.wav does not exist"),
        ("path,target\nx.wav,maybe\n", "line 2: target 'maybe'"),
        ("path,target\nx.wav,\n", "line 2: target ''"),
        ("path,target\nx.wav\n", "line 2: target ''"),
        ("path,target\n,0\n", "line 2: no path"),
        ("path,target\nx.wav,0\n./x.wav,1\n", "line 3: ./x.wav is listed already in line 2"),
        ("path,target,machine,section\nx.wav,0,,id_00\n", "line 2: section 'id_00' without a machine"),
        ('path,target\n"x.wav,0\n', "cannot be read as a CSV"),
    ],
)
def test_a_wrong_manifest_is_refused_with_its_line(tmp_path: Path, text, complaint):
    put(tmp_path, "x.wav")
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DatasetError, match=complaint):
        discover(tmp_path / "list.csv")


def test_a_manifest_in_another_encoding_is_refused(tmp_path: Path):
    (tmp_path / "list.csv").write_bytes("path,target\nlüfter.wav,0\n".encode("latin-1"))
    with pytest.raises(DatasetError, match="UTF-8"):
        discover(tmp_path / "list.csv")


@pytest.mark.parametrize(
    ("names", "asked", "complaint"),
    [
        ([], "missing", "does not exist"),
        ([], "", "holds no audio files"),
        (["notes.txt"], "", "holds no audio files"),
        (["good/a.wav", "bad/b.wav"], "", "2 audio files in no layout.*Understood are"),
        (["a.wav"], "a.wav", "is a file"),
    ],
)
def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path, names, asked, complaint):
    put(tmp_path, *names)
    with pytest.raises(DatasetError, match=complaint):
        discover(tmp_path / asked)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"needs the real recordings in {REAL}")
@pytest.mark.parametrize(
    ("folder", "normals", "anomalies", "machines", "groups"),
    [
        ("mimii_fan_id00", 12, 10, 1, 22),
        ("dcase2020_id00", 75, 1, 1, 76),
        ("uav_propeller", 160, 84, 1, 68),
        ("mimii_m6dB", 70, 35, 7, 105),
        ("dcase_valve", 50, 50, 1, 100),
    ],
)
def test_the_real_sets_are_understood(folder, normals, anomalies, machines, groups):
    found = discover(REAL / folder)
    assert sum(not each.target for each in found) == normals
    assert sum(each.target for each in found) == anomalies
    assert len({each.machine for each in found}) == machines
    assert len({each.group for each in found}) == groups
