from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import numpy as np
import pytest
import soundfile
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, select

from audio_pipeline.clip import decode
from serve.database.connection import Database
from serve.database.predictions import vectors
from serve.database.tables import Base, Prediction, StoredClip
from serve.service import Service
from serve.settings import Settings
from tests.serve.clips import clip
from tests.serve.server import serving
from tests.serve.test_predict import as_form, assert_problem


def service_of(client: httpx.Client) -> Service:
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    return service


def test_a_prediction_and_its_vectors_read_back_exactly(client_of_each: httpx.Client) -> None:
    data = clip(1, seconds=17)
    answer = client_of_each.post("/predict", **as_form(data, machine="fan/id_00")).json()
    assert client_of_each.get(f"/predictions/{answer['prediction_id']}").json() == answer
    service = service_of(client_of_each)
    verdict = service.model.scorer.score(decode(data), "fan/id_00")
    with service.database.read() as session:
        stored = vectors(session, UUID(answer["prediction_id"]))
        row = session.get_one(Prediction, UUID(answer["prediction_id"]))
        assert (row.clip.native_rate, row.clip.channels, row.confirmed) == (16_000, 1, 0)
        assert row.encoder_sha256 == service.model.scorer.encoder.manifest.sha256
        assert row.deciding_window == verdict.deciding_window
    np.testing.assert_array_equal(stored, verdict.vectors)
    assert stored.shape[0] == len(answer["windows"]) == 3


def test_the_same_clip_sent_by_many_at_once_is_kept_once_and_predicted_every_time(client_of_each: httpx.Client) -> None:
    data = clip(2)
    with ThreadPoolExecutor(8) as senders:
        answers = list(
            senders.map(lambda n: client_of_each.post("/predict", **as_form(data, f"{n}.wav")).json(), range(16))
        )
    assert len({answer["prediction_id"] for answer in answers}) == 16
    assert {answer["filename"] for answer in answers} == {f"{n}.wav" for n in range(16)}
    service = service_of(client_of_each)
    with service.database.read() as session:
        assert session.scalar(select(func.count()).select_from(StoredClip)) == 1
        assert session.scalar(select(func.count()).select_from(Prediction)) == 16
    files = [path for path in service.clips.folder.rglob("*") if path.is_file()]
    assert [path.name for path in files] == [f"{decode(data).sha256}.flac"]


