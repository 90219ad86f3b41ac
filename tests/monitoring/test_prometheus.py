"""Rules and dashboards, by a real Prometheus that scrapes a real service."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from serve.observability.metrics import Metrics
from serve.settings import Settings
from tests.monitoring.test_look import BEARER, answer, send
from tests.serve.server import serving

FOLDER = Path(__file__).resolve().parents[2] / "monitoring"
RULES = FOLDER / "prometheus" / "rules.yml"
DASHBOARDS = sorted((FOLDER / "grafana" / "dashboards").glob("*.json"))
HOW = "No Prometheus on this machine: its tests are SKIPPED. Get it with: apt install prometheus"
QUIET = {"status": "ok", "method": "m", "score": 0.2, "p_value": 0.6, "threshold": 4.1, "effect": 0.5, "message": ""}


@pytest.fixture
def needs_prometheus() -> None:
    if not (shutil.which("prometheus") and shutil.which("promtool")):
        warnings.warn(HOW, stacklevel=1)
        pytest.skip(HOW)


class Prometheus:
    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, path: str, **query: str) -> Any:
        body = httpx.get(f"{self.address}/api/v1/{path}", params=query, trust_env=False, timeout=30).json()
        assert body["status"] == "success", body
        return body["data"]

    def firing(self) -> set[str]:
        return {a["labels"]["alertname"] for a in self.ask("alerts")["alerts"] if a["state"] == "firing"}


@contextmanager
def scraping(folder: Path, *clients: httpx.Client) -> Iterator[Prometheus]:
    """A Prometheus that scrapes every half second; the rules are the shipped ones."""
    targets = ", ".join(f"'{client.base_url.netloc.decode()}'" for client in clients)
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}\n"
        f"rule_files: [{RULES}]\n"
        f"scrape_configs: [{{job_name: wheeltapper, static_configs: [{{targets: [{targets}]}}]}}]\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "prometheus.log").open("wb")
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=log,
        stderr=log,
    )
    try:
        wait_until(lambda: ready(f"http://127.0.0.1:{port}/-/ready"), "Prometheus did not start")
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(60)
        log.close()


@pytest.fixture
def prometheus(needs_prometheus: None, client: httpx.Client, tmp_path: Path) -> Iterator[Prometheus]:
    with scraping(tmp_path, client) as running:
        yield running


def ready(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def wait_until(true: Callable[[], bool], otherwise: str, within_s: float = 120.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.2)


def leave(client: httpx.Client, drift: dict[str, object]) -> None:
    confusion = {"true_positive": 3, "false_positive": 1, "false_negative": 1, "true_negative": 4}
    quality = {"rows": 9, "f1": 0.75, "balanced_accuracy": 0.775, "recall": 0.75, "precision": 0.75}
    body = {
        "created": datetime.now(UTC).isoformat(),
        "model_version": "m",
        "since": None,
        "until": None,
        "rows": 40,
        "quality": {**quality, "confusion": confusion},
        "audit": {
            "answered": 9, "recall": 0.5, "recall_interval": [0.2, 0.8], "false_alarm_rate": 0.1,
            "false_alarm_interval": [0.0, 0.4],
        },
        "drift": drift,
        "quality_machines": {"fan/id_00": {**quality, "confusion": confusion}},
        "evidently": {"mmd": 0.01, "model": 0.6, "ratio": 0.1, "score": 0.4, "verdict": None},
    }  # fmt: skip
    assert client.post("/monitoring/results", json=body, headers=BEARER).status_code == 201


def test_promtool_accepts_configuration_and_rules(needs_prometheus: None) -> None:
    for call in (["check", "config", str(RULES.with_name("prometheus.yml"))], ["check", "rules", str(RULES)]):
        done = subprocess.run(["promtool", *call], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_for_what_it_is_about_and_not_without_it(needs_prometheus: None, tmp_path: Path) -> None:
    cases = Path(__file__).with_name("rules_test.yml").read_text().replace("RULES", str(RULES))
    (tmp_path / "rules_test.yml").write_text(cases)
    call = ["promtool", "test", "rules", str(tmp_path / "rules_test.yml")]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for line in RULES.read_text().splitlines():
        if "alert:" in line:
            assert cases.count(f"alertname: {line.split()[-1]}") >= 2, f"{line}: not tested both ways"


def test_what_happens_seldom_is_counted_from_zero() -> None:
    # `increase` of a counter that begins at 1 is 0: the first failed retrain would raise no alarm.
    text = Metrics().text().decode()
    for series in ('retrains_total{status="failed"}', 'rejections_total{code="silent"}'):
        assert f"wheeltapper_{series} 0.0\n" in text
        assert f"increase(wheeltapper_{series}[" in RULES.read_text()


def test_drift_fires_an_alert_that_resolves(prometheus: Prometheus, client: httpx.Client) -> None:
    leave(client, QUIET)
    wait_until(lambda: bool(prometheus.ask("query", query="wheeltapper_drift_detected")["result"]), "never scraped")
    assert "WheeltapperDrift" not in prometheus.firing()
    leave(client, {**QUIET, "status": "drift", "score": 5.0, "p_value": 1e-5, "cause": "machine"})
    wait_until(lambda: "WheeltapperDrift" in prometheus.firing(), "the alert never fired")
    # Too few clips are no all-clear and no drift: NaN is not 1.
    leave(client, {**QUIET, "status": "too_few", "score": None, "p_value": None, "effect": None})
    wait_until(lambda: "WheeltapperDrift" not in prometheus.firing(), "the alert never resolved")


def test_several_services_over_one_database_are_counted_once(
    needs_prometheus: None, settings: Callable[..., Settings], tmp_path: Path
) -> None:
    quiet = settings(audit_share=0.0)
    with serving(quiet) as first, serving(quiet) as second, scraping(tmp_path, first, second) as prometheus:
        leave(first, {**QUIET, "score": 1.25})
        sent = [send(client, seed) for client in (first, second) for seed in range(4)]
        asked = {"prediction_id": sent[0]["prediction_id"], "reason": "manual"}
        assert second.post("/questions", json=asked, headers=BEARER).status_code == 201

        def value(query: str) -> float | None:
            found = prometheus.ask("query", query=query)["result"]
            return float(found[0]["value"][1]) if found else None

        # What each counts is added, what the database knows is told alike by both and taken once.
        for query, expected in (
            ("sum(wheeltapper_predictions_total)", 8.0),
            ("sum(wheeltapper_score_count)", 8.0),
            ("count(count by (instance) (wheeltapper_predictions_total > 0))", 2.0),
            ('max by (of, machine) (wheeltapper_drift_score{of="embedding", machine=""})', 1.25),
            ('sum(max by (state) (wheeltapper_questions{state!="answered"}))', 1.0),
            ("count(count by (model) (wheeltapper_model_info))", 1.0),
        ):
            wait_until(lambda q=query, e=expected: value(q) == e, f"{query} is never {expected}")


def test_every_panel_shows_real_data(prometheus: Prometheus, client: httpx.Client) -> None:
    leave(client, QUIET)
    for seed in range(3):
        answer(client, send(client, seed), "normal")
    client.post("/predict", files={"file": ("broken.wav", b"RIFF nonsense")})
    panels = [(board["title"], panel) for board in map(read, DASHBOARDS) for panel in board["panels"]]
    queries = [(title, panel["title"], t["expr"]) for title, panel in panels for t in panel["targets"]]
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    recorded = [("rules", rule["name"], rule["query"]) for rule in rules if rule["type"] == "recording"]
    assert len(queries) > 20
    # What nothing has happened to yet has no series: this one needs a clip with a defect.
    sometimes = ("wheeltapper_sensor_findings_total",)
    for where, panel, query in [*queries, *recorded]:
        waits_for = [name for name in sometimes if name in query]
        if waits_for:
            prometheus.ask("query", query=query)  # is understood, and the service knows the name
            assert f"# TYPE {waits_for[0]} counter" in client.get("/metrics").text
            continue
        # A rate needs two scrapes between which something was counted.
        for n in range(40):
            found = prometheus.ask("query", query=query)["result"]
            if found:
                break
            answer(client, send(client, 100 + n), "normal")
            client.post("/predict", files={"file": ("broken.wav", b"RIFF nonsense")})
            time.sleep(0.5)
        assert found, f"{where}, {panel}: {query} shows nothing"


def test_grafanas_own_model_reads_every_member_of_the_dashboards() -> None:
    """Grafana cannot be installed here; its SDK, made from its schema, reads the JSON and writes the same again."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    def lost(ours: Any, theirs: Any, where: str) -> list[str]:
        if isinstance(ours, dict):
            missing = [f"{where}.{name}" for name in ours if name not in theirs]
            return missing + [
                found
                for name, value in ours.items()
                if name in theirs
                for found in lost(value, theirs[name], f"{where}.{name}")
            ]
        if isinstance(ours, list):
            pairs = enumerate(zip(ours, theirs, strict=True))
            return [found for n, (a, b) in pairs for found in lost(a, b, f"{where}[{n}]")]
        return [] if ours == theirs else [f"{where}: {ours!r} is {theirs!r}"]

    register_default_plugins()
    for path in DASHBOARDS:
        board = read(path)
        again = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(board)))
        assert lost(board, again, path.stem) == []
        board["panels"][0]["gridpos"] = board["panels"][0].pop("gridPos")  # what it does not know is noticed
        again = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(board)))
        assert lost(board, again, "board") == ["board.panels[0].gridpos"]


def test_dashboards_are_laid_out_and_provisioned() -> None:
    seen = set()
    for path in DASHBOARDS:
        board = read(path)
        assert board["uid"] == path.stem
        assert board["schemaVersion"] >= 36
        assert board["title"]
        assert set(board["time"]) == {"from", "to"}
        ids = [panel["id"] for panel in board["panels"]]
        assert len(set(ids)) == len(ids)
        taken = set()
        for panel in board["panels"]:
            assert panel["type"] == "timeseries"
            assert panel["title"]
            assert panel["datasource"] == {"type": "prometheus", "uid": "wheeltapper"}
            place = panel["gridPos"]
            cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
            assert place["x"] + place["w"] <= 24
            assert not cells & taken
            taken |= cells
            assert [t["refId"] for t in panel["targets"]] == [chr(65 + n) for n in range(len(panel["targets"]))]
        seen.add(board["uid"])
    assert len(seen) == 2


def read(path: Path) -> dict[str, Any]:
    board: dict[str, Any] = json.loads(path.read_text())
    return board
