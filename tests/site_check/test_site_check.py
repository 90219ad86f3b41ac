from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_pipeline.datasets import discover
from audio_pipeline.detector.training import fit
from audio_pipeline.embedding_job import EmbeddingCache, embed_recordings
from audio_pipeline.encoder import DEFAULT_ENCODER, Encoder
from audio_pipeline.errors import DatasetError, TrainingError
from audio_pipeline.reference import is_held_out
from audio_pipeline.site_check import LEVELS_DB, TRIALS, SiteCheck, check_site, pieces
from audio_pipeline.site_check.pieces import gather
from audio_pipeline.site_check.trials import changes, mixed, result
from tests.pipeline.recordings import RATE, fan, write_dataset
from wheeltapper.cli import main
from wheeltapper.site_page import alarms_sentence, answer, render


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load(DEFAULT_ENCODER)


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a minute of a fan in short clips, some knocking, and one recording that clips."""
    folder = write_dataset(tmp_path_factory.mktemp("hall"), normals=30, anomalies=6, seconds=1.0)
    loud = np.clip(fan(500, seconds=1.0) * 30, -1, 1)
    soundfile.write(folder / "fan" / "id_00" / "normal" / "loud.wav", loud, RATE, subtype="PCM_16")
    (folder / "fan" / "id_00" / "normal" / "broken.wav").write_bytes(b"RIFF")
    return folder


@pytest.fixture(scope="module")
def checked(hall: Path, encoder: Encoder) -> SiteCheck:
    return check_site(hall, encoder, clips_per_hour=10)


def test_false_alarms_are_counted_and_told_a_week(checked: SiteCheck) -> None:
    alarms = checked.false_alarms
    assert alarms.tried == 31
    assert alarms.interval[0] <= alarms.alarms / alarms.tried <= alarms.interval[1]
    assert alarms.per_week == pytest.approx(alarms.alarms / 31 * 10 * 168)
    assert alarms.used > alarms.asked == 0.01, "so few recordings cannot support one in a hundred"
    assert f"{alarms.alarms} of 31" in alarms_sentence(alarms)


def test_the_rate_that_the_page_calls_reachable_is_the_one_that_training_reaches(
    checked: SiteCheck, hall: Path, encoder: Encoder, tmp_path: Path
) -> None:
    healthy = [each for each in discover(hall) if not each.target and each.path.stem not in ("loud", "broken")]
    reference = embed_recordings(healthy, encoder, EmbeddingCache(tmp_path, encoder.manifest.sha256)).reference
    trained = fit(reference, encoder.manifest)[1].false_alarm_rate.reachable
    loud = is_held_out("fan/id_00/normal/loud")  # clips, so it does not train; it is counted here all the same
    assert 1 / checked.false_alarms.reachable == pytest.approx(1 / trained + (not loud))
    assert "more and shorter files" in alarms_sentence(replace(checked.false_alarms, reachable=1.0))


def test_a_fault_is_found_more_often_the_louder_it_is_and_what_cannot_be_heard_is_not_found(checked: SiteCheck) -> None:
    (machine,) = checked.machines
    assert len(machine.faults) == len(TRIALS)
    found = np.array([fault.found for fault in machine.faults]) / machine.faults[0].tried
    assert found.shape == (len(TRIALS), len(LEVELS_DB))
    assert (found[:, -1] >= found[:, 0]).all()
    assert found[:, -1].mean() > 0.5
    assert found[:, 0].mean() < found[:, -1].mean() - 0.3
    for fault, shares in zip(machine.faults, found, strict=True):
        if fault.found_from_db is not None:
            assert (shares[list(checked.levels_db).index(fault.found_from_db) :] >= 0.8).all()


def test_the_plants_own_anomalies_are_tried_and_not_trained_on(checked: SiteCheck) -> None:
    own = checked.machines[0].own_faults
    assert own is not None
    assert own[1] == 6
    assert own[0] >= 4, "a knock twelve times a second is no subtle fault"


def test_defects_of_the_microphone_and_unusable_files_are_told(checked: SiteCheck) -> None:
    assert [(count.code, count.recordings, count.first) for count in checked.sensor] == [("clipping", 1, "loud.wav")]
    assert [Path(path).name for path, _ in checked.skipped] == ["broken.wav"]


def test_the_page_says_it_in_words_and_fetches_nothing(checked: SiteCheck) -> None:
    page = render(checked)
    assert "Will it work in my hall?" in page
    assert answer(checked).split(".")[0] in page
    assert "a leak that hisses" in page.lower()
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert page.count("data:image/png;base64,") == 1 + len(checked.machines)


def test_the_same_seed_deals_the_same_folds_in_every_process() -> None:
    code = (
        "import numpy as np\n"
        "from audio_pipeline.site_check.check import _deal\n"
        "from audio_pipeline.site_check.pieces import Piece\n"
        "nothing = np.zeros(1, np.float32)\n"
        "print(_deal([Piece(nothing, m, f'{m}/{n}', False) for m in ('fan', 'pump', 'valve') for n in range(7)], 0))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(2)  # different orders of a set of these names
    }
    assert len(told) == 1


def test_a_folder_without_labels_is_taken_for_healthy_recordings(tmp_path: Path) -> None:
    long = np.concatenate([fan(seed, seconds=5.0) for seed in range(5)])
    soundfile.write(tmp_path / "hall.wav", long, RATE)
    material = gather(tmp_path)
    assert [len(piece.samples) for piece in material.pieces] == [160_000, 160_000]
    assert {(piece.machine, piece.target) for piece in material.pieces} == {(tmp_path.name, False)}
    assert material.seconds == pytest.approx(25)


def test_a_large_archive_is_sampled_evenly_and_never_held_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "_MOST_PIECES", 3)
    for number in range(10):  # 60 s each: 38 MB once decoded
        sound = np.tile(fan(number, seconds=1.0), 60)
        soundfile.write(tmp_path / f"{number:02d}.wav", sound, RATE, subtype="PCM_16")
    tracemalloc.start()
    material = gather(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (material.recordings, material.seconds) == (10, 600)
    assert peak < 28e6
    chosen = [int(piece.recording.split("/")[1][:2]) for piece in material.pieces]
    assert len(chosen) == 3
    assert chosen[0] == 0
    assert max(np.diff([*chosen, 10])) <= 5


def test_an_hour_of_a_recorder_is_accepted_whatever_it_records_in() -> None:
    limits = pieces._LIMITS
    assert limits.max_s >= 3600
    assert limits.max_bytes >= 3600 * 48_000 * 2 * 3, "24 bits, stereo"
    assert limits.max_decoded_bytes >= 3600 * 48_000 * 2 * 4


def test_too_few_recordings_and_none_are_refused_with_the_remedy(tmp_path: Path, encoder: Encoder) -> None:
    with pytest.raises(DatasetError):
        check_site(tmp_path, encoder)
    soundfile.write(tmp_path / "one.wav", fan(1), RATE)
    with pytest.raises(TrainingError, match="Record longer"):
        check_site(tmp_path, encoder)


def test_a_fault_is_mixed_in_at_the_stated_level() -> None:
    recording = fan(3, seconds=2.0)
    for change in changes(TRIALS[0], 2.0, seed=1):
        added = mixed(recording, change, -10.0) - recording
        assert np.mean(added**2) / np.mean(recording**2) == pytest.approx(0.1, rel=0.01)


def test_found_from_a_level_means_at_every_louder_one_too() -> None:
    assert result(TRIALS[0], 10, [0, 9, 2, 8, 9, 10]).found_from_db == LEVELS_DB[3]
    assert result(TRIALS[0], 10, [10, 10, 10, 10, 10, 7]).found_from_db is None


def test_the_command_writes_the_page_and_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hall, page = write_dataset(tmp_path / "hall", normals=12, anomalies=0, seconds=0.3), tmp_path / "page.html"
    assert main(["check-site", str(hall), "--out", str(page), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["page"] == str(page)
    assert told["false_alarms"]["tried"] == 12
    assert page.read_text().startswith("<!doctype html>")
    assert main(["check-site", str(tmp_path / "nowhere"), "--out", str(page)]) == 2
    assert main(["check-site", str(hall), "--out", str(tmp_path / "nowhere" / "page.html")]) == 2
