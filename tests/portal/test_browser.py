"""The portal in a real browser, with a real service: what an operator and an engineer do with it.

In the order of a first day; the first tests see an empty history.
"""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.portal.answers import Answers, answering
from tests.portal.browsing import Visit
from tests.portal.conftest import CLIPS, TOKEN, RealService, portal_at
from tests.serve.clips import KEY, clip, encode, hum

PAGES = ("/", "/history", "/overview", "/models")
PHONE = {"width": 390, "height": 844}


def until(true: Callable[[], Any], within_s: float = 30.0) -> Any:
    deadline = time.monotonic() + within_s
    while True:
        value = true()
        if value:
            return value
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def judged(service: RealService, filename: str) -> dict[str, Any]:
    """The newest prediction of that name."""
    lines = service.http.get("/predictions", params={"limit": 100}).json()["predictions"]
    line: dict[str, Any] = next(line for line in lines if line["filename"] == filename)
    return line


@pytest.fixture(scope="module")
def broken_fan(service: RealService) -> str:
    """The prediction of a demo clip of a broken fan; asked for late, so that the first tests see an empty history."""
    data = (CLIPS / "fan/id_00/abnormal/fan_abnormal_01.flac").read_bytes()
    sent = service.http.post("/predict", files={"file": ("fan.flac", data)}, data={"machine": "fan/id_00"})
    return str(sent.json()["prediction_id"])


def test_a_first_visitor_is_told_what_to_do(visit: Visit) -> None:
    visit.open("/history")
    visit.sees("Nothing has been judged yet. Open Inspect")
    visit.open("/overview")
    visit.sees("Open Inspect to send the first one")
    visit.sees("unknown")
    visit.open("/")
    visit.sees("Give it a recording of a machine")
    visit.shot("first-run")


def test_from_a_clip_to_the_operators_answer_on_one_page(visit: Visit, service: RealService, n8n: Answers) -> None:
    visit.open("/")
    visit.page.get_by_text("Demo clips").click()
    visit.settle()
    visit.choose("Demo clip", "fan_abnormal_00")
    visit.waits_for_picture("preview")
    visit.press("Predict")
    assert visit.verdict().startswith("ANOMALY\nThis does not sound like the healthy clips of fan/id_00.")
    line = judged(service, "fan_abnormal_00.flac")
    visit.waits_for_picture(f"clip-{line['prediction_id']}")
    visit.sees("No flaw of microphone or cable found.")
    visit.sees("Of 100 healthy clips about 3 would sound at least this odd")
    visit.sees("It sounds odd throughout")
    visit.sees("Nearest known clips")
    visit.page.wait_for_function("document.querySelectorAll('audio').length >= 4")
    visit.shot("inspect")

    visit.press("Notify the operator")
    visit.page.locator('[data-testid="question-life"]').wait_for()
    call = until(lambda: next((r for r in n8n.received if line["prediction_id"].encode() in r.body), None))
    assert call.path == "/webhook/anomaly-alert"
    assert call.headers["x-wheeltapper-token"] == TOKEN
    question_id = call.json["question_id"]

    # What n8n does, and the page follows without a click.
    told = service.http.post(f"/questions/{question_id}/events", json={"event": "sent", "written_by": "template"})
    assert told.is_success, told.text
    visit.sees("Waiting for the answer.")
    answer = {"prediction_id": line["prediction_id"], "answer": "anomaly", "operator": "Ada", "source": "email"}
    assert service.http.post("/feedback", json={**answer, "comment": "worn bearing"}).status_code == 201
    visit.sees("Ada said: real fault")
    visit.sees("worn bearing")
    visit.sees("It trains the next model.")
    visit.shot("answered")


def test_twenty_clips_with_a_broken_one_among_them(visit: Visit, service: RealService) -> None:
    files = [(f"batch-{i:02d}.wav", clip(i, seconds=1.0)) for i in range(19)]
    files.insert(7, ("torn.wav", clip(99)[:4000]))
    visit.open("/")
    visit.give(files)
    visit.press("Predict 20 clips")
    visit.sees("1 could not be judged.")
    visit.sees("torn.wav")
    visit.sees("Choose a line to open it")
    assert visit.verdict()
    names = {line["filename"] for line in service.http.get("/predictions", params={"limit": 100}).json()["predictions"]}
    assert {name for name, _ in files} - names == {"torn.wav"}
    visit.pick_row(1)
    assert visit.verdict()
    visit.shot("batch")


