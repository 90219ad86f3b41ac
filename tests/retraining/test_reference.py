"""The reference over HTTP: what is known, hearing it, adding recordings as a zip."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from audio_pipeline.clip import decode
from audio_pipeline.reference import read_reference
from serve.database import references
from serve.database.retrain_tables import Job
from serve.settings import Settings
from tests.retraining.site import FAN, HEADERS, PUMP, finished, predict, sound
from tests.serve.server import serving
from tests.serve.test_history import service_of
from tests.serve.test_predict import assert_problem


def archive(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return out.getvalue()


def send(client: httpx.Client, content: bytes, name: str = "hall.zip") -> httpx.Response:
    return client.post("/reference", files={"file": (name, content)}, headers=HEADERS)


def test_the_reference_is_told_and_heard(client: httpx.Client, settings: Callable[..., Settings]) -> None:
    told = client.get("/reference").json()
    assert (told["rows"], told["clips"], told["encoder"]) == (30, 30, "default")
    (machine,) = told["machines"]
    assert {"machine": FAN, "clips": 30, "windows": 30, "normal": 30, "anomaly": 0}.items() <= machine.items()
    reference = read_reference(settings().data_dir)
    assert machine["held_out"] == int(reference.held_out.sum())
    heard = client.get(f"/reference/{reference.clips[0]}/audio")
    assert heard.headers["content-type"] == "audio/wav"
    assert decode(heard.content).duration_s == pytest.approx(1.0)
    for nobody in ("ab" * 32, "..%2F..%2Fetc%2Fpasswd", "x"):
        assert client.get(f"/reference/{nobody}/audio").status_code == 404


def test_new_recordings_become_reference_and_a_challenger_that_knows_them(
    client_of_each: httpx.Client, settings: Callable[..., Settings], versions: tuple[str, str]
) -> None:
    client, before = client_of_each, read_reference(settings().data_dir)
    files = {f"pump/id_07/normal/{seed:08d}.wav": sound(seed, machine=PUMP) for seed in range(12)}
    files |= {f"pump/id_07/abnormal/{seed:08d}.wav": sound(seed, 0.3, PUMP) for seed in range(3)}
    files["pump/id_07/normal/broken.wav"] = b"RIFF"
    answer = send(client, archive(files))
    assert (answer.status_code, answer.json()["reason"]) == (202, "reference")
    job = finished(client, answer.json()["job_id"])
    assert job["status"] == "kept_champion", job["message"]
    assert "15 recordings added, 1 left out" in job["detail"]
    machines = {machine["machine"]: machine for machine in client.get("/reference").json()["machines"]}
    assert (machines[PUMP]["normal"], machines[PUMP]["anomaly"], machines[FAN]["normal"]) == (12, 3, 30)
    # A person may promote it; then the machine is known.
    assert client.post(f"/models/{job['challenger']}/promote", headers=HEADERS).status_code == 200
    after = read_reference(settings().data_dir)
    clip = str(after.clips[after.machines == PUMP][0])
    assert decode(client.get(f"/reference/{clip}/audio").content).duration_s == pytest.approx(1.0)
    # Both versions of the reference are in the database, vectors and all.
    with service_of(client).database.read() as session:
        stored = references.load(session, after.sha256)
        assert stored is not None
        assert (stored.vectors == after.vectors).all()
        assert (stored.held_out == after.held_out).all()
    compared = client.get("/models/compare", params={"a": versions[0], "b": job["challenger"]}).json()
    assert compared["machines_added"] == [PUMP]
    assert before.sha256 != after.sha256
    # The same again adds nothing.
    again = finished(client, send(client, archive(files)).json()["job_id"])
    assert again["status"] == "failed"
    assert "in the reference already" in again["message"]


@pytest.mark.parametrize(
    ("content", "status"), [(b"", 415), (b"no zip at all", 415), (archive({})[:0] + b"PK\x05\x06" + b"\0" * 18, 415)]
)
def test_what_is_no_zip_is_refused_at_once(client: httpx.Client, content: bytes, status: int) -> None:
    assert send(client, content).status_code == status
    assert client.get("/retrain").json()["jobs"] == []


def test_a_form_without_a_file_is_refused(client: httpx.Client) -> None:
    answer = client.post("/reference", files={"other": ("x", b"y")}, headers=HEADERS)
    assert_problem(answer, 422, "missing_file")
    assert_problem(client.post("/reference", content=b"x", headers=HEADERS), 400, "invalid_form")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"../../outside.wav": b"x"}, "a place outside"),
        ({"readme.txt": b"x"}, "no audio files"),
        ({"pump/normal/a.wav": b"\0" * 3_000_000}, "unpacks to more than"),
        ({"pump/normal/a.wav": b"RIFF"}, "could be used"),
    ],
)
def test_an_archive_that_cannot_be_used_fails_with_the_reason_and_changes_nothing(
    settings: Callable[..., Settings], files: Mapping[str, bytes], words: str
) -> None:
    with serving(settings(max_reference_bytes=2 * 2**20)) as client:
        before = client.get("/reference").json()
        job = finished(client, send(client, archive(files)).json()["job_id"])
        assert (job["status"], words in job["message"]) == ("failed", True), job["message"]
        assert client.get("/reference").json() == before
        assert not any((settings().data_dir / "uploads").iterdir())
        assert predict(client, 1)["model_version"] == client.get("/models").json()["current"]


def test_a_damaged_archive_is_told_in_words(client: httpx.Client) -> None:
    content = bytearray(archive({"pump/normal/a.wav": sound(1)}))
    content[30 + len("pump/normal/a.wav")] = 0xFF  # the first byte that is packed: of no kind of block that there is
    job = finished(client, send(client, bytes(content)).json()["job_id"])
    assert (job["status"], "pack it anew" in job["message"]) == ("failed", True), job["message"]


def test_an_archive_that_no_job_is_made_of_is_not_left_behind(
    client: httpx.Client, settings: Callable[..., Settings]
) -> None:
    def rename(old: str, new: str) -> None:
        with service_of(client).database.write() as session:
            session.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))

    content = archive({"pump/normal/a.wav": sound(1)})
    rename("jobs", "jobs_are_away")
    assert_problem(send(client, content), 503, "database_unavailable")
    assert not any((settings().data_dir / "uploads").iterdir())
    rename("jobs_are_away", "jobs")
    assert finished(client, send(client, content).json()["job_id"])["status"] != "failed"


def test_the_name_of_an_archive_names_no_other_folder(client: httpx.Client) -> None:
    sent = send(client, archive({"pump/normal/a.wav": sound(1)}), "...zip").json()
    with service_of(client).database.read() as session:
        assert session.get_one(Job, UUID(sent["job_id"])).upload.endswith("/upload.zip")
    assert finished(client, sent["job_id"])["status"] != "failed"


def test_an_archive_that_is_too_large_is_refused(settings: Callable[..., Settings]) -> None:
    with serving(settings(max_reference_bytes=1000)) as client:
        assert_problem(send(client, b"PK\x03\x04" + b"x" * 200_000), 413, "too_large")