def test_the_history_is_paged_newest_first_without_gaps_while_new_ones_come_in(client_of_each: httpx.Client) -> None:
    sent = [client_of_each.post("/predict", **as_form(clip(n))).json()["prediction_id"] for n in range(5)]
    seen, cursor = [], None
    while True:
        page = client_of_each.get("/predictions", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [line["prediction_id"] for line in page["predictions"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        client_of_each.post("/predict", **as_form(clip(9)))
    assert seen == sent[::-1]


def test_the_history_is_filtered_by_machine_verdict_and_time(client_of_each: httpx.Client) -> None:
    before = datetime.now(UTC)
    for machine, rattle in (("fan/id_00", 0.0), ("fan/id_00", 1.0), ("pump/id_01", 0.0), ("", 0.0)):
        client_of_each.post("/predict", **as_form(clip(3, rattle=rattle), machine=machine))

    def found(**wanted: object) -> list[dict[str, object]]:
        answer = client_of_each.get("/predictions", params=wanted)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["predictions"])

    assert len(found()) == 4
    assert len(found(machine="fan/id_00")) == 2
    assert len(found(machine="")) == 1
    verdicts = [line["anomaly"] for line in found()]
    assert len(found(anomaly=True)) == sum(map(bool, verdicts))
    assert len(found(since=before.isoformat())) == 4
    assert found(until=before.isoformat()) == []
    assert found(since=(before + timedelta(hours=1)).isoformat()) == []


def test_a_clip_can_be_heard_whole_and_in_ranges(client: httpx.Client) -> None:
    data = clip(4, seconds=2, container="FLAC")
    prediction = client.post("/predict", **as_form(data)).json()["prediction_id"]
    whole = client.get(f"/predictions/{prediction}/audio")
    assert (whole.status_code, whole.headers["content-type"]) == (200, "audio/wav")
    samples, rate = soundfile.read(io.BytesIO(whole.content), dtype="float32")
    assert rate == 16_000
    np.testing.assert_array_equal(samples, decode(data).samples)
    for wanted, piece in (
        ("bytes=0-9", whole.content[:10]),
        ("bytes=100-", whole.content[100:]),
        ("bytes=-5", whole.content[-5:]),
        ("bytes=10-99999999", whole.content[10:]),
    ):
        part = client.get(f"/predictions/{prediction}/audio", headers={"range": wanted})
        assert (part.status_code, part.content) == (206, piece)
        assert part.headers["content-range"].endswith(f"/{len(whole.content)}")
    beyond = client.get(f"/predictions/{prediction}/audio", headers={"range": "bytes=99999999-"})
    assert_problem(beyond, 416, "range_not_satisfiable")


def test_a_clip_can_be_seen_from_many_threads_at_once(client: httpx.Client) -> None:
    prediction = client.post("/predict", **as_form(clip(4, seconds=12), machine="$fan_{1}$/id")).json()["prediction_id"]
    with ThreadPoolExecutor(4) as viewers:
        pictures = list(viewers.map(lambda _: client.get(f"/predictions/{prediction}/spectrogram.png"), range(4)))
    assert {picture.status_code for picture in pictures} == {200}
    assert all(picture.content.startswith(b"\x89PNG") for picture in pictures)


def test_a_clip_that_is_no_longer_kept_says_so(client: httpx.Client) -> None:
    prediction = client.post("/predict", **as_form(clip(4))).json()["prediction_id"]
    for path in service_of(client).clips.folder.rglob("*.flac"):
        path.unlink()
    assert_problem(client.get(f"/predictions/{prediction}/audio"), 404, "clip_gone")
    assert client.get(f"/predictions/{prediction}").status_code == 200


def test_an_unknown_prediction_is_404(client: httpx.Client) -> None:
    nobody = "/predictions/00000000-0000-0000-0000-000000000000"
    for path in (nobody, f"{nobody}/audio", f"{nobody}/spectrogram.png"):
        assert_problem(client.get(path), 404, "unknown_prediction")


def test_a_full_disk_is_a_503_and_nothing_half_is_left(client: httpx.Client) -> None:
    folder = service_of(client).clips.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file where the folder should be")
    assert_problem(client.post("/predict", **as_form(clip(1))), 503, "storage_unavailable")
    assert client.get("/predictions").json()["predictions"] == []
    folder.unlink()
    assert client.post("/predict", **as_form(clip(1))).status_code == 200


def test_the_migrations_make_the_tables_that_the_code_knows_and_can_run_twice(database_url: str) -> None:
    database = Database(database_url)
    database.migrate()
    database.migrate()
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    database.close()


def test_services_that_start_together_on_an_empty_database_all_start(database_url: str) -> None:
    def start(_: int) -> None:
        database = Database(database_url)
        database.migrate()
        database.close()

    with ThreadPoolExecutor(4) as starters:
        list(starters.map(start, range(4)))


def test_predictions_are_there_after_a_restart(settings: Callable[..., Settings], database_url: str) -> None:
    with serving(settings(database_url=database_url)) as client:
        answer = client.post("/predict", **as_form(clip(1))).json()
    with serving(settings(database_url=database_url)) as client:
        assert client.get(f"/predictions/{answer['prediction_id']}").json() == answer
        assert client.get(f"/predictions/{answer['prediction_id']}/audio").status_code == 200


@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_the_stored_clip_scores_like_the_one_that_was_sent(
    client: httpx.Client, container: str, tmp_path: Path
) -> None:
    answer = client.post("/predict", **as_form(clip(6, container=container))).json()
    stored = next(service_of(client).clips.folder.rglob("*.flac")).read_bytes()
    again = client.post("/predict", **as_form(stored)).json()
    assert again["score"] == pytest.approx(answer["score"], abs=1e-5)
