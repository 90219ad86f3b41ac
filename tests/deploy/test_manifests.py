"""Kubernetes manifests, rendered and checked against the published schemas; no cluster has ever run them here."""

from __future__ import annotations

import json
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml

from tests.deploy.settings import unread

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = ("single-node", "production")
VERSION = "1.33"
HOW = (
    "Tests of the Kubernetes manifests SKIPPED: no kubectl 1.27 or newer here (Debian's own is older). Get it from "
    "https://kubernetes.io/docs/tasks/tools/"
)

Manifest = dict[str, Any]


@pytest.fixture(scope="module", params=OVERLAYS)
def manifests(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    """An overlay as kustomize renders it, with secrets made by our own script, in a copy of the tree."""
    if shutil.which("kubectl") is None:
        warnings.warn(HOW, stacklevel=1)
        pytest.skip(HOW)
    copy = tmp_path_factory.mktemp("tree")
    shutil.copytree(ROOT / "deploy", copy / "deploy", ignore=shutil.ignore_patterns("secrets.env"))
    subprocess.run(["sh", copy / "deploy" / "secrets.sh"], check=True, capture_output=True)
    overlay = copy / "deploy" / "kubernetes" / "overlays" / request.param
    rendered = subprocess.run(["kubectl", "kustomize", overlay], check=True, capture_output=True, text=True)
    return [document for document in yaml.safe_load_all(rendered.stdout) if document]


def _of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def _pods(manifests: list[Manifest]) -> list[Manifest]:
    """Every pod template, of Deployments and of CronJobs."""
    return [
        manifest["spec"]["template"]
        if manifest["kind"] == "Deployment"
        else manifest["spec"]["jobTemplate"]["spec"]["template"]
        for manifest in _of_kind(manifests, "Deployment", "CronJob")
    ]


def _containers(pod: Manifest) -> list[Manifest]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def test_every_manifest_fits_its_schema(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_every_container_is_closed(manifests: list[Manifest]) -> None:
    pods = _pods(manifests)
    assert len(pods) >= 5
    for pod in pods:
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["automountServiceAccountToken"] is False
        # Else n8n would find N8N_PORT=tcp://…, the address of its own Service.
        assert pod["spec"]["enableServiceLinks"] is False
        for container in _containers(pod):
            closed = container["securityContext"]
            assert closed["readOnlyRootFilesystem"] is True
            assert closed["allowPrivilegeEscalation"] is False
            assert closed["capabilities"]["drop"] == ["ALL"]
            assert "memory" in container["resources"]["limits"]


def test_every_image_is_one_that_the_dockerfile_makes(manifests: list[Manifest]) -> None:
    dockerfile = (ROOT / "deploy" / "images" / "Dockerfile").read_text()
    targets = {line.split()[-1] for line in dockerfile.splitlines() if line.startswith("FROM ")}
    for pod in _pods(manifests):
        for container in _containers(pod):
            name, _, tag = container["image"].partition(":")
            assert name.removeprefix("wheeltapper/") in targets
            assert tag, f"{name} has no version"


def test_what_is_referred_to_is_there(manifests: list[Manifest]) -> None:
    names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}
    for pod in _pods(manifests):
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        for volume in volumes.values():
            if claim := volume.get("persistentVolumeClaim"):
                assert ("PersistentVolumeClaim", claim["claimName"]) in names
        for container in _containers(pod):
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes.keys()
            for source in container.get("envFrom", []):
                kind, reference = next(iter(source.items()))
                assert ({"configMapRef": "ConfigMap", "secretRef": "Secret"}[kind], reference["name"]) in names
    labels = [pod["metadata"]["labels"] for pod in _pods(manifests)]
    for service in _of_kind(manifests, "Service"):
        assert any(service["spec"]["selector"].items() <= label.items() for label in labels)
    for scaler in _of_kind(manifests, "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) in names
    for budget in _of_kind(manifests, "PodDisruptionBudget"):
        assert any(budget["spec"]["selector"]["matchLabels"].items() <= label.items() for label in labels)


def test_who_asks_the_service_is_let_through_and_nobody_else(manifests: list[Manifest]) -> None:
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in _of_kind(manifests, "NetworkPolicy")}
    assert policies["closed"]["podSelector"] == {}
    (rule,) = policies["serve"]["ingress"]
    allowed = set(rule["from"][0]["podSelector"]["matchExpressions"][0]["values"])
    asking = set(policies["asks-serve"]["podSelector"]["matchExpressions"][0]["values"])
    assert allowed == asking
    present = {pod["metadata"]["labels"]["app.kubernetes.io/name"] for pod in _pods(manifests)}
    assert allowed <= present


def test_settings_are_those_that_are_read_and_addresses_lead_to_services(manifests: list[Manifest]) -> None:
    (settings,) = _of_kind(manifests, "ConfigMap")
    assert unread(settings["data"]) == []
    services = {m["metadata"]["name"]: {port["port"] for port in m["spec"]["ports"]}
                for m in _of_kind(manifests, "Service")}  # fmt: skip
    for name in ("WHEELTAPPER_SERVE_URL", "WHEELTAPPER_N8N_URL"):
        address = urlsplit(settings["data"][name])
        assert address.port in services[str(address.hostname)]
    if (mail := settings["data"]["SMTP_HOST"]) in services:
        assert int(settings["data"]["SMTP_PORT"]) in services[mail]
    else:
        assert "." in mail, "a mail server of the plant's"


def test_production_scales_and_reports_and_retrains_by_schedule(manifests: list[Manifest]) -> None:
    jobs = {job["metadata"]["name"]: job["spec"] for job in _of_kind(manifests, "CronJob")}
    assert jobs.keys() == {"monitor", "retrain"}
    for job in jobs.values():
        assert job["concurrencyPolicy"] == "Forbid"
        assert len(job["schedule"].split()) == 5
    scaled = [m["kind"] for m in _of_kind(manifests, "HorizontalPodAutoscaler", "PodDisruptionBudget")]
    (serve,) = (m for m in _of_kind(manifests, "Deployment") if m["metadata"]["name"] == "serve")
    modes = {m["metadata"]["name"]: m["spec"]["accessModes"] for m in _of_kind(manifests, "PersistentVolumeClaim")}
    if scaled:
        assert sorted(scaled) == ["HorizontalPodAutoscaler", "PodDisruptionBudget"]
        assert "replicas" not in serve["spec"], "the autoscaler decides"
        assert serve["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        assert modes["data"] == modes["artifacts"] == ["ReadWriteMany"]
    else:
        assert serve["spec"]["replicas"] == 1
        assert modes["data"] == ["ReadWriteOnce"]


def test_only_the_services_own_programs_are_given_the_databases_password(manifests: list[Manifest]) -> None:
    containers = [container for pod in _pods(manifests) for container in _containers(pod)]
    with_every_secret = {c["name"] for c in containers if any("secretRef" in source for source in c.get("envFrom", []))}
    assert with_every_secret == {"prepare", "serve", "retrain"}
    by_name = {c["name"] for c in containers if any(one["name"] == "DATABASE_URL" for one in c.get("env", []))}
    assert by_name == set()


def test_no_secret_is_in_the_tree(manifests: list[Manifest]) -> None:
    (secret,) = _of_kind(manifests, "Secret")
    assert len(secret["data"]["WHEELTAPPER_API_KEY"]) > 40
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert "secrets.env" not in listed


def test_a_service_finishes_what_it_took_on_before_it_is_killed(manifests: list[Manifest]) -> None:
    (serve,) = (m for m in _of_kind(manifests, "Deployment") if m["metadata"]["name"] == "serve")
    (settings,) = _of_kind(manifests, "ConfigMap")
    drain = float(settings["data"]["WHEELTAPPER_DRAIN_S"])
    probe = serve["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
    assert drain > probe["periodSeconds"] * probe["failureThreshold"]
    # uvicorn waits a minute for requests in flight (wheeltapper serve).
    assert serve["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= drain + 60
    assert json.dumps(serve).count('"wheeltapper/serve:') == 2
