from __future__ import annotations

from pathlib import Path

import pytest

from audio_pipeline.processors import available_processors, quota

NONE = float("inf")


@pytest.mark.parametrize(
    ("own", "files", "processors"),
    [
        ("0::/pod/box", {"pod/box/cpu.max": "150000 100000"}, 1.5),
        ("0::/pod/box", {"pod/box/cpu.max": "max 100000"}, NONE),
        ("0::/pod/box", {"pod/box/cpu.max": "max 100000", "pod/cpu.max": "50000 100000"}, 0.5),
        ("0::/pod/box", {}, NONE),
        # Version 1, as Docker mounts it: the path is the host's, the mount's top is the container's own group.
        ("4:cpu,cpuacct:/docker/9f", {"cpu,cpuacct/cpu.cfs_quota_us": "150000"}, 1.5),
        ("4:cpu:/docker/9f", {"cpu/cpu.cfs_quota_us": "200000"}, 2.0),
        ("4:cpu,cpuacct:/a", {"cpu,cpuacct/a/cpu.cfs_quota_us": "-1"}, NONE),
        ("4:cpuset:/a", {"cpuset/a/cpu.cfs_quota_us": "100000"}, NONE),
    ],
)
def test_the_containers_quota_is_read_where_it_is_set(
    tmp_path: Path, own: str, files: dict[str, str], processors: float
) -> None:
    groups = tmp_path / "groups"
    for name, content in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(content)
        (groups / name).with_name("cpu.cfs_period_us").write_text("100000")
    (tmp_path / "cgroup").write_text(f"7:memory:/elsewhere\n{own}\n")
    assert quota(groups, tmp_path / "cgroup") == processors


def test_a_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert quota(tmp_path, tmp_path / "missing") == NONE


def test_there_is_at_least_one_processor() -> None:
    assert available_processors() >= 1
