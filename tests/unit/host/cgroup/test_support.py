"""What a cgroup can be given; and where it cannot, why, and the line that would change it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cputune.core.errors import CpuTuneError, Unsupported, WrongState
from cputune.core.knobs import UNLIMITED
from cputune.core.model import CpuTune
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.cgroup.support import disabled_above, realtime_tasks, require, support
from tests.support.hosts import Files, with_groups


def refused(cgroups: Cgroups, cgroup: str, *keys: str) -> CpuTuneError:
    with pytest.raises(CpuTuneError) as caught:
        require(
            cgroups, cgroup, cgroups.read(cgroup) if cgroups.exists(cgroup) else CpuTune(), frozenset(keys), "lxc:web"
        )
    return caught.value


def test_support_is_read_off_the_state() -> None:
    for state, weight, bandwidth in (
        (CpuTune(), False, False),
        (CpuTune(shares=2), True, False),
        (CpuTune(weight=1, idle=False), True, False),
        (CpuTune(weight=1, quota=UNLIMITED, period=1000, burst=0), True, True),
    ):
        have = support(state)
        assert (have.weight, have.bandwidth, have.keys) == (weight, bandwidth, frozenset(state.named()))


@pytest.mark.parametrize("version", [1, 2])
def test_nothing_is_required_for_nothing(tmp_path: Path, version: int) -> None:
    _, cgroups = with_groups(tmp_path, version)
    require(cgroups, "/", CpuTune(), frozenset(), "lxc:web")
    assert cgroups.exists("/")


@pytest.mark.parametrize("version", [1, 2])
def test_the_root_cgroup(tmp_path: Path, version: int) -> None:
    _, cgroups = with_groups(tmp_path, version)
    error = refused(cgroups, "/", "quota")
    assert type(error) is Unsupported
    assert error.message == "lxc:web is the root cgroup, which has no CPU limit and no weight"
    assert error.hint == "choose one below it: cputune status"


@pytest.mark.parametrize(
    ("version", "missing", "message"),
    [
        (
            1,
            {"cpu.cfs_quota_us": None, "cpu.cfs_period_us": None},
            "this kernel has no CFS bandwidth control: /sys/fs/cgroup/web has cpu.shares but no cpu.cfs_quota_us",
        ),
        (
            2,
            {"cpu.max": None},
            "this kernel has no CFS bandwidth control: /sys/fs/cgroup/web has cpu.weight but no cpu.max",
        ),
    ],
)
def test_a_kernel_without_bandwidth(tmp_path: Path, version: int, missing: Files, message: str) -> None:
    _, cgroups = with_groups(tmp_path, version, {"web": missing})
    require(cgroups, "/web", cgroups.read("/web"), frozenset({"shares", "weight", "idle"}), "lxc:web")
    for key in ("quota", "period", "burst"):
        error = refused(cgroups, "/web", key)
        assert type(error) is Unsupported
        assert error.message == message
        assert error.hint == "use --shares or --weight, or a kernel built with CONFIG_CFS_BANDWIDTH=y"


@pytest.mark.parametrize(
    ("version", "key", "file", "since"),
    [
        (1, "burst", "cpu.cfs_burst_us", "5.14"),
        (2, "burst", "cpu.max.burst", "5.14"),
        (1, "idle", "cpu.idle", "5.15"),
        (2, "idle", "cpu.idle", "5.15"),
    ],
)
def test_an_older_kernel(tmp_path: Path, version: int, key: str, file: str, since: str) -> None:
    _, cgroups = with_groups(tmp_path, version, {"web": {file: None}})
    require(cgroups, "/web", cgroups.read("/web"), frozenset({"quota", "shares"}), "lxc:web")
    error = refused(cgroups, "/web", key)
    assert type(error) is Unsupported
    assert error.message == f"--{key}: /sys/fs/cgroup/web has no {file}"
    assert error.hint == f"Linux has it since {since}; see: uname -r"


BARE: Files = {"cpu.max": None, "cpu.weight": None, "cpu.max.burst": None, "cpu.idle": None}


def test_a_controller_that_is_not_enabled_above(tmp_path: Path) -> None:
    scratch, cgroups = with_groups(tmp_path, 2, {"a": {"cgroup.subtree_control": ""}, "a/b": BARE})
    error = refused(cgroups, "/a/b", "quota")
    assert type(error) is Unsupported
    assert error.message == "the cpu controller is not enabled for /a/b"
    assert error.hint == f"echo +cpu >{scratch.directory}/sys/fs/cgroup/a/cgroup.subtree_control"


def test_every_level_is_named_from_the_top_down(tmp_path: Path) -> None:
    none: Files = {**BARE, "cgroup.subtree_control": "memory"}
    scratch, cgroups = with_groups(tmp_path, 2, {"a": {"cgroup.subtree_control": ""}, "a/b": none, "a/b/c": none})
    mount = f"{scratch.directory}/sys/fs/cgroup"
    assert disabled_above(cgroups, "/a/b/c") == ["/a", "/a/b"]
    assert refused(cgroups, "/a/b/c", "weight").hint == (
        f"echo +cpu | tee {mount}/a/cgroup.subtree_control {mount}/a/b/cgroup.subtree_control"
    )


def test_real_time_tasks_that_stand_in_the_way_are_named(tmp_path: Path) -> None:
    scratch, cgroups = with_groups(tmp_path, 2, {"a": {"cgroup.subtree_control": ""}, "a/b": BARE})
    for pid, comm, policy, cgroup in (
        (7, "rtkit (x) y", 1, "/system.slice"),
        (8, "fifo-at-root", 1, "/"),
        (9, "ordinary", 0, "/a"),
        (10, "round", 2, "/a"),
    ):
        zeros = " ".join(["0"] * 37)
        scratch.file(f"/proc/{pid}/stat", f"{pid} ({comm}) S {zeros} {policy} 0 0\n")
        scratch.file(f"/proc/{pid}/cgroup", f"0::{cgroup}\n")
    assert sorted(realtime_tasks(cgroups)) == ["round (10)", "rtkit (x) y (7)"]
    hint = refused(cgroups, "/a/b", "quota").hint or ""
    assert hint.partition("  # ")[2] == (
        "if it says Invalid argument: real-time tasks outside the root cgroup stand in the way: "
        "round (10), rtkit (x) y (7)"
    )


def test_a_unit_without_the_controller_gets_it_from_systemd(tmp_path: Path) -> None:
    _, cgroups = with_groups(
        tmp_path, 2, {"system.slice": {"cgroup.subtree_control": ""}, "system.slice/x.service": BARE}
    )
    error = refused(cgroups, "/system.slice/x.service", "quota")
    assert type(error) is Unsupported
    assert error.message == "the cpu controller is not enabled for /system.slice/x.service"
    assert error.hint == "systemd enables it with the first limit: cputune set lxc:web --shares 1024 --live"


@pytest.mark.parametrize("version", [1, 2])
def test_a_group_that_went_away(tmp_path: Path, version: int) -> None:
    _, cgroups = with_groups(tmp_path, version)
    error = refused(cgroups, "/gone", "quota")
    assert type(error) is WrongState
    assert (error.message, error.hint) == ("cgroup /gone went away", "list what runs: cputune status")


def test_a_version_1_directory_without_the_files(tmp_path: Path) -> None:
    names = ("cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us", "cpu.idle")
    _, cgroups = with_groups(tmp_path, 1, {"odd": dict.fromkeys(names)})
    error = refused(cgroups, "/odd", "shares")
    assert type(error) is Unsupported
    assert (error.message, error.hint) == ("/sys/fs/cgroup/odd has no cpu.shares", "ls /sys/fs/cgroup/odd")
