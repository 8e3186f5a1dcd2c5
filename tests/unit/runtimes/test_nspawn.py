"""systemd-nspawn, as machined tells of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cputune.core.errors import NoSuchDomain
from cputune.core.model import Details
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import lookup
from tests.support.hosts import MOUNT, Scratch, lay_out, read


def test_the_details_of_a_machine(cgroups: Cgroups) -> None:
    assert lookup.find(cgroups, "nspawn:mydom").details == Details(
        unit="systemd-nspawn@mydom.service", pid=718, started_by="systemd-nspawn"
    )


def test_a_machine_in_a_scope_of_its_own_is_transient_without_an_image(scratch: Scratch, cgroups: Cgroups) -> None:
    scope = "machine-direct\\x2dx.scope"
    scratch.group("cgroup2", f"{MOUNT}/machine.slice/{scope}")
    scratch.group("cgroup2", f"{MOUNT}/machine.slice/{scope}/payload")
    scratch.process(900, f"0::/machine.slice/{scope}/payload\n")
    escaped = scope.replace("\\", "\\\\")
    scratch.file(
        "/run/systemd/machines/direct-x", f"NAME=direct-x\nSCOPE={escaped}\nSERVICE=systemd-nspawn\nLEADER=900\n"
    )
    found = lookup.find(cgroups, "nspawn:direct-x")
    assert (found.limit_cgroup, found.persistent) == (f"/machine.slice/{scope}", False)
    for path in ("/var/lib/machines/direct-x", "/etc/systemd/nspawn/direct-x.nspawn", "/var/lib/machines/direct-x.raw"):
        scratch.file(path)
        assert lookup.find(cgroups, "nspawn:direct-x").persistent
        scratch.path(path).unlink()


@pytest.mark.parametrize("text", ["", "LEADER=\n", "LEADER=abc\n", "LEADER=99999\n", "=\n\n===\n"])
def test_a_machine_whose_leader_is_gone_does_not_run(scratch: Scratch, cgroups: Cgroups, text: str) -> None:
    scratch.file("/run/systemd/machines/mydom", text)
    found = lookup.find(cgroups, "nspawn:mydom")
    assert (found.running, found.persistent) == (False, True)


@pytest.mark.parametrize("file", [".#mydomXYZ", ".host", "..x"])
def test_a_file_that_machined_is_writing_is_no_machine(scratch: Scratch, cgroups: Cgroups, file: str) -> None:
    before = list(lookup.domains(cgroups))
    scratch.file(f"/run/systemd/machines/{file}", scratch.text("/run/systemd/machines/mydom"))
    assert list(lookup.domains(cgroups)) == before
    with pytest.raises(NoSuchDomain):
        lookup.find(cgroups, f"nspawn:{file}")


def test_a_machine_on_v1_without_a_cgroup_for_cpu_is_at_its_units_own(tmp_path: Path) -> None:
    scratch = lay_out(read("debian13-legacy"), tmp_path)
    cgroup = "/machine.slice/systemd-nspawn@mydom.service"
    shutil.rmtree(scratch.path(f"{MOUNT}/cpu,cpuacct{cgroup}"))
    scratch.file("/proc/669/cgroup", f"2:cpu,cpuacct:/machine.slice\n1:name=systemd:{cgroup}/payload\n")
    found = lookup.find(Cgroups(scratch.host), "nspawn:mydom")
    assert (found.running, found.limit_cgroup, found.weight_cgroup) == (True, cgroup, cgroup)


def test_a_machine_whose_unit_is_nowhere_does_not_run(tmp_path: Path) -> None:
    scratch = lay_out(read("debian13-legacy"), tmp_path)
    scratch.file("/proc/669/cgroup", "2:cpu,cpuacct:/machine.slice\n")
    for tree in ("cpu,cpuacct", "systemd"):
        shutil.rmtree(scratch.path(f"{MOUNT}/{tree}/machine.slice/systemd-nspawn@mydom.service"))
    found = lookup.find(Cgroups(scratch.host), "nspawn:mydom")
    assert (found.running, found.limit_cgroup) == (False, None)
