"""Looks at a real service: figures, drift, one retraining, Evidently's pages in a browser."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest
from sklearn import metrics

from audio_pipeline.errors import SettingsError, WheeltapperError
from monitoring.look import look
from monitoring.project import NAME, MonitoringProject, panels
from monitoring.quality import AnsweredClips
from monitoring.reports import Stamp, quality_report
from monitoring.service import Service
from monitoring.settings import MonitoringSettings
from tests.portal.answers import Answer, answering
from tests.serve.clips import KEY, clip
from tests.serve.test_predict import as_form
from wheeltapper.commands.monitor import start_ui

BEARER = {"Authorization": f"Bearer {KEY}"}
CHROMIUM = shutil.which("chromium")


def send(client: httpx.Client, seed: int, rattle: float = 0.0) -> dict[str, object]:
    return client.post("/predict", **as_form(clip(seed, rattle=rattle), machine="fan/id_00")).json()


def answer(client: httpx.Client, prediction: dict[str, object], said: str) -> None:
    body = {"prediction_id": prediction["prediction_id"], "answer": said}
    assert client.post("/feedback", json=body, headers=BEARER).status_code == 201


@contextmanager
def workspace_away(folder: Path) -> Iterator[None]:
    """Nothing can be written where the reports are kept."""
    kept = folder.rename(folder.with_name("kept"))
    folder.write_text("not a folder")
    try:
        yield
    finally:
        folder.unlink()
        kept.rename(folder)


def wait_for_rows(path: Path, rows: int) -> None:
    for _ in range(600):
        if path.exists() and path.read_bytes().count(b"\n") == rows + 1:
            return
        time.sleep(0.1)
    raise AssertionError(f"{path} never had {rows} rows")


def test_a_clip_that_is_sent_again_is_the_same_recording(client: httpx.Client) -> None:
    for seed in (1, 1, 2, 1):
        send(client, seed)
    with Service(str(client.base_url), KEY) as service:
        sample = service.production(datetime(2020, 1, 1, tzinfo=UTC), 100).sample
    assert len(sample) == 4
    assert len(set(sample.clips)) == 4
    assert len(set(sample.recordings)) == 2
    assert sample.recordings[0] == sample.recordings[1] == sample.recordings[3]


def test_something_else_in_the_services_place_is_a_look_that_failed() -> None:
    with (
        answering(Answer(200, b"<html>Back soon</html>")) as proxy,
        Service(proxy.address, KEY) as service,
        pytest.raises(WheeltapperError, match="is not the service"),
    ):
        service.last_result()


@pytest.mark.timeout(900)  # a browser draws fourteen panels at its end
def test_sixty_answers_later_the_dashboard_shows_quality_and_drift(
    client: httpx.Client, monitoring_settings: MonitoringSettings, tmp_path: Path
) -> None:
    project = MonitoringProject(monitoring_settings.workspace)
    said, told = [], []
    with Service(str(client.base_url), KEY) as service:
        for batch in range(3):
            for n in range(20):
                broken = n % 4 == 0
                prediction = send(client, 1000 + 20 * batch + n, 0.5 * broken)
                person = "anomaly" if broken != (n == 4 and batch == 1) else "normal"
                answer(client, prediction, person)
                said.append(person == "anomaly")
                told.append(prediction["anomaly"])
            wait_for_rows(tmp_path / "data" / "prod_data.csv", len(said))
            found = look(service, project, monitoring_settings).result
            for name, function in {
                "f1": metrics.f1_score,
                "balanced_accuracy": metrics.balanced_accuracy_score,
                "recall": metrics.recall_score,
                "precision": metrics.precision_score,
            }.items():
                assert found["quality"][name] == pytest.approx(function(said, told), abs=1e-9)
        assert found["quality"]["rows"] == 60
        assert found["quality_machines"] == {"fan/id_00": found["quality"]}
        assert all(isinstance(found["evidently"][name], float) for name in ("mmd", "model", "ratio", "score"))
        assert found["drift"]["status"] in ("ok", "drift")
        assert found["drift"]["rows"] == 60
        kept = client.get("/monitoring/results").json()["results"]
        assert len(kept) == 3
        assert kept[0]["quality"]["f1"] == found["quality"]["f1"]
        # Without a new clip nothing is compared again.
        again = look(service, project, monitoring_settings).result
        assert again["drift"] == kept[0]["drift"]
    assert MonitoringProject(monitoring_settings.workspace).project.id == project.project.id
    if CHROMIUM is None:
        warnings.warn("No chromium here: apt install chromium, to see the dashboard tested.", stacklevel=1)
        pytest.skip("no chromium: apt install chromium")
    see_dashboard(monitoring_settings.workspace, str(project.project.id))


def see_dashboard(workspace: Path, project_id: str) -> None:
    from playwright.sync_api import sync_playwright

    with pages_of(workspace) as address, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1400, "height": 1250})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}/projects/{project_id}", timeout=120_000)
        for panel in panels():
            page.get_by_text(panel.title, exact=True).first.wait_for(timeout=120_000)
        page.get_by_text("balanced accuracy").first.wait_for(timeout=120_000)
        page.get_by_text("evidence of drift").first.wait_for(timeout=120_000)
        page.get_by_text("fan/id_00").first.wait_for(timeout=120_000)  # a line of its own
        if os.environ.get("WHEELTAPPER_SCREENSHOT"):
            page.wait_for_timeout(3000)
            page.screenshot(path=os.environ["WHEELTAPPER_SCREENSHOT"])
        browser.close()
    assert asked
    assert all(url.startswith((address, "data:", "blob:")) for url in asked), "something is loaded from outside"


@contextmanager
def pages_of(workspace: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = start_ui(workspace, "127.0.0.1", port)
    address = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(trust_env=False, verify=False) as http:
            for _ in range(1200):
                assert process.poll() is None, "Evidently ended"
                try:
                    if http.get(f"{address}/api/version").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def test_drift_asks_for_one_retraining_and_says_which_clips(
    client: httpx.Client, monitoring_settings: MonitoringSettings
) -> None:
    project = MonitoringProject(monitoring_settings.workspace)
    with Service(str(client.base_url), KEY) as service:
        empty = look(service, project, monitoring_settings).result
        assert (empty["drift"]["status"], empty["quality"], empty["retrain_job"]) == ("too_few", None, None)
        for seed in range(2000, 2025):
            send(client, seed)
        assert look(service, project, monitoring_settings).result["drift"]["status"] == "ok"
        drifted = {send(client, seed, rattle=1.0)["prediction_id"] for seed in range(2100, 2200)}
        with workspace_away(monitoring_settings.workspace), pytest.raises(SettingsError, match="cannot be used"):
            look(service, project, monitoring_settings)
        assert client.get("/retrain").json()["jobs"] == []  # it would have asked again at each look
        found = look(service, project, monitoring_settings).result
        assert found["drift"]["status"] == "drift"
        assert found["retrain_job"] is not None
        assert {c["prediction_id"] for c in found["drifted"]} <= drifted
        for c in found["drifted"][:2]:
            assert client.get(f"/predictions/{c['prediction_id']}/audio").status_code == 200
        send(client, 2300, rattle=1.0)
        assert look(service, project, monitoring_settings).result["retrain_job"] is None
        jobs = client.get("/retrain").json()["jobs"]
        assert [job["reason"] for job in jobs] == ["drift"]
        assert 'wheeltapper_drift_detected{machine="",of="embedding"} 1.0' in client.get("/metrics").text


def test_a_fall_of_the_confirmed_quality_asks_for_one_retraining(
    client: httpx.Client, monitoring_settings: MonitoringSettings, tmp_path: Path
) -> None:
    project = MonitoringProject(monitoring_settings.workspace)
    alarms = [send(client, seed, rattle=1.0) for seed in range(3000, 3062)]
    assert all(prediction["anomaly"] for prediction in alarms)
    with Service(str(client.base_url), KEY) as service:
        for prediction in alarms[:30]:
            answer(client, prediction, "anomaly")
        wait_for_rows(tmp_path / "data" / "prod_data.csv", 30)
        look(service, project, monitoring_settings)  # drift has had its retraining: it is about quality from here on
        for prediction in alarms[30:60]:
            answer(client, prediction, "normal")
        wait_for_rows(tmp_path / "data" / "prod_data.csv", 60)
        before = client.get("/retrain").json()["jobs"]
        for job in before:
            wait_for_job(client, job["job_id"])
        fallen = look(service, project, monitoring_settings).result
        asked = client.get(f"/retrain/{fallen['retrain_job']}").json()
        assert asked["reason"] == "quality"
        assert asked["detail"].startswith("Of the newest 30 answered alarms 0 were confirmed")
        answer(client, alarms[60], "normal")
        wait_for_rows(tmp_path / "data" / "prod_data.csv", 61)
        assert look(service, project, monitoring_settings).result["retrain_job"] is None
        assert [job["reason"] for job in client.get("/retrain").json()["jobs"]].count("quality") == 1


def wait_for_job(client: httpx.Client, job_id: str) -> None:
    for _ in range(1200):
        if client.get(f"/retrain/{job_id}").json()["status"] in ("promoted", "kept_champion", "failed"):
            return
        time.sleep(0.1)
    raise AssertionError("the job never ended")


def test_the_command_looks_again_and_again_until_it_is_stopped(client: httpx.Client, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "WHEELTAPPER_SERVE_URL": str(client.base_url),
        "WHEELTAPPER_API_KEY": KEY,
        "WHEELTAPPER_DATA": str(tmp_path / "data"),
    }
    call = [sys.executable, "-m", "wheeltapper", "monitor", "--every", "1s"]
    with (tmp_path / "monitor.log").open("wb") as log:
        running = subprocess.Popen(call, stdout=log, stderr=log, env=environment, cwd=tmp_path)
    try:
        for _ in range(1800):
            kept = client.get("/monitoring/results").json()["results"]
            if len(kept) >= 2:
                break
            assert running.poll() is None, (tmp_path / "monitor.log").read_text()
            time.sleep(0.1)
        assert len(kept) >= 2
        running.terminate()  # as systemd and Kubernetes do
        running.wait(60)
    finally:
        running.kill()
        running.wait()
    assert "Traceback" not in (tmp_path / "monitor.log").read_text()


def test_a_dashboard_of_an_earlier_version_gets_the_panels_of_this_one(tmp_path: Path) -> None:
    first = MonitoringProject(tmp_path)
    first.project.dashboard.clear_dashboard()
    first.project.dashboard.add_panel(panels()[0], tab="old")
    again = MonitoringProject(tmp_path)
    assert again.project.id == first.project.id
    assert [p.title for p in again.project.dashboard.model().panels] == [p.title for p in panels()]
    ids = [p.id for p in again.project.dashboard.model().panels]
    assert [p.id for p in MonitoringProject(tmp_path).project.dashboard.model().panels] == ids


def test_the_command_looks_once_and_says_what_is_unknown(client: httpx.Client, tmp_path: Path) -> None:
    send(client, 1)
    environment = {
        **os.environ,
        "WHEELTAPPER_SERVE_URL": str(client.base_url),
        "WHEELTAPPER_API_KEY": KEY,
        "WHEELTAPPER_DATA": str(tmp_path / "data"),
    }
    call = [sys.executable, "-m", "wheeltapper", "monitor", "--json"]
    done = subprocess.run(call, capture_output=True, text=True, env=environment, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["drift"]["status"] == "too_few"
    environment["WHEELTAPPER_SERVE_URL"] = "http://127.0.0.1:9"
    done = subprocess.run(call, capture_output=True, text=True, env=environment, check=False, cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr.strip().splitlines()[-1].startswith("wheeltapper: The service at")
    assert "Traceback" not in done.stderr


def test_old_reports_are_deleted(tmp_path: Path) -> None:
    project = MonitoringProject(tmp_path, most_snapshots=4)
    rows = AnsweredClips(np.zeros((2, 2), np.float32), np.array([True, False]), np.array([True, True]))
    for hour in range(7):
        project.add([quality_report(rows, {}, Stamp(datetime(2026, 11, 24, hour, tzinfo=UTC), "m"))])
    kept = sorted(tmp_path.glob("*/snapshots/*.json"))
    assert len(kept) == 4
    assert [json.loads(path.read_text())["timestamp"][11:13] for path in kept] == ["03", "04", "05", "06"]
    assert NAME in next(tmp_path.glob("*/metadata.json")).read_text()
