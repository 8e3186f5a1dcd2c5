"""runc and crun by their state directories."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cputune.core.model import Scale
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import lookup
from cputune.runtimes.lookup import of_cgroup
from tests.support.commandline import CommandLine
from tests.support.fakekernel import FakeKernel
from tests.support.finding import names
from tests.support.hosts import Scratch, lay_out, read

HOST = "debian13-runtimes"
MYDOM = "2776f297f7376082ce83d6f6f7dbf99cbc892ae67b295a30c8b878c856dc30a5"


@pytest.mark.parametrize("recorded", ["1000", "999"])
def test_the_state_of_crun_is_of_the_process_that_started_then(
    scratch: Scratch, cgroups: Cgroups, recorded: str
) -> None:
    stat = scratch.text("/proc/1397/stat")
    name, _, rest = stat.rpartition(") ")
    fields = rest.split(" ")
    fields[19] = "1000"
    scratch.file("/proc/1397/stat", f"{name}) {' '.join(fields)}")
    status = scratch.text("/run/crun/mydom/status").replace('time": 0', f'time": {recorded}')
    scratch.file("/run/crun/mydom/status", status)
    assert lookup.find(cgroups, "oci:crun/mydom").running is (recorded == "1000")


def test_the_state_of_a_users_crun_cannot_either(scratch: Scratch, cputune: CommandLine) -> None:
    state = {"pid": 383, "cgroup-path": "/system.slice/mydom.service", "scope": "", "bundle": "/home/labuser"}
    scratch.file("/run/user/1000/crun/evil/status", json.dumps(state))
    done = cputune(scratch.host, "set", "oci:1000/crun/evil", "--cpus", "0.01", "--live")
    assert done.status == 4
    assert "its cgroup /system.slice/mydom.service does not belong to user 1000" in done.err


def test_runc_and_crun_have_directories_of_their_own(cgroups: Cgroups) -> None:
    assert names(cgroups, "oci") == ["runc/mydom", "runc/mydom-sd", "crun/mydom", "crun/mydom-sd"]
    assert lookup.find(cgroups, "oci:crun/mydom-sd").mirrored
    assert not lookup.find(cgroups, "oci:runc/mydom-sd").mirrored


@pytest.mark.parametrize("labels", [5, "bundle=/x", {"bundle": "/x"}, [5, None], [], ["bundle=/srv/web", "bundle=/x"]])
def test_odd_labels_of_a_users_runc_end_no_list(scratch: Scratch, cgroups: Cgroups, labels: object) -> None:
    record = {"init_process_pid": 874, "cgroup_paths": {"": "/sys/fs/cgroup/x"}, "config": {"labels": labels}}
    scratch.file("/run/user/1000/runc/odd/state.json", json.dumps(record))
    found = next(domain for domain in lookup.domains(cgroups, ("oci",)) if domain.name == "1000/runc/odd")
    assert found.details.bundle == ("/srv/web" if labels and labels == ["bundle=/srv/web", "bundle=/x"] else "")


def test_a_state_of_runc_on_v1_is_read_by_the_cpu_hierarchy(tmp_path: Path) -> None:
    scratch = lay_out(read("debian13-legacy"), tmp_path)
    mount = "/sys/fs/cgroup/cpu,cpuacct"
    scratch.group("cpu,cpuacct", f"{mount}/here/box")
    scratch.process(901, "8:cpu,cpuacct:/here/box\n1:name=systemd:/elsewhere\n")
    paths = {"cpu": f"{mount}/here/box", "memory": "/sys/fs/cgroup/memory/here/box"}
    scratch.file("/run/runc/box/state.json", json.dumps({"init_process_pid": 901, "cgroup_paths": paths}))
    found = lookup.find(Cgroups(scratch.host), "oci:box")
    assert (found.name, found.limit_cgroup, found.scale) == ("runc/box", "/here/box", Scale.KERNEL)


@pytest.mark.parametrize(
    ("program", "id_", "cgroup", "found"),
    [
        ("crun", "box", "/box", "oci:crun/box"),
        ("runc", "box", "/some/lab-box.scope", "oci:runc/box"),
        ("crun", "a-b", "/lab-a-b", "oci:crun/a-b"),
        ("crun", "box", "/boxes", None),
        ("crun", "a" * 64, f"/{'a' * 64}", None),  # podman's, most likely
    ],
)
def test_a_bare_container_is_known_before_its_record_is_there(
    v2: FakeKernel, program: str, id_: str, cgroup: str, found: str | None
) -> None:
    v2.put_file(f"/run/{program}/{id_}/exec.fifo", "")
    for part in range(1, cgroup.count("/") + 1):
        v2.mkdir("/sys/fs/cgroup" + "/".join(cgroup.split("/")[: part + 1]))
    domain = next(of_cgroup(Cgroups(v2), cgroup, ("oci",)), None)
    assert (domain.qualified if domain else None) == found
    if domain:
        assert (domain.limit_cgroup, domain.running) == (cgroup, True)
