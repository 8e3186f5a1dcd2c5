"""The monitors of LXC, incus and LXD."""

from __future__ import annotations

from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.system import Host
from cputune.runtimes import lookup
from tests.support.hosts import Scratch

HOST = "debian13-runtimes"


def test_a_process_that_only_calls_itself_a_monitor_is_none(scratch: Scratch) -> None:
    """Its owner is not the one whose containers those are."""

    class Owners(Host):
        def owner(self, path: str) -> int | None:
            return 1000 if path == "/proc/1024" else 0

    host = Owners(str(scratch.directory), state_dir=f"{scratch.directory}/run/cputune")
    assert lookup.find(Cgroups(scratch.host), "incus:mydom").running
    assert not lookup.find(Cgroups(host), "incus:mydom").running