def test_a_click_elsewhere_loses_no_verdict_and_sends_no_clip_twice(visit: Visit, service: RealService) -> None:
    names = [f"interrupted-{i:02d}.wav" for i in range(12)]
    visit.open("/")
    visit.give([(name, clip(200 + i, seconds=60.0)) for i, name in enumerate(names)])
    visit.page.get_by_role("button", name="Predict 12 clips").click()
    visit.sees("Judged")
    visit.page.get_by_text("Français").click()
    visit.sees("Verdicts de cette visite")
    visit.settle()
    visit.lists(12)
    assert visit.page.get_by_role("button", name="Prédire").count() == 0  # nothing is left to be sent again
    lines = service.http.get("/predictions", params={"q": "interrupted-"}).json()["predictions"]
    assert sorted(line["filename"] for line in lines) == names


def test_a_broken_file_is_refused_with_a_sentence_before_it_is_sent(visit: Visit) -> None:
    visit.open("/")
    visit.give([("notes.wav", b"these are not the sounds of a machine" * 20)])
    visit.sees("notes.wav is text, no audio.")
    visit.shot("broken-file")
    visit.open("/")
    visit.give([("from-a-phone.m4a", b"\0\0\0\x20ftypM4A " + bytes(400))])
    visit.sees("Convert it first")


def test_a_flaw_of_the_microphone_is_told_before_the_verdict(visit: Visit) -> None:
    visit.open("/")
    visit.give([("overdriven.wav", encode(np.clip(20 * hum(5, seconds=2.0), -1, 1)))])
    visit.press("Predict")
    assert visit.verdict()
    flaw = visit.page.get_by_text("are cut off at the top").first.bounding_box()
    verdict = visit.page.locator('[data-testid="verdict"]').bounding_box()
    assert flaw["y"] < verdict["y"]


def test_history_finds_opens_and_takes_a_missed_fault(visit: Visit, service: RealService) -> None:
    missed = (CLIPS / "fan/id_00/normal/fan_normal_03.flac").read_bytes()
    form = {"file": ("missed one.flac", missed)}
    sent = service.http.post("/predict", files=form, data={"machine": "fan/id_00"})
    assert not sent.json()["anomaly"]
    visit.open("/history")
    visit.shot("history")
    visit.page.get_by_role("textbox", name="Search").fill("missed one")
    visit.page.keyboard.press("Enter")
    visit.settle()
    visit.pick_row(0)
    visit.waits_for_picture(f"clip-{sent.json()['prediction_id']}")
    visit.press("I know this one was faulty")
    visit.sees("said: real fault")
    assert service.http.get(f"/predictions/{sent.json()['prediction_id']}").json()["answer"] == "anomaly"
    with visit.page.expect_download() as download:
        visit.page.get_by_role("button", name="Download as CSV").first.click()
    lines = download.value.path().read_text(encoding="utf-8-sig").splitlines()
    assert lines[0].startswith("prediction_id,created,machine,filename,anomaly")
    assert len(lines) == 2
    assert "missed one.flac" in lines[1]


def test_the_suspicious_second_is_marked_in_the_picture(visit: Visit) -> None:
    samples, rate = soundfile.read(CLIPS / "pump/id_00/normal/pump_normal_06.flac", dtype="float32")
    burst = np.random.default_rng(0).normal(0, 20 * samples.std(), rate).astype(np.float32)
    samples[4 * rate : 5 * rate] += burst
    visit.open("/")
    visit.give([("burst.wav", encode(samples / np.abs(samples).max()))])
    visit.choose("Machine", "pump/id_00")
    visit.press("Predict")
    visit.sees("suspicious seconds")
    start, end = map(float, visit.page.locator("canvas[data-marked]").first.get_attribute("data-marked").split("-"))
    assert start == pytest.approx(4.0, abs=0.5)
    assert end == pytest.approx(5.0, abs=0.5)
    visit.page.get_by_role("button", name="Oddest moment").click()
    visit.page.wait_for_function(
        "[...document.querySelectorAll('audio')].some((audio) => audio.currentTime > 3 && audio.currentTime < 8)"
    )
    visit.shot("suspicious")


def test_the_picture_zooms_and_moves_the_player(visit: Visit, broken_fan: str) -> None:
    visit.open(f"/?prediction={broken_fan}")
    visit.waits_for_picture(f"clip-{broken_fan}")
    canvas = visit.page.locator("canvas[data-drawn]").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    audio = f".st-key-clip-{broken_fan} audio"
    visit.page.wait_for_function(f"document.querySelector('{audio}')?.readyState >= 1")
    visit.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
    visit.page.wait_for_function(f"Math.abs(document.querySelector('{audio}').currentTime - 5) < 0.2")
    visit.page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 150)
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 150, steps=4)
    visit.page.mouse.up()
    assert float(canvas.get_attribute("data-from")) == pytest.approx(2.0, abs=0.1)
    assert float(canvas.get_attribute("data-to")) == pytest.approx(4.0, abs=0.1)
    visit.shot("zoomed", full=False)
    canvas.dblclick(position={"x": 40, "y": 40})
    assert canvas.get_attribute("data-to") == "10.00"


