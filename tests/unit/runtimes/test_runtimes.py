"""Single runtimes, where a recorded host does not say enough."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cputune.core.errors import NoSuchDomain, Unsupported
from cputune.core.model import Details, Scale
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import lookup, run
from cputune.runtimes.systemd import slice_path
from tests.support.hosts import Scratch, lay_out, read

MOUNT = "/sys/fs/cgroup"


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return lay_out(read("debian13-unified"), tmp_path)


@pytest.fixture
def cgroups(scratch: Scratch) -> Cgroups:
    return Cgroups(scratch.host)


@pytest.mark.parametrize(("pid", "gone"), [(438, "libvirt:mydom"), (742, "lxc:mydom"), (718, "nspawn:mydom")])
def test_a_domain_outside_the_mount_does_not_end_the_list(
    scratch: Scratch, cgroups: Cgroups, pid: int, gone: str
) -> None:
    before = list(lookup.domains(cgroups))
    scratch.file(f"/proc/{pid}/cgroup", "0::/../elsewhere\n")
    found = list(lookup.domains(cgroups))  # with the units that were its own
    assert [domain for domain in found if domain in before] == [domain for domain in before if domain.qualified != gone]
    with pytest.raises(Unsupported) as caught:
        lookup.find(cgroups, gone)
    assert caught.value.message == "cgroup /../elsewhere is outside this cgroup namespace"


# --- libvirt ----------------------------------------------------------------------------------------------------------


def test_libvirts_shares_are_the_weight_on_v2_and_shares_on_v1(scratch: Scratch, tmp_path: Path) -> None:
    on_v2 = lookup.find(Cgroups(scratch.host), "libvirt:mydom")
    on_v1 = lookup.find(Cgroups(lay_out(read("debian13-legacy"), tmp_path / "v1").host), "libvirt:mydom")
    assert (on_v2.scale, on_v1.scale) == (Scale.WEIGHT, Scale.KERNEL)
    assert on_v2.details == Details(id="438", uuid="6433a6ff439a48b49078e60384bdc7a6")
    weight, limit = on_v2.knob_cgroups()
    assert (weight.carries, limit.carries) == (("shares", "weight", "idle"), ("period", "quota", "burst"))


@pytest.mark.parametrize("text", ["", "abc\n", "0\n", "99999\n"])
def test_a_libvirt_domain_whose_process_is_gone_does_not_run(scratch: Scratch, cgroups: Cgroups, text: str) -> None:
    scratch.file("/run/libvirt/lxc/mydom.pid", text)
    found = lookup.find(cgroups, "libvirt:mydom")
    assert (found.running, found.persistent, found.limit_cgroup, found.knob_cgroups()) == (False, True, None, ())


def test_a_process_id_that_another_program_has_now_is_not_libvirts(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.process(438, "0::/system.slice/ssh.service\n", "/usr/sbin/sshd -D")
    assert not lookup.find(cgroups, "libvirt:mydom").running


def test_a_transient_libvirt_domain_that_ended_is_none(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.path("/etc/libvirt/lxc/mydom.xml").unlink()
    assert not lookup.find(cgroups, "libvirt:mydom").persistent
    scratch.path("/proc/438/comm").unlink()
    with pytest.raises(NoSuchDomain, match=r"^no domain libvirt:mydom$"):
        lookup.find(cgroups, "libvirt:mydom")
    assert "libvirt:mydom" not in [domain.qualified for domain in lookup.domains(cgroups)]


def test_a_libvirt_domain_named_like_a_number_is_found_by_its_name_first(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.file("/etc/libvirt/lxc/438.xml", "<domain type='lxc'><name>438</name></domain>")
    assert lookup.find(cgroups, "libvirt:438").name == "438"


# --- machined ---------------------------------------------------------------------------------------------------------


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


# --- LXC --------------------------------------------------------------------------------------------------------------


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


# --- systemd ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("-.slice", "/"),
        ("system.slice", "/system.slice"),
        ("a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice"),
        ("system-serial\\x2dgetty.slice", "/system.slice/system-serial\\x2dgetty.slice"),
    ],
)
def test_slices_are_nested_by_their_names(name: str, path: str) -> None:
    assert slice_path(name) == path


@pytest.mark.parametrize(
    ("file", "unit", "persistent"),
    [
        ("/etc/systemd/system/x.service", "x.service", True),
        ("/usr/lib/systemd/system/x.service", "x.service", True),
        ("/lib/systemd/system/x.service", "x.service", True),
        ("/run/systemd/generator/x.mount", "x.mount", True),
        ("/usr/local/lib/systemd/system/x@.service", "x@1.service", True),
        ("/run/systemd/transient/x.service", "x.service", False),
        ("/run/systemd/transient/x.slice", "x.slice", False),
        ("/etc/systemd/user/x.service", "x.service", False),
        (None, "x.scope", False),
        (None, "x.slice", True),
    ],
)
def test_a_unit_is_persistent_by_its_file(
    scratch: Scratch, cgroups: Cgroups, file: str | None, unit: str, persistent: bool
) -> None:
    where = f"/{unit}" if unit.endswith(".slice") else f"/system.slice/{unit}"
    scratch.group("cgroup2", MOUNT + where)
    if file:
        scratch.file(file)
    found = lookup.find(cgroups, f"systemd:{unit}")
    assert (found.running, found.persistent, found.limit_cgroup) == (True, persistent, where)


def test_a_unit_with_a_file_that_does_not_run(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.file("/etc/systemd/system/quiet.service")
    assert lookup.find(cgroups, "quiet.service")[2:6] == (False, True, None, None)


def test_a_unit_is_found_in_whatever_slice_it_is(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.group("cgroup2", f"{MOUNT}/lab.slice/lab-x.slice/deep.service")
    assert lookup.find(cgroups, "deep.service").limit_cgroup == "/lab.slice/lab-x.slice/deep.service"


@pytest.mark.parametrize("name", ["org.foo", "a.b.c", "x", "service", "y.timer"])
def test_a_name_without_a_kind_of_unit_is_a_service(scratch: Scratch, cgroups: Cgroups, name: str) -> None:
    scratch.group("cgroup2", f"{MOUNT}/system.slice/{name}.service")
    found = lookup.find(cgroups, f"systemd:{name}")
    assert (found.name, found.limit_cgroup) == (f"{name}.service", f"/system.slice/{name}.service")
    with pytest.raises(NoSuchDomain):
        lookup.find(cgroups, name)


def test_without_systemd_there_is_no_unit(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.path("/run/systemd/system/reboot.target").unlink()
    scratch.path("/run/systemd/system").rmdir()
    with pytest.raises(NoSuchDomain, match=r"^no domain ssh\.service$"):
        lookup.find(cgroups, "ssh.service")
    assert not [domain for domain in lookup.domains(cgroups) if domain.runtime == "systemd"]


# --- run and pid ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["build", "a b", "../../x", "ü", "x" * 300])
def test_a_command_of_cputune_run(scratch: Scratch, cgroups: Cgroups, name: str) -> None:
    run.write(scratch.host, run.Record(name, 828, "/mydom-cg", 827))
    found = lookup.find(cgroups, f"run:{name}")
    assert (found.name, found.limit_cgroup, found.persistent, found.details) == (
        name,
        "/mydom-cg",
        False,
        Details(pid=828),
    )
    assert found in list(lookup.domains(cgroups, ("run",)))
    run.remove(scratch.host, name)
    run.remove(scratch.host, name)
    assert list(lookup.domains(cgroups, ("run",))) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "828\n",
        "828\n/mydom-cg\n",
        "828\n/mydom-cg\n\n827\n",
        "828\n/mydom-cg\nx\nsoon\n",
        "828\nmydom-cg\nx\n827\n",
        "828\n/gone\nx\n827\n",
        "828\n/../etc\nx\n827\n",
        "\0",
    ],
)
def test_a_record_of_nothing_that_runs(scratch: Scratch, cgroups: Cgroups, text: str) -> None:
    scratch.file("/run/cputune/run/x", text)
    assert list(lookup.domains(cgroups, ("run",))) == []
    with pytest.raises(NoSuchDomain):
        lookup.find(cgroups, "run:x")


def test_a_record_of_nothing_leaves_the_list_of_all_as_it_is(scratch: Scratch, cgroups: Cgroups) -> None:
    before = list(lookup.domains(cgroups))
    scratch.file("/run/cputune/run/x", "828\n/../etc\nx\n827\n")
    assert list(lookup.domains(cgroups)) == before


def test_a_command_in_a_scope_is_listed_once(scratch: Scratch, cgroups: Cgroups) -> None:
    cgroup = "/system.slice/cputune-x.scope"
    scratch.group("cgroup2", MOUNT + cgroup)
    scratch.file(f"{cgroups.directory(cgroup)}/cgroup.procs", "828\n")
    run.write(scratch.host, run.Record("x", 828, cgroup, 827))
    assert [domain.qualified for domain in lookup.domains(cgroups) if domain.limit_cgroup == cgroup] == ["run:x"]


def test_threads_elsewhere_than_their_process(scratch: Scratch, cgroups: Cgroups) -> None:
    for task, group in ((829, "/mydom-cg/a"), (830, "/mydom-cg/b"), (831, "/mydom-cg")):
        scratch.file(f"/proc/828/task/{task}/cgroup", f"0::{group}\n")
    assert lookup.find(cgroups, "pid:828").details == Details(
        process="sleep", threads_also_in=("/mydom-cg/a", "/mydom-cg/b")
    )
