"""`wheeltapper run`: the key, the choice of parts, the port, and a whole start and stop for real."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from audio_pipeline.errors import SettingsError
from serve.settings import Settings
from wheeltapper.run import SECRETS, address_of, choose, ensure_secrets, parts_of, refuse_taken_port

WHEELTAPPER = str(Path(sys.executable).with_name("wheeltapper"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    ensure_secrets(env_file, {})
    content = env_file.read_text()
    assert re.fullmatch(
        r"WHEELTAPPER_API_KEY=[\w-]{40,}\nWHEELTAPPER_WEBHOOK_TOKEN=[\w-]{40,}\nWHEELTAPPER_N8N_PASSWORD=[\w-]{40,}\n",
        content,
    )
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
    ensure_secrets(env_file, {})
    assert env_file.read_text() == content


def test_other_lines_of_env_are_kept_when_the_key_is_added(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("LLM_MODEL=llama\nWHEELTAPPER_API_KEY=")
    env_file.chmod(0o644)
    ensure_secrets(env_file, {})
    lines = env_file.read_text().splitlines()
    assert lines[0] == "LLM_MODEL=llama"
    assert [line.split("=")[0] for line in lines[-len(SECRETS) :]] == list(SECRETS)
    assert all(len(line.split("=")[1]) > 40 for line in lines[-len(SECRETS) :])
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600


def test_a_key_in_the_environment_needs_no_file(tmp_path: Path) -> None:
    ensure_secrets(tmp_path / ".env", dict.fromkeys(SECRETS, "k" * 32))
    assert not (tmp_path / ".env").exists()


def test_parts_are_chosen_by_name_and_an_unknown_one_is_refused_with_the_list() -> None:
    parts = parts_of(Settings())
    assert list(choose("", parts)) == list(parts)
    assert list(choose("serve,serve", parts)) == ["serve"]
    with pytest.raises(SettingsError, match=r"no part called grafana.*serve"):
        choose("serve grafana", parts)


def test_every_part_says_what_to_try_next() -> None:
    parts = parts_of(Settings())
    # The service shows a first prediction instead.
    assert [name for name, part in parts.items() if not part.hint.startswith("Try this")] in (
        ["serve"],
        ["serve", "llm"],
    )


def test_a_taken_port_is_told_with_a_way_out() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"Port {port} .*WHEELTAPPER_PORT="):
            refuse_taken_port("127.0.0.1", port)
    refuse_taken_port("127.0.0.1", port)


def test_listening_everywhere_is_reached_over_loopback() -> None:
    assert address_of(Settings(host="0.0.0.0", api_key="k" * 32, port=8090)) == "http://127.0.0.1:8090"
    assert address_of(Settings(host="::1", port=8090)) == "http://[::1]:8090"


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_from_nothing_to_a_first_prediction_and_back_to_nothing(tmp_path: Path, ending: signal.Signals) -> None:
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WHEELTAPPER_")}
    run = subprocess.Popen(
        [WHEELTAPPER, "run", "--parts", "serve"],
        cwd=tmp_path,
        env={**environment, "WHEELTAPPER_PORT": str(port), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert run.stdout is not None
    told = ""
    try:
        for line in run.stdout:
            told += line
            if line.startswith("Running."):
                break
        assert "Running." in told, told
        # Two answers, of a broken and a healthy clip; which verdict each gets is the model's affair.
        explained = r"verdict +(?:ANOMALY|normal)\n +score +-?\d+\.\d\d, (?:not )?above the threshold"
        assert len(re.findall(explained, told)) == 2
        assert len(re.findall(r"p-value +[01]\.\d{3}: of 100 healthy clips", told)) == 2
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as answer:
            assert answer.status == 200
        children = [int(pid) for pid in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()]
        assert children
        run.send_signal(ending)
        assert run.wait(timeout=20) == 0
        assert run.stdout.read().strip().endswith("Stopped.")
    finally:
        run.kill()
        run.wait()
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    refuse_taken_port("127.0.0.1", port)
    assert json.loads((tmp_path / "artifacts" / "current.json").read_text())["model"]
