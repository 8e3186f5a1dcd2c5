"""The files of cgroup v1 and v2: what they say, read through `Cgroups`."""

from __future__ import annotations

from pathlib import Path

import pytest

from cputune.core.errors import WrongState
from cputune.core.knobs import UNLIMITED
from cputune.core.model import CpuTune, Stats
from cputune.host.cgroup.bandwidth import Limit
from cputune.host.cgroup.cgroups import Cgroups, Limits
from tests.support.hosts import Scratch, lay_out, read, with_groups


def test_version_1(tmp_path: Path) -> None:
    _, cgroups = with_groups(
        tmp_path, 1, {"web": {"cpu.cfs_quota_us": "50000", "cpu.cfs_burst_us": "5000", "cpu.shares": "512"}}
    )
    assert cgroups.read("/web") == CpuTune(shares=512, period=100000, quota=50000, burst=5000, idle=False)


def test_version_2(tmp_path: Path) -> None:
    _, cgroups = with_groups(tmp_path, 2, {"web": {"cpu.max": "50000 200000", "cpu.weight": "50", "cpu.idle": "1"}})
    assert cgroups.read("/web") == CpuTune(weight=50, period=200000, quota=50000, burst=0, idle=True)


@pytest.mark.parametrize("version", [1, 2])
def test_no_limit(tmp_path: Path, version: int) -> None:
    _, cgroups = with_groups(tmp_path, version, {"web": {}})
    assert (cgroups.read("/web").quota, cgroups.read("/web").limit_cpus, cgroups.limit("/web")) == (
        UNLIMITED,
        None,
        None,
    )


@pytest.mark.parametrize("version", [1, 2])
def test_a_group_that_went_away(tmp_path: Path, version: int) -> None:
    scratch, cgroups = with_groups(tmp_path, version)
    with pytest.raises(WrongState) as caught:
        cgroups.read("/gone")
    assert caught.value.message == f"cannot read {scratch.directory}/sys/fs/cgroup/gone: No such file or directory"
    assert caught.value.hint == "it disappeared in the meantime; list what is running: cputune status"
    assert cgroups.limit("/gone") is None


@pytest.mark.parametrize("name", ["debian13-legacy", "split-v1", "debian13-unified"])
def test_usage_is_counted_wherever_it_is(tmp_path: Path, name: str) -> None:
    cgroups = Cgroups(lay_out(read(name), tmp_path).host)
    group = "/job" if name == "split-v1" else "/mydom"
    assert cgroups.stats(group) == Stats(2500000, 100, 25, 1500000)


@pytest.fixture
def tree(tmp_path: Path) -> Scratch:
    quotas = {"a": "80000", "a/b": "-1", "a/b/c": "40000", "a/b/c/d": "10000", "a/e": "60000", "f": "-1"}
    scratch, _ = with_groups(tmp_path, 1, {name: {"cpu.cfs_quota_us": quota} for name, quota in quotas.items()})
    return scratch


def test_what_the_hierarchy_allows_on_version_1(tree: Scratch) -> None:
    cgroups = Cgroups(tree.host)
    assert cgroups.bounds("/a/b") == (Limit("/a", 80000, 100000), Limit("/a/b/c", 40000, 100000))
    assert cgroups.bounds("/a") == (None, Limit("/a/e", 60000, 100000))
    assert cgroups.bounds("/a/b/c/d") == (Limit("/a/b/c", 40000, 100000), None)
    assert cgroups.bounds("/f") == (None, None)


def test_limits_that_are_planned_count_as_if_they_were_there(tree: Scratch) -> None:
    cgroups = Cgroups(tree.host)
    raised = Limit("/a", 90000, 100000)
    assert cgroups.bounds("/a/b", Limits(cgroups, {"/a": raised, "/a/b/c": None})) == (
        raised,
        Limit("/a/b/c/d", 10000, 100000),
    )
    assert cgroups.bounds("/a/b", Limits(cgroups, {"/a": None})).ancestor is None


def test_the_tightest_limit_above(tree: Scratch) -> None:
    cgroups = Cgroups(tree.host)
    assert cgroups.ancestors("/a/b/c/d") == ["/a/b/c", "/a/b", "/a"]
    assert cgroups.tightest_limit("/a/b/c/d") == Limit("/a/b/c", 40000, 100000)
    assert cgroups.tightest_limit("/a") is None


def test_version_2_has_no_bounds(tmp_path: Path) -> None:
    _, cgroups = with_groups(tmp_path, 2, {"a": {"cpu.max": "50000 100000"}, "a/b": {}})
    assert cgroups.bounds("/a/b") == (None, None)
    assert cgroups.tightest_limit("/a/b") == Limit("/a", 50000, 100000)


def test_the_ancestors_end_at_the_root_of_the_mount(tmp_path: Path) -> None:
    cgroups = Cgroups(lay_out(read("inside-without-namespace"), tmp_path).host)
    assert cgroups.ancestors("/docker/baacfb6f9f6f/job/a") == ["/docker/baacfb6f9f6f/job"]