def test_a_service_that_dies_and_comes_back(visit: Visit, service: RealService) -> None:
    visit.open("/history")
    service.kill()
    visit.open("/history")
    visit.sees("The service does not answer.")
    visit.sees("make run")
    visit.shot("service-away", full=False)
    visit.open("/")
    visit.give([("while-away.wav", clip(3))])
    visit.press("Predict")
    visit.sees("The service does not answer.")
    service.start()
    visit.open("/history")
    visit.page.locator(".clip").first.wait_for()


def test_another_false_alarm_rate_is_tried_set_and_rolled_back(visit: Visit, service: RealService) -> None:
    before = service.http.get("/models").json()["current"]
    visit.open("/models")
    visit.page.get_by_text("False-alarm rate", exact=True).first.click()
    visit.settle()
    visit.sees("Out of reach with so few healthy recordings: 3.2% would be used.")
    visit.page.get_by_role("slider").focus()
    for rate in ("2.0%", "5.0%"):
        visit.page.keyboard.press("ArrowRight")
        visit.page.get_by_role("button", name=f"Set {rate}").wait_for()
        visit.settle()
    visit.sees("Alarms with this rate")
    visit.shot("threshold")
    visit.press("Set 5.0%")
    visit.sees("in force: 5.0%")
    assert service.http.get("/threshold").json()["false_alarm_rate"]["asked"] == 0.05
    visit.page.get_by_text("Versions", exact=True).first.click()
    visit.settle()
    visit.press("Roll back")
    visit.press("Yes, roll back")
    visit.sees(f"{before} serves, made")
    assert service.http.get("/models").json()["current"] == before
    visit.shot("models")


def test_another_version_is_promoted_with_a_reason(visit: Visit, service: RealService) -> None:
    known = service.http.get("/models").json()
    versions = [model["version"] for model in known["models"]]
    other = next(version for version in versions if version != known["current"])
    visit.open("/models")
    visit.pick_table_row(versions.index(other))
    visit.page.get_by_role("textbox", name="Why").fill("heard on the line")
    visit.page.keyboard.press("Enter")
    visit.settle()
    visit.press(f"Promote {other}")
    visit.sees(f"{other} serves, made")
    now = service.http.get("/models").json()
    assert now["current"] == other
    history = next(model["history"] for model in now["models"] if model["version"] == other)
    assert any(entry["action"] == "promoted" and entry["reason"] == "heard on the line" for entry in history)


def test_a_retraining_is_started_and_watched(visit: Visit) -> None:
    visit.open("/models")
    visit.page.get_by_text("Retraining", exact=True).first.click()
    visit.settle()
    visit.press("Start a retraining")
    visit.sees("started in the portal")
    ended = visit.page.get_by_text("The new model was not better").or_(visit.page.get_by_text("was better and serves"))
    ended.first.wait_for()
    visit.shot("retraining")


def test_overview_and_reference_show_what_there_is(visit: Visit) -> None:
    visit.open("/overview")
    visit.sees("Scores by model version")
    visit.page.wait_for_function(
        'document.querySelectorAll(\'[data-testid="stVegaLiteChart"] canvas, '
        '[data-testid="stVegaLiteChart"] svg\').length >= 3'
    )
    visit.shot("overview")
    visit.open("/models")
    visit.page.get_by_text("Reference", exact=True).first.click()
    visit.settle()
    visit.sees("34 clips of 4 machines, 34 windows.")
    visit.shot("reference")


def test_a_zip_of_recordings_becomes_reference(visit: Visit, service: RealService) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for seed in range(8):
            archive.writestr(f"hall/fan/id_9/normal/take_{seed}.wav", clip(seed, seconds=4.0))
    visit.open("/models")
    visit.page.get_by_text("Reference", exact=True).first.click()
    visit.settle()
    visit.page.set_input_files(
        '[data-testid="stFileUploader"] input[type="file"]',
        [{"name": "hall.zip", "mimeType": "application/zip", "buffer": packed.getvalue()}],
    )
    visit.settle()
    visit.press("Add hall.zip")
    visit.sees("new reference")

    def ended() -> dict[str, Any] | None:
        jobs = [job for job in jobs_of(service) if job["reason"] == "reference"]
        return next((job for job in jobs if job["status"] in ("promoted", "kept_champion", "failed")), None)

    job = until(ended, 240)
    assert job["status"] != "failed", job
    names = [line["machine"] for line in service.http.get("/reference").json()["machines"]]
    assert "fan/id_9" in names
    visit.sees("of 5 machines")  # without a click
    visit.shot("reference-added")


