"""Installing n8n with an npm that hangs, as npm does when a download falls silent."""

from __future__ import annotations

from pathlib import Path

import pytest

from audio_pipeline.errors import WheeltapperError
from automation import n8n

NPM = """#!/bin/sh
echo "$@" >> {log}
[ "$1" = ci ] || exit 0
if [ "$(grep -c '^ci' {log})" -le {hanging} ]; then echo "fetching"; exec sleep 60; fi
end=$(($(date +%s) + {busy}))
while [ "$(date +%s)" -lt "$end" ]; do i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; done
mkdir -p node_modules/n8n/templates && echo '{{}}' > node_modules/n8n/package.json
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "node").touch()
    monkeypatch.setenv("WHEELTAPPER_NODE", str(programs / "node"))
    monkeypatch.setattr(n8n, "_SILENCE_S", 0.5)
    return tmp_path / "log"


def npm_that_hangs(times: int, log: Path, busy_s: int = 0) -> None:
    program = log.parent / "programs" / "npm"
    program.write_text(NPM.format(log=log, hanging=times, busy=busy_s))
    program.chmod(0o755)


def test_a_silent_download_is_started_again(log: Path, tmp_path: Path) -> None:
    npm_that_hangs(2, log)
    told: list[str] = []
    n8n.install(tmp_path / "n8n", told.append)
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["ci", "ci", "ci", "rebuild"]
    assert sum("started again" in sentence for sentence in told) == 2
    assert n8n.installed(tmp_path / "n8n")


def test_silence_with_work_is_waited_for(log: Path, tmp_path: Path) -> None:
    npm_that_hangs(0, log, busy_s=4)
    n8n.install(tmp_path / "n8n", lambda _: None)
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["ci", "rebuild"]


def test_a_network_that_stays_silent_is_a_sentence(log: Path, tmp_path: Path) -> None:
    npm_that_hangs(99, log)
    with pytest.raises(WheeltapperError, match="Check the network, then run this again"):
        n8n.install(tmp_path / "n8n", lambda _: None)
    assert not n8n.installed(tmp_path / "n8n")
