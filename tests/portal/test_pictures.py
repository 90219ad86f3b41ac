"""Clips as pictures, charts as plain data, tables as CSV."""

from __future__ import annotations

import base64
import csv
import io
import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from audio_pipeline.clip import to_wav
from portal import charts
from portal.client import Service, ServiceError
from portal.cliplist import list_data
from portal.clips import demo_clips, fetch
from portal.export import csv_of
from portal.formats import Formats, plain, zone_named
from portal.listener import listener_data
from portal.picture import BANDS, RATE, log_mel, picture_of, thumbnail_of
from portal.records import DayCount, Explanation, Histogram, MachineCount, Summary
from portal.texts import Texts
from portal.thumbnails import thumbnails
from tests.portal.answers import Answer, answering
from tests.portal.records import NOON, prediction

ENGLISH = Texts("en")
EN = Formats(ENGLISH)


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE).astype(np.float32)


def image_of(picture: object) -> np.ndarray:
    url = picture.spectrogram  # type: ignore[attr-defined]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))


@pytest.mark.parametrize("hertz", [60.0, 250.0, 1000.0, 6000.0])
def test_a_tone_is_brightest_in_its_own_band(hertz: float) -> None:
    picture = picture_of(tone(hertz))
    row = BANDS - 1 - int(image_of(picture)[:, 20:-20].mean(axis=1).argmax())
    assert picture.edges_hz[row] - 20 <= hertz <= picture.edges_hz[row + 1] + 20


def test_a_click_is_where_it_was_in_both_pictures() -> None:
    samples = np.random.default_rng(0).normal(0, 0.001, 4 * RATE).astype(np.float32)
    samples[3 * RATE] = 1.0
    picture = picture_of(samples)
    highs = picture.outline[1::2]
    assert int(np.argmax(highs)) / len(highs) == pytest.approx(0.75, abs=0.01)
    columns = image_of(picture).mean(axis=0)
    assert int(columns.argmax()) / len(columns) == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize("seconds", [0.01, 0.25, 600.0])
def test_the_picture_of_the_shortest_and_the_longest_clip_stays_small(seconds: float) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)
    picture = picture_of(samples)
    assert picture.duration_s == pytest.approx(seconds, abs=1e-3)
    assert len(picture.spectrogram) < 400_000
    assert len(picture.outline) <= 2400


def test_silence_has_a_picture_too() -> None:
    assert picture_of(np.zeros(RATE, np.float32)).outline == (0, 0)
    assert np.isfinite(log_mel(np.zeros(RATE, np.float32))).all()


def test_what_is_odd_is_sent_to_be_drawn_with_its_legend() -> None:
    explanation = Explanation.model_validate(
        {
            "frame_hop_s": 0.5,
            "frame_strength": [0.5, 2.0],
            "seconds": [{"start_s": 0.2, "end_s": 0.7, "strength": 2.0}],
            "bands": [{"low_hz": 500, "high_hz": 900, "strength": 1, "direction": "more", "change_db": 7.6}],
        }
    )
    data = listener_data("clip-1", picture_of(tone(440)), explanation, ENGLISH, EN)
    assert data["strength"] == [0.25, 1.0]
    assert data["strength_step"] == 0.5
    assert data["seconds"][0]["start_s"] == 0.2
    assert data["bands"][0]["label"] == "+8 dB"
    assert [kind for kind, _ in data["labels"]["legend"]] == ["strength", "odd", "more"]
    assert len(json.dumps(data)) < 100_000
    steady = listener_data("c", picture_of(tone(440)), explanation.model_copy(update={"throughout": True}), ENGLISH, EN)
    assert steady["seconds"] == steady["strength"] == []
    assert [kind for kind, _ in steady["labels"]["legend"]] == ["more"]
    plain_data = listener_data("clip-1", picture_of(tone(440)), None, ENGLISH, EN)
    assert plain_data["labels"]["legend"] == []


def test_charts_are_json_and_hold_the_figures() -> None:
    windows = charts.windows(prediction(), ENGLISH)
    assert [value["odd"] for value in windows["data"]["values"]] == [False, True]
    today = NOON.date()
    counted = [DayCount(day=today, predictions=5, anomalies=2)]
    days = charts.by_day(counted, today - timedelta(days=2), today, ENGLISH)
    assert [(v["x"], v["kind"], v["count"]) for v in days["data"]["values"]] == [
        *(("22/11", kind, 0) for kind in ("ANOMALY", "normal")),
        *(("23/11", kind, 0) for kind in ("ANOMALY", "normal")),
        ("24/11", "ANOMALY", 2),
        ("24/11", "normal", 3),
    ]
    machines = charts.by_machine([MachineCount(machine="", predictions=1, anomalies=0)], ENGLISH, EN)
    assert machines["data"]["values"][0]["x"] == "unknown machine"
    assert machines["encoding"]["y"]["field"] == "x"
    histogram = charts.score_histogram(
        [
            Histogram(model_version="a", edges=(0, 1, 2), counts=(3, 1)),
            Histogram(model_version="b", edges=(0, 1), counts=(0,)),
        ],
        ENGLISH,
    )
    assert [value["share"] for value in histogram["data"]["values"]] == [0.75, 0.25]
    json.dumps([windows, days, machines, histogram], allow_nan=False)