def jobs_of(service: RealService) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = service.http.get("/retrain").json()["jobs"]
    return jobs


def test_what_the_microphone_hears_is_judged(visit: Visit, service: RealService) -> None:
    visit.open("/")
    # A browser that asks for leave takes a while to hand out the microphone.
    visit.page.evaluate("""() => {
        const devices = navigator.mediaDevices, get = devices.getUserMedia.bind(devices);
        window.asked = 0;
        devices.getUserMedia = async (wanted) => {
            window.asked += 1;
            window.heard = await get(wanted);
            await new Promise((go) => setTimeout(go, 1000));
            return window.heard;
        };
    }""")
    visit.page.get_by_text("Microphone", exact=True).click()
    visit.settle()
    visit.page.locator(".recorder .record").click()
    visit.page.get_by_text("Files", exact=True).click()
    visit.settle()
    # Who has left is not recorded.
    visit.page.wait_for_function("window.heard?.getTracks().every((track) => track.readyState === 'ended')")
    visit.page.get_by_text("Microphone", exact=True).click()
    visit.settle()
    visit.sees("Noise suppression and automatic gain")
    visit.page.locator(".recorder .record").dblclick()
    visit.page.locator(".recorder .time", has_text="3.").wait_for()  # of sound
    visit.page.locator(".recorder .record").click()
    visit.waits_for_picture("preview")
    visit.press("Predict")
    assert visit.verdict()
    assert visit.page.evaluate("window.asked") == 2
    visit.sees("recording.wav")
    assert judged(service, "recording.wav")["duration_s"] == pytest.approx(3.5, abs=1.5)
    visit.shot("microphone")


def test_a_clip_plays_from_its_picture_in_the_list(visit: Visit, broken_fan: str) -> None:
    visit.open("/history")
    line = visit.page.locator(f'.clip[data-id="{broken_fan}"]')
    assert line.locator("img").get_attribute("src").startswith("data:image/png")
    line.locator(".play").click()
    visit.page.wait_for_function(f"document.querySelector('.st-key-opened-{broken_fan} audio')?.currentTime > 0.1")
    assert line.get_attribute("aria-selected") == "true"
    visit.shot("history-open")


def test_an_alarm_is_called_false_with_one_click(visit: Visit, service: RealService) -> None:
    samples = np.random.default_rng(3).normal(0, 0.1, 16_000).astype(np.float32)
    sent = service.http.post("/predict", files={"file": ("hiss.wav", encode(samples))}, data={"machine": "fan/id_00"})
    assert sent.json()["anomaly"]
    visit.open("/history")
    visit.page.locator(f'.clip[data-id="{sent.json()["prediction_id"]}"]').click()
    visit.settle()
    visit.press("False alarm")
    visit.sees("said: false alarm")
    assert service.http.get(f"/predictions/{sent.json()['prediction_id']}").json()["answer"] == "normal"


def test_what_drifted_is_heard_beside_the_nearest_of_the_reference(
    visit: Visit, service: RealService, broken_fan: str
) -> None:
    explained = service.http.get(f"/predictions/{broken_fan}/explanation").json()
    nearest = next(clip["id"] for clip in explained["nearest"] if clip["kind"] == "reference")
    drift = {
        "status": "drift", "method": "m", "score": 5.0, "p_value": 1e-5, "threshold": 4.2, "effect": 0.9,
        "cause": "sensor", "message": "fan/id_00: sounds unlike the reference in 90 of 100 comparisons.",
    }  # fmt: skip
    result = {
        "created": datetime.now(UTC).isoformat(), "model_version": "m", "since": None, "until": None, "rows": 60,
        "quality": None, "drift": drift, "machines": {"fan/id_00": drift},
        "drifted": [{"prediction_id": broken_fan, "nearest_clip_id": nearest}],
    }  # fmt: skip
    assert service.http.post("/monitoring/results", json=result).status_code == 201
    visit.open("/overview")
    visit.sees("The microphone changed")
    visit.page.get_by_text("Listen: unlike the reference").click()
    visit.sees("Nearest of the reference")
    visit.page.wait_for_function(
        "[...document.querySelectorAll('audio')].filter((audio) => audio.readyState > 0).length >= 2"
    )
    visit.shot("drift")


