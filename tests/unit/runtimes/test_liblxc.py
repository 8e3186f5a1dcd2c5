"""The monitors of LXC, incus and LXD."""

from __future__ import annotations

import pytest

from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import lookup
from tests.support.hosts import Scratch

HOST = "debian13-runtimes"


@pytest.mark.parametrize("uids", ["1000\t1000\t1000\t1000", "1000\t0\t0\t0", "0\t0\t1000\t0", ""])
def test_a_process_that_only_calls_itself_a_monitor_is_none(scratch: Scratch, cgroups: Cgroups, uids: str) -> None:
    """Its owner is not the one whose containers those are."""

    assert lookup.find(cgroups, "incus:mydom").running
    scratch.file("/proc/1024/status", f"Name:\tlxc\nUid:\t{uids}\n")
    assert not lookup.find(cgroups, "incus:mydom").running


def test_a_monitor_that_runs_a_setuid_program_is_none(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.path("/proc/1024/exe").resolve().chmod(0o4755)
    assert not lookup.find(cgroups, "incus:mydom").running
