"""prod_data.csv: what the database says, whatever was torn, edited or lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import numpy as np
import pytest
from sqlalchemy import select, text, update

from audio_pipeline.artifacts import ModelStore
from benchmarks.faults.answers import expected_table
from benchmarks.faults.running import store_predictions
from serve.answers.production import ProductionTable
from serve.database import answers
from serve.database.answers import Given
from serve.database.connection import Database
from serve.database.tables import Prediction, PredictionWindow
from tests.cli.command import wheeltapper
from tests.serve.test_feedback import give, predict
from tests.serve.test_history import service_of
from tests.serve.test_model import metric, wait_for


@dataclass
class Place:
    """A database with predictions that nobody has answered, and the folder of its table."""

    database: Database
    data: Path
    artifacts: Path
    names: list[str]

    def answer(self, name: str, word: Any, override: bool = False) -> None:
        with self.database.write() as session:
            answers.give(session, Given(UUID(name), word), datetime.now(UTC), override=override)

    def table(self) -> ProductionTable:
        """As a process that has just started sees it."""
        return ProductionTable(self.database, self.data, self.artifacts)

    @property
    def expected(self) -> bytes:
        return expected_table(self.database, self.artifacts)

    @property
    def found(self) -> bytes:
        return (self.data / "prod_data.csv").read_bytes()


@pytest.fixture
def place(tmp_path: Path, trained: tuple[Path, tuple[str, str]], database_url: str) -> Iterator[Place]:
    names = store_predictions(database_url, trained[0], 12)
    database = Database(database_url)
    yield Place(database, tmp_path / "data", trained[0], names)
    database.close()


def test_rows_are_appended_in_the_order_of_first_answers(place: Place) -> None:
    table = place.table()
    table.catch_up()
    assert place.found == place.expected
    assert place.found.count(b"\n") == 1
    inodes = set()
    for position, name in enumerate(place.names[::-1]):
        place.answer(name, ("anomaly", "normal", "unsure")[position % 3])
        table.catch_up()
        assert place.found == place.expected
        inodes.add((place.data / "prod_data.csv").stat().st_ino)
    assert place.found.count(b"\n") == 9
    assert len(inodes) == 1, "the table was appended to, not written anew"
    before = (place.data / "prod_data.csv").stat().st_mtime_ns
    table.catch_up()
    assert (place.data / "prod_data.csv").stat().st_mtime_ns == before


def test_an_override_changes_its_row_in_place(place: Place) -> None:
    for name in place.names[:5]:
        place.answer(name, "normal")
    table = place.table()
    table.catch_up()
    place.answer(place.names[1], "anomaly", override=True)
    place.answer(place.names[6], "anomaly")
    table.catch_up()
    assert place.found == place.expected
    assert [line.split(b",")[-2] for line in place.found.splitlines()[1:]] == [
        b"False", b"True", b"False", b"False", b"False", b"True",
    ]  # fmt: skip


SPOILT = {
    "cut": lambda data: data[:-100],
    "half a row more": lambda data: data + b"0.25,0.5",
    "a row twice": lambda data: data + data.splitlines(keepends=True)[1],
    "empty": lambda data: b"",
    "edited": lambda data: data.replace(b"True", b"Fals"),
    "gone": lambda data: None,
}


def test_whatever_a_kill_or_an_editor_left_is_made_good(place: Place, tmp_path: Path) -> None:
    for name in place.names[:3]:
        place.answer(name, "anomaly")
    place.table().catch_up()
    older = (place.data / "prod_data.json").read_bytes()
    for name in place.names[3:6]:
        place.answer(name, "normal")
    place.table().catch_up()
    sound = Path(shutil.copytree(place.data, tmp_path / "sound"))
    place.answer(place.names[7], "anomaly")
    expected = place.expected
    for how, spoil in SPOILT.items():
        for state in ("kept", "gone", "older", "torn"):
            place.data = Path(shutil.copytree(sound, tmp_path / how / state))
            table, record = place.data / "prod_data.csv", place.data / "prod_data.json"
            spoilt = spoil(table.read_bytes())
            table.unlink() if spoilt is None else table.write_bytes(spoilt)
            (place.data / ".prod_data.csv.0123456789ab.tmp").write_bytes(b"emb_1")
            if state == "gone":
                record.unlink()
            elif state == "older":
                record.write_bytes(older)
            elif state == "torn":
                record.write_bytes(record.read_bytes()[:40])
            place.table().catch_up()
            assert place.found == expected, (how, state)
            assert json.loads(record.read_bytes())["rows"] == 7
            assert not list(place.data.glob(".*.tmp"))


def test_two_writers_of_one_folder_take_turns(place: Place) -> None:
    first, second = place.table(), place.table()
    for position, name in enumerate(place.names):
        place.answer(name, "anomaly")
        (first, second)[position % 2].catch_up()
        if position == 7:
            place.answer(place.names[2], "normal", override=True)
            first.catch_up()
    second.catch_up()
    assert place.found == place.expected


def test_the_command_writes_the_table_anew_byte_for_byte(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for position, name in enumerate(place.names):
        place.answer(name, "anomaly" if position % 2 else "normal")
        place.table().catch_up()
    place.answer(place.names[3], "normal", override=True)
    place.table().catch_up()
    before = place.found
    (place.data / "prod_data.csv").unlink()
    monkeypatch.setenv("DATABASE_URL", place.database.engine.url.render_as_string(hide_password=False))
    done = wheeltapper("rebuild", "--data", place.data, "--artifacts", place.artifacts, "--json")
    assert (done.code, done.json["rows"]) == (0, 12), done.err
    assert place.found == before
    nothing = wheeltapper("rebuild", "--data", place.data, "--artifacts", place.data / "none")
    assert nothing.code != 0
    assert "once a model serves" in nothing.err
    assert place.found == before


def test_rows_of_another_encoder_are_left_out(place: Place) -> None:
    for name in place.names[:4]:
        place.answer(name, "anomaly")
    with place.database.write() as session:
        session.execute(
            update(Prediction).where(Prediction.id == UUID(place.names[1])).values(encoder_sha256="ab" * 32)
        )
    place.table().catch_up()
    assert place.found.count(b"\n") == 4
    place.answer(place.names[5], "normal")
    table = place.table()
    table.catch_up()
    assert place.found.count(b"\n") == 5


def test_another_encoder_in_service_has_a_table_of_its_own(place: Place, tmp_path: Path) -> None:
    for name in place.names[:4]:
        place.answer(name, "anomaly")
    artifacts = Path(shutil.copytree(place.artifacts, tmp_path / "artifacts"))
    table = ProductionTable(place.database, place.data, artifacts)
    table.catch_up()
    # An encoder with other columns takes over: a manifest is all that the table needs of it.
    from audio_pipeline.encoder import DEFAULT_ENCODER, read_manifest

    manifest = read_manifest(DEFAULT_ENCODER).model_dump(mode="json")
    other = {**manifest, "name": "other", "sha256": "cd" * 32, "dimensions": 4}
    other["groups"] = {"all": {"start": 0, "stop": 4, "source": "logmel", "pooling": "mean"}}
    (artifacts / "encoders" / "other").mkdir(parents=True)
    (artifacts / "encoders" / "other" / "encoder.json").write_text(json.dumps(other))
    current = json.loads((artifacts / "current.json").read_text())
    (artifacts / "current.json").write_text(json.dumps({**current, "encoder_sha256": "cd" * 32}))
    table.catch_up()
    assert place.found == b"emb_1,emb_2,emb_3,emb_4,target,prediction\n"
    (artifacts / "current.json").write_text(json.dumps(current))
    table.catch_up()
    assert place.found == place.expected


def test_a_table_that_cannot_be_written_is_told_and_caught_up_with(client: httpx.Client) -> None:
    table = service_of(client).production.table.path
    wait_for(table.exists, 15)
    kept = table.rename(table.with_name("kept"))
    table.mkdir()  # a folder where the table should be: nothing can be written there
    (table / "in the way").touch()
    told = predict(client, 1)
    assert give(client, told, "anomaly").status_code == 201
    wait_for(lambda: "prod_data.csv" in str(client.get("/health/ready").json()["warning"]), 15)
    assert client.get("/health/ready").status_code == 200
    assert metric(client, "wheeltapper_prod_data_broken ") == 1
    wait_for(lambda: metric(client, "wheeltapper_prod_data_behind ") == 1, 15)
    shutil.rmtree(table)
    kept.rename(table)
    wait_for(lambda: client.get("/health/ready").json()["warning"] is None, 15)
    assert table.read_text().count("\n") == 2


def test_a_spoilt_row_is_told_and_the_writer_lives_on(client: httpx.Client) -> None:
    told, database = predict(client, 1), service_of(client).database

    def put(vector: bytes) -> bytes:
        with database.write() as session:
            before = session.scalars(select(PredictionWindow.vector)).one()
            session.execute(update(PredictionWindow).values(vector=vector))
        return before

    vector = put(b"no vector")
    assert give(client, told, "normal").status_code == 201
    wait_for(lambda: "prod_data.csv" in str(client.get("/health/ready").json()["warning"]), 15)
    put(vector)
    wait_for(lambda: client.get("/health/ready").json()["warning"] is None, 15)
    assert service_of(client).production.table.path.read_text().count("\n") == 2


def test_a_database_with_predictions_is_brought_up_to_date(database_url: str) -> None:
    """What was stored before there were questions is still there after the step, with all that refers to it."""
    from alembic import command
    from alembic.config import Config

    database = Database(database_url)
    config = Config()
    config.set_main_option("script_location", "serve.database:migrations")
    with database.engine.execution_options(will_write=True).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    with database.write() as session:
        now = datetime.now(UTC)
        moment = {"now": now, "id": UUID(int=1).hex if database_url.startswith("sqlite") else str(UUID(int=1))}
        session.execute(text("INSERT INTO clips VALUES ('a', 'a.flac', 1, 16000, 1, :now)"), moment)
        session.execute(
            text(
                "INSERT INTO predictions VALUES (:id, :now, 'a', 'a.wav', 'fan/id_00', true, 1, 1, 1, 1, 1, 'm', 'e', "
                "'e', false, 0, 0, '{\"ok\": true}')"
            ),
            moment,
        )
        session.execute(
            text("INSERT INTO windows VALUES (:id, 0, 0, 1, 1, 1, :vector)"),
            {**moment, "vector": np.zeros(4, "<f4").tobytes()},
        )
    database.migrate()
    with database.engine.execution_options(will_write=True).begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0004")  # a step back, and forth again
    database.migrate()
    with database.read() as session:
        kept = session.get_one(Prediction, UUID(int=1))
        assert (kept.filename, len(kept.windows), kept.episode_id) == ("a.wav", 1, None)
        assert kept.created - now < timedelta(seconds=1)
    with database.write() as session:
        answers.give(session, Given(UUID(int=1), "anomaly"), datetime.now(UTC))
    database.close()


def test_without_a_model_there_is_no_table_and_no_problem(place: Place, tmp_path: Path) -> None:
    from audio_pipeline.errors import WheeltapperError

    table = ProductionTable(place.database, place.data, tmp_path / "none")
    assert ModelStore(tmp_path / "none").current() is None
    with pytest.raises(WheeltapperError, match="once a model serves"):
        table.catch_up()
    assert not (place.data / "prod_data.csv").exists()