def test_n8n_away_is_said_and_the_question_goes_out_later(visit: Visit, service: RealService, n8n: Answers) -> None:
    data = (CLIPS / "pump/id_00/abnormal/pump_abnormal_00.flac").read_bytes()
    sent = service.http.post("/predict", files={"file": ("pump.flac", data)}, data={"machine": "pump/id_00"})
    n8n.stop()
    visit.open(f"/?prediction={sent.json()['prediction_id']}")
    visit.press("Notify the operator")
    visit.sees("n8n does not take the question")
    visit.sees("It stays queued and goes out by itself")
    visit.shot("n8n-away")
    with answering(port=n8n.port) as back:
        until(lambda: any(sent.json()["prediction_id"].encode() in r.body for r in back.received), 120)


def test_an_exposed_portal_wants_the_key_for_models_and_none_for_answers(
    chromium: object, service: RealService, tmp_path: Path, broken_fan: str
) -> None:
    with portal_at(tmp_path, service, WHEELTAPPER_PORTAL_HOST="0.0.0.0") as address:
        visit = Visit(chromium, address)
        visit.open("/models")
        visit.sees("To change models or data, type the key.")
        assert visit.page.get_by_role("button", name="Roll back").first.is_disabled()
        visit.shot("key-needed")

        def retrain_with(key: str) -> None:
            visit.page.get_by_role("textbox", name="Key").fill(key)
            visit.page.keyboard.press("Enter")
            visit.settle()
            visit.page.get_by_text("Retraining", exact=True).first.click()
            visit.settle()
            visit.press("Start a retraining")

        before = len(jobs_of(service))
        retrain_with("not the key")
        visit.sees("The service wants its key for this")
        assert len(jobs_of(service)) == before
        retrain_with(KEY)
        until(lambda: len(jobs_of(service)) == before + 1)
        for page in ("History", "Models and data"):
            visit.page.get_by_role("link", name=page).click()
            visit.settle()
        assert visit.page.get_by_role("textbox", name="Key").input_value() == KEY
        # Who answers needs none.
        visit.open(f"/?prediction={broken_fan}")
        visit.page.get_by_text("I know the answer").click()
        visit.page.get_by_role("textbox", name="Your name").fill("Ada")
        visit.page.keyboard.press("Enter")  # sends the form
        visit.sees("nothing is stored yet")
        assert service.http.get(f"/predictions/{broken_fan}").json()["answer"] is None
        visit.page.get_by_text("real fault", exact=True).click()
        visit.press("Store the answer")
        visit.sees("said: real fault")
        visit.close()


@pytest.mark.parametrize("visit", [PHONE], indirect=True)
@pytest.mark.parametrize("language", ["en", "fr"])
def test_on_a_phone_nothing_is_wider_than_the_screen(visit: Visit, broken_fan: str, language: str) -> None:
    for path in (*PAGES, f"/?prediction={broken_fan}"):
        visit.open(f"{path}{'&' if '?' in path else '?'}language={language}")
        assert visit.overflow() <= 0, path
        visit.shot(f"phone-{language}{path.partition('?')[0].replace('/', '-')}")
    visit.waits_for_picture(f"clip-{broken_fan}")
    visit.shot(f"phone-{language}")


@pytest.mark.parametrize("visit", [{"dark": True}], indirect=True)
def test_who_likes_it_dark_gets_it_dark(visit: Visit, broken_fan: str) -> None:
    for path in PAGES[1:]:
        visit.open(path)
        visit.shot(f"dark{path.replace('/', '-')}")
    visit.open(f"/?prediction={broken_fan}")
    visit.waits_for_picture(f"clip-{broken_fan}")
    colour = visit.page.evaluate(
        "getComputedStyle(document.querySelector('[data-testid=\"stApp\"]')).backgroundColor.match(/\\d+/g).map(Number)"
    )
    assert max(colour[:3]) < 60
    visit.shot("dark")


def test_french_all_the_way(visit: Visit) -> None:
    visit.open("/")
    visit.page.get_by_text("Français").click()
    visit.settle()
    visit.sees("Donnez-lui l'enregistrement d'une machine")
    visit.page.get_by_role("link", name="Historique").click()
    visit.settle()
    visit.sees("Chercher")
    visit.page.get_by_role("link", name="Écouter").click()
    visit.settle()
    visit.page.get_by_text("Extraits de démonstration").click()
    visit.settle()
    visit.choose("Extrait de démonstration", "pump_normal_06")
    visit.press("Prédire")
    assert "Cela ressemble aux extraits sains de pump/id_00." in visit.verdict()
    visit.sees("Sur 100 extraits sains")
    visit.shot("french")
