"""compose.yaml and the Dockerfile, checked as far as that goes without a Docker engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.settings import unread

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return content


def _ours(stack: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: service for name, service in stack["services"].items() if "build" in service}


def _make_secrets(tree: Path) -> dict[str, str]:
    subprocess.run(["sh", tree / "deploy" / "secrets.sh"], check=True, capture_output=True)
    return {path.name: path.read_text() for path in (tree / "secrets").iterdir()}


def test_our_containers_are_closed(stack: dict[str, Any]) -> None:
    assert _ours(stack)
    for service in _ours(stack).values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_every_secret_is_made_by_the_script_and_kept_out_of_the_environment(
    stack: dict[str, Any], tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("secrets.env"))
    made = _make_secrets(tmp_path)
    assert _make_secrets(tmp_path) == made, "a second run changes nothing"
    assert {Path(secret["file"]).name for secret in stack["secrets"].values()} == made.keys()
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0
    used = {secret for service in stack["services"].values() for secret in service.get("secrets", [])}
    assert used == stack["secrets"].keys()
    for service in stack["services"].values():
        assert not {"WHEELTAPPER_API_KEY", "DATABASE_URL"} & set(service.get("environment", {}))


def test_a_first_model_is_made_with_the_services_own_secrets(stack: dict[str, Any]) -> None:
    # It writes the ledger of the database that serves, and the image says that it listens to everybody: hence the key.
    prepare, serve = (stack["services"][name] for name in ("prepare", "serve"))
    assert prepare["secrets"] == serve["secrets"]
    assert set(prepare["networks"]) <= set(serve["networks"])


def test_only_the_service_reaches_the_database(stack: dict[str, Any]) -> None:
    inside = {name for name, service in stack["services"].items() if "database" in service.get("networks", [])}
    assert inside == {"postgres", "serve", "prepare"}
    assert stack["networks"]["database"]["internal"] is True


def test_only_what_must_talks_shares_a_network(stack: dict[str, Any]) -> None:
    networks = {name: set(service.get("networks", [])) for name, service in stack["services"].items()}
    pairs = {
        frozenset((one, other))
        for one in networks
        for other in networks
        if one < other and networks[one] & networks[other]
    }
    talk = {
        "serve": {"postgres", "prepare", "portal", "n8n", "monitor", "prometheus"},
        "portal": {
            "n8n",
            "monitor",
            "prometheus",
        },  # all on the service's network, where nothing but it listens for others
        "n8n": {"mail", "ollama", "ollama-model", "monitor", "prometheus"},
        "monitor": {"prometheus"},
        "postgres": {"prepare"},
        "prometheus": {"grafana"},
        "ollama": {"ollama-model"},
    }
    assert pairs == {frozenset((one, other)) for one, others in talk.items() for other in others}


def test_ports_are_on_loopback(stack: dict[str, Any]) -> None:
    ports = [port for service in stack["services"].values() for port in service.get("ports", [])]
    assert len(ports) >= 5
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_example_settings_are_those_that_are_read(stack: dict[str, Any]) -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    names = {line.split("=")[0] for line in lines if "=" in line and not line.startswith("#")}
    text = (ROOT / "compose.yaml").read_text()
    assert names
    for name in names:
        assert f"${{{name}:-" in text, f"{name} is in .env.example and not read"


def test_our_programs_read_what_they_are_given(stack: dict[str, Any]) -> None:
    given = {name for service in _ours(stack).values() for name in service.get("environment", {})}
    given |= {name for service in _ours(stack).values() for name in service.get("secrets", [])}
    assert len(given) > 20
    assert unread(given) == []


def test_what_mounts_is_there(stack: dict[str, Any]) -> None:
    mounts = [mount for service in stack["services"].values() for mount in service.get("volumes", [])]
    files = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert files
    for file in files:
        assert (ROOT / file).exists(), file
    assert {mount.split(":")[0] for mount in mounts if not mount.startswith("./")} == stack["volumes"].keys()


def _docker_compose(tree: Path, *arguments: str) -> dict[str, Any]:
    compose = os.environ.get("DOCKER_COMPOSE") or shutil.which("docker-compose")
    if compose is None:
        how = "Test of compose.yaml by docker-compose SKIPPED: none here. Get one with: DOCKER_COMPOSE=$(bash tests/compose/docker-compose.sh .compose-test)"  # noqa: E501
        warnings.warn(how, stacklevel=2)
        pytest.skip(how)
    shutil.copytree(ROOT / "deploy", tree / "deploy", ignore=shutil.ignore_patterns("secrets.env"))
    for file in ("compose.yaml", ".env.example"):
        shutil.copy(ROOT / file, tree)
    subprocess.run(["sh", tree / "deploy" / "secrets.sh"], check=True, capture_output=True)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WHEELTAPPER_")}
    command = [Path(compose).absolute(), *arguments, "config", "--format", "json"]
    asked = subprocess.run(command, cwd=tree, env=clean, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    assert asked.stderr == ""
    content: dict[str, Any] = json.loads(asked.stdout)
    return content


def test_docker_compose_understands_it(tmp_path: Path) -> None:
    known = _docker_compose(tmp_path, "--profile", "metrics", "--profile", "llm")["services"]
    assert {"postgres", "serve", "portal", "n8n", "prometheus", "grafana", "ollama"} <= known.keys()
    assert known["serve"]["environment"]["WEBHOOK_URL"] == "http://127.0.0.1:5678/"


def test_the_example_settings_are_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    by_default = _docker_compose(tmp_path / "one")
    by_example = _docker_compose(tmp_path / "other", "--env-file", ".env.example")
    for name, service in by_default["services"].items():
        for what in ("image", "ports", "environment", "command"):
            assert service.get(what) == by_example["services"][name].get(what), (name, what)


def test_links_follow_the_ports_that_are_chosen(tmp_path: Path) -> None:
    chosen = (ROOT / ".env.example").read_text().replace("_PORT=", "_PORT=1").replace("SMTP_PORT=1", "SMTP_PORT=")
    (tmp_path / "chosen.env").write_text(chosen)
    services = _docker_compose(tmp_path, "--env-file", "chosen.env")["services"]
    links = {name: services["serve"]["environment"][name] for name in ("WEBHOOK_URL", "WHEELTAPPER_PORTAL_URL")}
    assert links == {"WEBHOOK_URL": "http://127.0.0.1:15678/", "WHEELTAPPER_PORTAL_URL": "http://127.0.0.1:18081"}
    assert services["portal"]["environment"]["WHEELTAPPER_MONITORING_URL"] == "http://127.0.0.1:18082"


def test_the_service_that_words_the_moments_of_e_mails_knows_the_plants_time(tmp_path: Path) -> None:
    (tmp_path / "chosen.env").write_text("TZ=Europe/Paris\n")
    services = _docker_compose(tmp_path, "--env-file", "chosen.env")["services"]
    assert services["serve"]["environment"]["TZ"] == "Europe/Paris"
    assert services["n8n"]["environment"]["GENERIC_TIMEZONE"] == "Europe/Paris"


def test_every_file_of_the_images_is_there_and_sent() -> None:
    dockerfile = (ROOT / "deploy" / "images" / "Dockerfile").read_text().replace("\\\n", " ")
    copied = [
        line.split()[1:-1] for line in dockerfile.splitlines() if line.startswith("COPY ") and "--from" not in line
    ]
    sent = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for file in (file for files in copied for file in files):
        assert (ROOT / file).exists(), file
        assert any(file == path or file.startswith(f"{path}/") for path in sent), f"{file} is kept out of the build"


def test_prometheus_understands_its_file(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        how = "Test of deploy/compose/prometheus.yml SKIPPED: no promtool here. Get it with: apt-get install prometheus"
        warnings.warn(how, stacklevel=1)
        pytest.skip(how)
    key = tmp_path / "key"
    key.write_text("a key")
    configuration = (ROOT / "deploy" / "compose" / "prometheus.yml").read_text()
    assert "/run/secrets/WHEELTAPPER_API_KEY" in configuration
    (tmp_path / "prometheus.yml").write_text(configuration.replace("/run/secrets/WHEELTAPPER_API_KEY", str(key)))
    shutil.copy(ROOT / "monitoring" / "prometheus" / "rules.yml", tmp_path)
    checked = subprocess.run(
        [promtool, "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_grafana_gets_the_source_that_its_dashboards_name(stack: dict[str, Any]) -> None:
    (source,) = yaml.safe_load((ROOT / "deploy" / "compose" / "grafana-datasource.yml").read_text())["datasources"]
    host, port = source["url"].removeprefix("http://").split(":")
    assert "networks" in stack["services"][host]
    assert port == "9090"
    dashboards = list((ROOT / "monitoring" / "grafana" / "dashboards").glob("*.json"))
    assert dashboards
    for dashboard in dashboards:
        assert f'"uid": "{source["uid"]}"' in dashboard.read_text()
    (provider,) = yaml.safe_load(
        (ROOT / "monitoring" / "grafana" / "provisioning" / "dashboards" / "wheeltapper.yml").read_text()
    )["providers"]
    assert (
        f"./monitoring/grafana/dashboards:{provider['options']['path']}:ro" in stack["services"]["grafana"]["volumes"]
    )


def test_the_dockerfile_follows_hadolint() -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert hadolint is not None, "hadolint comes with the extra dev"
    checked = subprocess.run(
        [hadolint, ROOT / "deploy" / "images" / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout
