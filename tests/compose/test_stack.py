"""The stack starts, lives through the loop, recovers from each container's death (`make test-compose`)."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest

from automation.form import filled_in, text_of
from tests.compose.stack import ONLY_FROM_A_REGISTRY, ROOT, Stack, docker, prepare

BROKEN = ROOT / "data" / "demo" / "clips" / "fan" / "id_00" / "abnormal" / "fan_abnormal_00.flac"
TARGETS = ("serve", "portal", "monitoring", "automation")
# In the order in which they need each other.
LONG_LIVED = ("postgres", "serve", "portal", "mail", "n8n", "monitor", "evidently", "prometheus")
NEEDS = [("postgres", "serve"), ("serve", "portal"), ("serve", "monitor"), ("serve", "n8n"), ("mail", "n8n")]
OURS = tuple(name for name in LONG_LIVED if name not in ("postgres", "prometheus"))
LIMIT_MB = 700


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    begun = time.monotonic()
    made = prepare(tmp_path_factory.mktemp("stack"))
    _tell("engine and base images", begun)
    print(f"stood in for: {made.environment['STANDING_IN'] or 'nothing'}")
    print(f"checked and NOT started, their images are only in a registry: {', '.join(ONLY_FROM_A_REGISTRY)}")
    try:
        for target, service in zip(TARGETS, ("serve", "portal", "monitor", "n8n"), strict=True):
            begun = time.monotonic()
            made.run("build", "--quiet", service, within_s=3600)
            _tell(f"image {target} built", begun)
        begun = time.monotonic()
        made.run("up", "--detach", "--no-build", *LONG_LIVED, within_s=900)
        made.wait(*LONG_LIVED, within_s=900)
        _tell("everything healthy", begun)
        yield made
    finally:
        begun = time.monotonic()
        made.take_down()
        _tell("taken down", begun)


def _tell(what: str, begun: float) -> None:
    print(f"\n{what}: {time.monotonic() - begun:.0f} s", end="", flush=True)


def _until(found: Callable[[], Any], what: str, within_s: float = 180) -> Any:
    begun = time.monotonic()
    while not (value := found()):
        assert time.monotonic() - begun < within_s, f"{what}: not within {within_s:.0f} s"
        time.sleep(1)
    return value


def _predict(stack: Stack) -> dict[str, Any]:
    with stack.client("serve") as client:
        answer = client.post("/predict", files={"file": BROKEN.read_bytes()}, data={"machine": "fan/id_00"})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _image(service: str) -> str:
    return f"wheeltapper/{service}:0.1.0"


def test_images_are_small_and_hold_no_torch_and_no_build_tools(stack: Stack) -> None:
    print("\n| image | MB |\n|---|---|")
    sizes = {target: int(docker("image", "inspect", "--format", "{{.Size}}", _image(target))) for target in TARGETS}
    for target, size in sizes.items():
        print(f"| {target} | {size / 1e6:.0f} |")
    assert sizes["serve"] <= LIMIT_MB * 1e6
    packages = 'import sys; print(*[p for p in sys.path if p.endswith("site-packages")])'
    for target in TARGETS:
        inside = docker("run", "--rm", _image(target), "sh", "-c", f"ls $(python -c '{packages}')").split()
        assert "numpy" in inside
        assert not {"torch", "transformers", "pip"} & set(inside)
        tools = docker("run", "--rm", _image(target), "sh", "-c", "command -v gcc g++ cc make pip npm || true")
        assert tools == ""


def test_containers_are_closed(stack: Stack) -> None:
    for service in OURS:
        root = "awk '$2 == \"/\" {print substr($4, 1, 2)}' /proc/mounts"
        look = f"id -u; {root}; grep -h -e CapEff -e NoNewPrivs /proc/self/status"
        shown = stack.inside(service, "sh", "-c", look).split()
        assert shown == ["10001", "ro", "CapEff:", "0" * 16, "NoNewPrivs:", "1"], service
    told = docker("inspect", *(stack.container(service) for service in LONG_LIVED))
    for secret in ("WHEELTAPPER_API_KEY", "WHEELTAPPER_WEBHOOK_TOKEN", "postgres_password"):
        assert stack.secret(secret) not in told, "a secret is a file, seen by nobody who lists containers"


def test_only_what_must_talks(stack: Stack) -> None:
    reach = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)"

    def reaches(service: str, other: str, port: int) -> bool:
        try:
            stack.inside(service, "python", "-c", reach, other, str(port))
        except AssertionError:
            return False
        return True

    assert reaches("serve", "postgres", 5432)
    assert reaches("n8n", "mail", 1025)
    for service in ("portal", "n8n", "monitor", "evidently", "mail"):
        assert not reaches(service, "postgres", 5432)
    assert not reaches("portal", "mail", 1025)
    assert not reaches("evidently", "serve", 8080)


def test_what_others_need_was_healthy_first(stack: Stack) -> None:
    prepared = _moment(docker("inspect", "--format", "{{.State.FinishedAt}}", stack.container("prepare")))
    assert prepared <= _started(stack, "serve")
    for needed, service in NEEDS:
        assert _started(stack, needed) < _started(stack, service)


def test_threads_follow_the_containers_quota(stack: Stack) -> None:
    ask = "from audio_pipeline.processors import available_processors; print(available_processors())"
    assert int(stack.inside("serve", "python", "-c", ask)) <= 2
    assert int(docker("run", "--rm", "--cpus", "0.5", _image("serve"), "python", "-c", ask)) == 1


def test_the_loop_once_through(stack: Stack) -> None:
    begun = time.monotonic()
    before = _rows(stack)
    page = _answer_by_mail(stack)
    assert "your answer is recorded" in page
    assert _rows(stack)[: len(before)] == before
    assert len(_rows(stack)) == max(2, len(before) + 1)
    assert _rows(stack)[0].endswith("target,prediction")
    assert _rows(stack)[-1].split(",")[-2] == "True"
    _tell("a clip, its question, the e-mail, the form and the row", begun)


def _answer_by_mail(stack: Stack) -> str:
    """Predict, notify, read the e-mail, follow its link, fill in the form; what the last page says."""
    prediction = _predict(stack)
    with stack.client("serve") as client, stack.client("mail") as inbox:
        question = client.post("/questions", json={"prediction_id": prediction["prediction_id"]}).json()["question_id"]
        _until(lambda: client.get(f"/questions/{question}").json()["state"] == "sent", "the question was sent")

        def mail() -> Any:
            listed = inbox.get("/api/mails").json()["mails"]
            letters = (inbox.get(f"/api/mails/{letter['id']}").json() for letter in listed)
            return next((letter for letter in letters if question in letter["html"]), None)

        letter = _until(mail, "the mail lies in the inbox")
        assert "fan" in letter["subject"].lower() + letter["text"].lower()
        link = next(link for link in _links(letter["html"]) if "Real%20fault" in link)
        body, headers = filled_in(link, operator="Ann")
        sent = httpx.post(link, content=body, headers=headers, timeout=60, trust_env=False)
        assert sent.status_code == 200, sent.text
        waiting = httpx.URL(sent.json()["formWaitingUrl"])

        def page() -> str:
            status = httpx.get(waiting.copy_with(path=f"{waiting.path}/n8n-execution-status"), trust_env=False).text
            if status.strip().strip('"') not in ("form-waiting", "success"):
                return ""
            shown = httpx.get(waiting, timeout=60, trust_env=False)
            return text_of(shown.text) if shown.status_code == 200 and "<html" in shown.text else ""

        said = str(_until(page, "a page after the form"))
        _until(lambda: client.get(f"/questions/{question}").json()["state"] == "answered", "the question is answered")
    return said


def _links(html: str) -> list[str]:
    return [piece.split('"', 1)[0].replace("&amp;", "&") for piece in html.split('href="')[1:]]


def _rows(stack: Stack) -> list[str]:
    return stack.inside("serve", "sh", "-c", "cat /data/prod_data.csv 2>/dev/null || true").splitlines()


def test_monitoring_looks_and_prometheus_scrapes_with_the_key(stack: Stack) -> None:
    assert "Drift:" in stack.inside("monitor", "wheeltapper", "monitor")
    with stack.client("evidently") as evidently:
        assert evidently.get("/api/projects").json()
    with stack.client("prometheus") as prometheus:

        def up() -> bool:
            found = prometheus.get("/api/v1/query", params={"query": "up{job='wheeltapper'}"}).json()["data"]["result"]
            return [value["value"][1] for value in found] == ["1"]

        _until(up, "Prometheus scrapes the service")
        assert prometheus.get("/api/v1/rules").json()["data"]["groups"]
    with stack.client("portal") as portal:
        assert portal.get("/").status_code == 200


@pytest.mark.parametrize("service", LONG_LIVED)
def test_a_killed_container_comes_back_and_nothing_is_lost(stack: Stack, service: str) -> None:
    before, rows = _predict(stack), _rows(stack)
    started = _started(stack, service)
    # From outside of Docker: what Docker itself stops is not started again.
    pid = docker("inspect", "--format", "{{.State.Pid}}", stack.container(service))
    subprocess.run(["kill", "-9", pid], check=True)
    killed = time.monotonic()
    while _started(stack, service) == started:
        time.sleep(0.2)
    stack.wait(*LONG_LIVED)
    _tell(f"{service} killed, everything healthy again after", killed)
    with stack.client("serve") as client:
        kept = client.get(f"/predictions/{before['prediction_id']}").json()
        for name in ("score", "p_value", "model_version"):
            assert kept[name] == before[name]
        assert client.get("/health/ready").status_code == 200
    assert _rows(stack) == rows
    _predict(stack)


def _started(stack: Stack, service: str) -> datetime:
    return _moment(docker("inspect", "--format", "{{.State.StartedAt}}", stack.container(service)))


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text[:26].rstrip("Z") + "+00:00")


def test_n8ns_key_and_data_survive_a_new_container(stack: Stack) -> None:
    fingerprint = "find /n8n -name config -type f -exec sha256sum {} +"
    count = "import sqlite3; print(sqlite3.connect('/n8n/.n8n/database.sqlite').execute('SELECT count(*) FROM execution_entity').fetchone()[0])"  # noqa: E501
    key, runs = stack.inside("n8n", "sh", "-c", fingerprint), int(stack.inside("n8n", "python", "-c", count))
    assert len(key.split()[0]) == 64
    assert runs > 0
    container = stack.container("n8n")
    begun = time.monotonic()
    stack.run("rm", "--stop", "--force", "n8n")
    stack.run("up", "--detach", "--no-build", "n8n")
    stack.wait("n8n")
    _tell("n8n in a new container, healthy after", begun)
    assert stack.container("n8n") != container
    assert stack.inside("n8n", "sh", "-c", fingerprint) == key
    assert int(stack.inside("n8n", "python", "-c", count)) >= runs
    # Its credentials are read with that key: a mail goes out, an answer comes back.
    assert "your answer is recorded" in _answer_by_mail(stack)


def test_two_services_behind_one_address_follow_a_promotion_without_a_failed_request(stack: Stack) -> None:
    two = ("--file", "compose.yaml", "--file", "tests/compose/two-serves.yaml")
    stack.run(*two, "up", "--detach", "--no-build", "serve")
    try:
        _until(
            lambda: stack.run(*two, "ps", "--format", "json", "serve").count('"Health":"healthy"') == 2, "both healthy"
        )
        load = (stack.folder / "tests" / "compose" / "load.py").read_text()
        told = stack.run(*two, "exec", "-T", "portal", "python", "-c", load, stack.secret("WHEELTAPPER_API_KEY"), "10")
        print(f"\n{told}")
        report = json.loads(told.splitlines()[-1])
        assert report["failed"] == []
        assert len(report["answers"]) == 2
        assert min(report["answers"].values()) > 20
        first, second, third = report["versions"]
        assert first == third != second
        for promotion in report["followed_within_s"]:
            assert len(promotion) == 2
            assert max(promotion.values()) <= 5
    finally:
        stack.run("up", "--detach", "--no-build", "--remove-orphans", "serve")
        stack.wait("serve")


def test_a_backup_comes_back_by_the_commands_of_the_documentation(stack: Stack) -> None:
    section = (stack.folder / "docs" / "deployment.md").read_text().split("### Backup")[1].split("### ")[0]
    backup, back = (block.split("```")[0] for block in section.split("```sh")[1:])
    with stack.client("serve") as client:
        before = {path: client.get(path).json() for path in ("/predictions", "/feedback", "/models")}
    rows, key = _rows(stack), stack.inside("n8n", "sh", "-c", "sha256sum /n8n/.n8n/config")
    assert len(rows) > 2
    begun = time.monotonic()
    stack.shell(backup)
    _tell("backup", begun)
    stack.run("down", "--volumes", "--timeout", "20")
    begun = time.monotonic()
    stack.shell(back)
    _tell("an empty installation with the backup in it, healthy after", begun)
    stack.wait(*(name for name in LONG_LIVED if name != "prometheus"))
    with stack.client("serve") as client:
        assert {path: client.get(path).json() for path in before} == before
        clip = before["/predictions"]["predictions"][0]["prediction_id"]
        assert client.get(f"/predictions/{clip}/audio").status_code == 200
    assert _rows(stack) == rows
    assert stack.inside("n8n", "sh", "-c", "sha256sum /n8n/.n8n/config") == key
    assert "your answer is recorded" in _answer_by_mail(stack)
