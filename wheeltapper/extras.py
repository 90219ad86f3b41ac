"""Extras of this package (`pip install wheeltapper[portal]`): whether they are installed, and the command that does it.

Here: what is asked of the installed packages, and pip's command line. Not here: when it is run (`run`).
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from wheeltapper.parts import Preparation

_ROOT = Path(__file__).resolve().parent.parent


def missing(extra: str) -> list[str]:
    """Return the requirements of an extra that the environment does not fulfil, as pip writes them.

    Examples
    --------
    >>> missing("no-such-extra")
    []
    """
    wanted = [Requirement(line) for line in requires("wheeltapper") or ()]
    of_extra = [
        requirement
        for requirement in wanted
        if requirement.marker
        and requirement.marker.evaluate({"extra": extra})
        and not requirement.marker.evaluate({"extra": ""})
    ]
    return [str(requirement) for requirement in of_extra if not _installed(requirement)]


def preparation(extra: str, what: str) -> Preparation:
    """Return how an extra is installed, at the versions of the lock.

    Parameters
    ----------
    extra
        As in pyproject.toml.
    what
        For the person who waits, with size and time.
    """
    lock = _ROOT / "requirements.lock"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if lock.exists():
        command += ["-c", str(lock), "-e", f"{_ROOT}[{extra}]"]
    else:  # not from a checkout
        command += [f"wheeltapper[{extra}]=={version('wheeltapper')}"]
    return Preparation(what, tuple(command), lambda: bool(missing(extra)))


def _installed(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False