@pytest.mark.parametrize(("score", "threshold"), [(2.4, 2.0), (0.0, 2.0), (50.0, 2.0), (-3.0, 1.0), (0.0, 0.0)])
def test_score_and_threshold_fit_on_the_bar_in_their_order(score: float, threshold: float) -> None:
    at, limit = charts.bounded_scale(score, threshold)
    assert 0 <= at <= 1
    assert 0 <= limit < 1
    assert (at > limit) == (score > threshold)


def test_the_table_for_spreadsheets_keeps_figures_and_takes_formulas_for_text() -> None:
    line = Summary.model_validate(
        prediction().model_dump() | {"filename": "=HYPERLINK(1)", "sensor_ok": True, "answer": "anomaly"}
    )
    content = csv_of([line])
    assert content.startswith(b"\xef\xbb\xbf")
    (row,) = csv.DictReader(io.StringIO(content.decode("utf-8-sig")))
    assert row["filename"] == "'=HYPERLINK(1)"
    assert float(row["score"]) == 2.43
    assert row["answer"] == "anomaly"


def test_a_file_name_is_shown_as_it_is() -> None:
    assert plain("a_b*c:red[x].wav") == r"a\_b\*c\:red\[x\]\.wav"


def test_demo_clips_are_listed_with_their_machine_and_none_where_the_folder_is_missing(tmp_path: Path) -> None:
    assert demo_clips(tmp_path / "none") == []
    folder = tmp_path / "fan" / "id_00" / "abnormal"
    folder.mkdir(parents=True)
    (folder / "a.flac").write_bytes(b"")
    (folder / "README.md").write_text("")
    (clip,) = demo_clips(tmp_path)
    assert (clip.machine, clip.kind, clip.name) == ("fan/id_00", "abnormal", "a.flac")


def test_a_time_zone_that_is_not_known_here_is_utc() -> None:
    assert zone_named("Mars/Olympus").utcoffset(None) == zone_named(None).utcoffset(NOON)
    assert Formats(ENGLISH, zone_named("Asia/Tokyo")).moment(NOON) == "2026-11-24 21:00"


def test_the_small_picture_is_the_large_one_in_colour() -> None:
    small = thumbnail_of(tone(1000.0))
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(small.partition(",")[2]))).convert("RGB")).astype(int)
    assert image.shape == (52, 168, 3)
    brightness = image.sum(axis=2).mean(axis=1)
    row = int(brightness.argmax())  # counted from the top
    large = image_of(picture_of(tone(1000.0)))
    assert row / 52 == pytest.approx(int(large.mean(axis=1).argmax()) / BANDS, abs=0.03)
    assert brightness[row] > 5 * np.median(brightness)
    assert len(small) < 12_000


def test_a_clip_that_is_kept_and_cannot_be_read_has_no_picture_and_a_reason() -> None:
    # A peak of 1.4 steps of 16 bits is taken on; kept, it is one step, which counts as silence.
    hardly = to_wav(np.full(16_000, 2.0**-15, np.float32))
    with answering(Answer(200, hardly)) as server:
        assert thumbnails(Service(server.address, None), ["p"]) == {}
        with pytest.raises(ServiceError) as refused:
            fetch(server.address, "/predictions/p/audio")
    assert (refused.value.kind, refused.value.code) == ("refused", "silent")


def test_lines_of_the_list_say_what_the_prediction_says() -> None:
    odd, fine = prediction(), prediction(prediction_id="b", anomaly=False, score=-1.0, machine="", filename=None)
    data = list_data([odd, fine], {odd.prediction_id: "data:image/png;base64,xx"}, "b", ENGLISH, EN)
    json.dumps(data, allow_nan=False)
    first, second = data["rows"]
    assert (first["verdict"], first["tone"], first["name"]) == ("ANOMALY", "bad", "fan.flac")
    assert first["about"] == "fan/id_00 · 2026-11-24 12:00 · 15.0 s"
    assert first["fill"] > first["limit"]
    assert second["fill"] == 0
    assert second["image"] == ""
    assert second["about"].startswith("unknown machine")
    assert data["chosen"] == "b"
