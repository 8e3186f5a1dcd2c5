"""LXC: containers, their names, and what users may make root believe of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cputune.core.model import Details
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import lookup
from cputune.runtimes.lookup import find
from tests.support.containers import add_lxc
from tests.support.fakekernel import FakeKernel
from tests.support.hosts import MOUNT, Scratch, lay_out, read
from tests.support.owners import OwnedByPath


@pytest.mark.parametrize("owner", [0, 1000])
def test_a_user_cannot_say_where_his_container_is(v2: FakeKernel, owner: int) -> None:
    add_lxc(v2, "evil")
    v2.put_file("/home/u/lxc/evil/config", "lxc.cgroup.dir.container = /user.slice\n")
    v2.mkdir("/sys/fs/cgroup/user.slice")
    v2.add_process(7001, "/user.slice", "[lxc monitor] /home/u/lxc evil")
    v2.add_process(7002, "/user.slice", "/sbin/init", parent=7001)
    v2.put_file("/proc/7001/task/7001/children", "7002 ")
    sockets = v2.read("/proc/1/net/unix").replace("@/var/lib/lxc/evil/command", "@/home/u/lxc/evil/command")
    v2.put_file("/proc/1/net/unix", sockets)
    v2.foreign = OwnedByPath(v2.root, {"/home": owner})
    v2.put_file("/proc/7001/status", f"Name:\tlxc\nUid:\t{owner}\t{owner}\t{owner}\t{owner}\n")
    if owner == 0:
        assert find(Cgroups(v2), "lxc:evil").limit_cgroup == "/user.slice"
    else:
        assert not find(Cgroups(v2), "lxc:evil").running
        assert not find(Cgroups(v2), "lxc:1000/evil").running


def test_lxcs_own_directory_wins_over_another_with_the_same_name(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.group("cgroup2", f"{MOUNT}/lxc.payload.mydom-2")
    scratch.process(2000, "0::/\n", "[lxc monitor] /srv/lxc mydom")
    scratch.process(2001, "0::/lxc.payload.mydom-2\n", "/sbin/init", 2000)
    line = "0000000000000000: 00000002 00000000 00010000 0001 01 77 @/srv/lxc/mydom/command\n"
    scratch.file("/proc/1/net/unix", line + scratch.text("/proc/1/net/unix"))
    assert lookup.find(cgroups, "lxc:mydom").limit_cgroup == "/lxc.payload.mydom"
    assert lookup.find(cgroups, "lxc:mydom").details == Details(pid=742, lxcpath="/var/lib/lxc")


def test_a_container_that_is_being_stopped_does_not_run(scratch: Scratch, cgroups: Cgroups) -> None:
    for name in ("cgroup", "cmdline"):
        scratch.path(f"/proc/742/{name}").unlink()
    assert not lookup.find(cgroups, "lxc:mydom").running


def test_without_the_list_of_sockets_no_container_runs(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.path("/proc/1/net/unix").unlink()
    assert not lookup.find(cgroups, "lxc:mydom").running


@pytest.mark.parametrize("cgroup", ["/lxc/lxc", "/lxc/lxc-1", "/lxc.payload/lxc", "/lxc.payload.lxc"])
def test_a_container_called_lxc(tmp_path: Path, cgroup: str) -> None:
    scratch = lay_out(read("lxc-3.0"), tmp_path)
    scratch.file("/proc/1/net/unix", "0: 2 0 10000 1 1 9 @/var/lib/lxc/lxc/command\n")
    scratch.process(400, "4:cpu,cpuacct:/user.slice\n", "[lxc monitor] /var/lib/lxc lxc")
    scratch.process(401, f"4:cpu,cpuacct:{cgroup}/init.scope\n", "/sbin/init", 400)
    assert lookup.find(Cgroups(scratch.host), "lxc:lxc").limit_cgroup == cgroup


@pytest.mark.parametrize("name", ["web one", "wéb", "a\\x2db", "web-1", "[x]", "*", "a.service", "-x", "10", "a:b"])
def test_odd_names_of_containers(scratch: Scratch, cgroups: Cgroups, name: str) -> None:
    sockets = scratch.text("/proc/1/net/unix")
    line = f"0000000000000000: 00000002 00000000 00010000 0001 01 77 @/var/lib/lxc/{name}/command\n"
    scratch.file("/proc/1/net/unix", sockets + line)
    for kind in ("monitor", "payload"):
        scratch.group("cgroup2", f"{MOUNT}/lxc.{kind}.{name}")
    scratch.process(2000, f"0::/lxc.monitor.{name}\n", f"[lxc monitor] /var/lib/lxc {name}")
    scratch.process(2001, f"0::/lxc.payload.{name}\n", "/sbin/init", 2000)
    found = lookup.find(cgroups, f"lxc:{name}")
    assert (found.name, found.limit_cgroup, found.persistent) == (name, f"/lxc.payload.{name}", False)
    assert found in list(lookup.domains(cgroups))
