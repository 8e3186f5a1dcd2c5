"""LXC's configurations."""

from __future__ import annotations

import pytest

from cputune.core.knobs import UNLIMITED
from cputune.core.model import Change, CpuTune
from cputune.runtimes.native.lxc import change_in as in_lxc
from cputune.runtimes.native.lxc import edited as edit_lxc
from cputune.runtimes.native.lxc import settings

MAX, V1 = "lxc.cgroup2.cpu.max", "lxc.cgroup.cpu."


@pytest.mark.parametrize(
    ("text", "version", "change"),
    [
        ("lxc.uts.name = web\n", 2, Change()),
        (f"{MAX} = 25000 50000\nlxc.cgroup2.cpu.weight=77\n", 2, Change(weight=77, period=50000, quota=25000)),
        (f"{MAX} = 1000 2000\n {MAX} = max 100000\n", 2, Change(period=100000, quota=UNLIMITED)),
        (f"{MAX} = 30000\n{MAX}.burst = 5000\n", 2, Change(quota=30000, burst=5000)),
        ("lxc.cgroup2.cpu.idle = 1\n", 2, Change(idle=True)),
        ("lxc.cgroup.cpu.shares = 512\n", 2, Change()),
        ("lxc.cgroup.cpu.shares = 512\nlxc.cgroup.cpu.cfs_quota_us = -1\n", 1, Change(shares=512, quota=UNLIMITED)),
        (f"{V1}cfs_period_us = 50000\n{V1}cfs_quota_us = 7000\n", 1, Change(period=50000, quota=7000)),
        ("lxc.cgroup.cpu.cfs_burst_us = 10\n#lxc.cgroup.cpu.shares = 5\n", 1, Change(burst=10)),
    ],
)  # fmt: skip
def test_what_a_configuration_of_lxc_remembers(text: str, version: int, change: Change) -> None:
    assert in_lxc(text, version) == change


@pytest.mark.parametrize(
    ("change", "goal", "version", "keys"),
    [
        (Change(quota=5000, period=10000), CpuTune(quota=5000, period=10000, burst=0), 2,
         {"lxc.cgroup2.cpu.max": "5000 10000", "lxc.cgroup2.cpu.max.burst": None}),
        (Change(burst=700), CpuTune(quota=5000, period=10000, burst=700), 2,
         {"lxc.cgroup2.cpu.max": "5000 10000", "lxc.cgroup2.cpu.max.burst": "700"}),
        (Change(quota=UNLIMITED, period=10000), CpuTune(quota=UNLIMITED, period=10000, burst=5), 1,
         {f"{V1}cfs_period_us": "10000", f"{V1}cfs_quota_us": "-1", f"{V1}cfs_burst_us": "5"}),
        (Change(shares=512), CpuTune(), 2, {"lxc.cgroup2.cpu.weight": "50", "lxc.cgroup2.cpu.idle": None}),
        (Change(shares=512), CpuTune(), 1, {"lxc.cgroup.cpu.shares": "512", "lxc.cgroup.cpu.idle": None}),
        (Change(weight=50), CpuTune(), 1, {"lxc.cgroup.cpu.shares": "512", "lxc.cgroup.cpu.idle": None}),
        (Change(idle=True), CpuTune(idle=True), 2, {"lxc.cgroup2.cpu.weight": None, "lxc.cgroup2.cpu.idle": "1"}),
        (Change(weight=50), CpuTune(idle=True), 2, {"lxc.cgroup2.cpu.weight": None, "lxc.cgroup2.cpu.idle": "1"}),
        (Change(idle=False), CpuTune(), 2, {"lxc.cgroup2.cpu.idle": None}),
        (Change(idle=False, weight=30), CpuTune(), 2, {"lxc.cgroup2.cpu.weight": "30", "lxc.cgroup2.cpu.idle": None}),
    ],
)  # fmt: skip
def test_the_keys_that_lxc_is_given(change: Change, goal: CpuTune, version: int, keys: dict[str, str | None]) -> None:
    found = settings(change, goal, version)
    assert found == keys
    assert list(found) == [key for key in found if key in keys]


def test_v1_gets_the_period_before_the_quota_and_the_burst_last() -> None:
    """LXC writes from the top down, and a new group has no quota, which any period fits."""
    found = settings(Change(quota=5000, period=10000), CpuTune(quota=5000, period=10000, burst=9), 1)
    assert [key.rpartition(".")[2] for key in found] == ["cfs_period_us", "cfs_quota_us", "cfs_burst_us"]


def test_a_configuration_of_lxc_keeps_its_other_lines() -> None:
    text = "# mine\nlxc.cgroup2.cpu.max = 1 2\nlxc.cgroup2.memory.max = 5\n  lxc.cgroup2.cpu.weight = 3"
    assert edit_lxc(text, {"lxc.cgroup2.cpu.max": "5000 10000", "lxc.cgroup2.cpu.weight": None}) == (
        "# mine\nlxc.cgroup2.memory.max = 5\nlxc.cgroup2.cpu.max = 5000 10000\n"
    )
