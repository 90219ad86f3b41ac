"""How many processors this process may use: its affinity and its container's quota, not the host's cores.

Here: reading Linux's control groups, version 2 and version 1. Not here: what is done with the number.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_PROCESS = Path("/proc/self/cgroup")


def available_processors() -> int:
    """Count the processors this process may use, at least one; a quota of 1.5 processors counts as two."""
    try:
        affinity = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        affinity = os.cpu_count() or 1
    return max(1, math.ceil(min(affinity, quota())))


def quota(groups: Path = _GROUPS, process: Path = _PROCESS) -> float:
    """Read the smallest processor quota of the process's control groups, infinity when there is none.

    Parameters
    ----------
    groups
        Where the control groups are mounted.
    process
        The process's own list of them, `/proc/self/cgroup`.
    """
    try:
        lines = process.read_text().splitlines()
    except OSError:
        return math.inf
    quotas = [math.inf]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2: one hierarchy for everything
            quotas += [_version_2(place) for place in _upwards(groups, path)]
        elif "cpu" in controllers.split(","):  # version 1: a hierarchy a controller; Docker mounts it as "cpu,cpuacct"
            for mount in (groups / controllers, groups / "cpu"):
                quotas += [_version_1(place) for place in _upwards(mount, path)]
    return min(quotas)


def _upwards(mount: Path, path: str) -> list[Path]:
    """The process's group and all above it: a quota binds everything below.

    Inside a container the path is often the host's, and the mount shows the own group at its top.
    """
    own = mount / path.lstrip("/")
    return [place for place in (own, *own.parents) if place.is_relative_to(mount)]


def _version_2(group: Path) -> float:
    try:
        allowed, period = (group / "cpu.max").read_text().split()
        return int(allowed) / int(period)
    except (OSError, ValueError):  # no file here, or "max"
        return math.inf


def _version_1(group: Path) -> float:
    try:
        allowed = int((group / "cpu.cfs_quota_us").read_text())
        return allowed / int((group / "cpu.cfs_period_us").read_text()) if allowed > 0 else math.inf
    except (OSError, ValueError):
        return math.inf
