"""podman: its storage, odd records, and what users may make root believe."""

from __future__ import annotations

import json

import pytest

from cputune.core.errors import NoSuchDomain, WrongState
from cputune.core.model import Change
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import lookup
from tests.support.commandline import CommandLine
from tests.support.finding import MYDOM, USERS, names
from tests.support.hosts import Scratch

HOST = "debian13-runtimes"
STORAGE = "/var/lib/containers/storage/overlay-containers"


def test_what_others_keep_in_podmans_storage_is_not_podmans(scratch: Scratch, cgroups: Cgroups) -> None:
    path = f"{STORAGE}/containers.json"
    entries = json.loads(scratch.text(path))
    buildah = {"id": "c" * 64, "names": ["alpine-working-container"], "metadata": ""}
    crio = {"id": "d" * 64, "names": ["k8s_web"], "metadata": '{"pod-name":"web","created-at":1}'}
    odd = [{"id": 5, "names": ["x"]}, {"id": "e" * 64}, "text", None, {"id": "e" * 64, "names": []}]
    scratch.file(path, json.dumps([*entries, buildah, crio, *odd]))
    assert names(cgroups, "podman") == ["mydom", "created", "rmed", "1000/mydom"]


def test_a_storage_elsewhere(scratch: Scratch, cgroups: Cgroups) -> None:
    entries = scratch.text(f"{STORAGE}/containers.json")
    scratch.file(
        "/etc/containers/storage.conf", '[storage]\ndriver = "vfs"\ngraphroot = "/srv/pods"\nrunroot = "/run/pods"\n'
    )
    scratch.file("/srv/pods/vfs-containers/containers.json", entries)
    assert names(cgroups, "podman") == ["mydom", "created", "1000/mydom"]
    assert lookup.find(cgroups, "podman:mydom").running


def test_a_pidfile_that_outlived_its_process_is_no_running_container(scratch: Scratch, cgroups: Cgroups) -> None:
    id_ = lookup.find(cgroups, "podman:mydom").details.id
    scratch.path(f"/run/crun/{id_}/status").unlink()
    scratch.file(f"/run/containers/storage/overlay-containers/{id_}/userdata/pidfile", "383")
    assert not lookup.find(cgroups, "podman:mydom").running
    scratch.file(f"/run/containers/storage/overlay-containers/{id_}/userdata/pidfile", "3542")
    assert lookup.find(cgroups, "podman:mydom").mirrored


def test_a_users_container_without_a_cgroup_of_its_own_is_not_taken_for_the_users_slice(
    scratch: Scratch, cputune: CommandLine
) -> None:
    scratch.file("/proc/874/cgroup", "0::/user.slice\n")
    done = cputune(scratch.host, "set", "podman:1000/mydom", "--cpus", "1", "--live")
    assert done.status == 4
    assert "it has no cpu cgroup of its own, but is in /user.slice" in done.err
    assert "unreadable" in cputune(scratch.host, "status").out


def test_a_user_who_copies_an_id_gets_no_command_of_roots_for_it(
    scratch: Scratch, cgroups: Cgroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """His own container has root's id; what --native would run is run as him, on his own daemon."""
    from cputune.core.model import CpuTune
    from cputune.runtimes.native import docker, podman
    from cputune.runtimes.native.settings import RunCommand, WantedSettings

    monkeypatch.setattr("cputune.runtimes.native.podman.refuse_other_host", lambda *_: None)
    scratch.file(f"{USERS}/{MYDOM}/config.v2.json", '{"Name":"/evil","State":{"Running":false}}')
    storage = "/home/labuser/.local/share/containers/storage/overlay-containers/containers.json"
    entry = json.loads(scratch.text(f"{STORAGE}/containers.json"))[0] | {"names": ["evil"]}
    scratch.file(storage, json.dumps([entry]))
    wanted = WantedSettings(Change(quota=50000, period=100000), CpuTune())
    (run,) = docker.plan(cgroups, lookup.find(cgroups, "docker:1000/evil"), wanted).forward
    assert isinstance(run, RunCommand)
    assert (run.user, run.argv[2]) == (1000, f"unix://{scratch.directory}/run/user/1000/docker.sock")
    running = lookup.find(cgroups, "podman:1000/evil")._replace(running=True)
    (run,) = podman.plan(cgroups, running, wanted).forward
    assert isinstance(run, RunCommand)
    assert run.user == 1000


def test_a_name_without_an_owner_is_never_another_users(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.path(f"{STORAGE}/containers.json").unlink()
    with pytest.raises(NoSuchDomain, match="no domain podman:mydom"):
        lookup.find(cgroups, "podman:mydom")
    scratch.host.uid = 1000
    assert lookup.find(cgroups, "podman:mydom").name == "1000/mydom"
    assert lookup.find(cgroups, "podman:b127040b448a").name == "1000/mydom"
    assert lookup.find(cgroups, "oci:runc/mydom").name == "runc/mydom"


NUL = '[{"id": "\\u0000", "names": ["x"], "metadata": "\\"created-at\\""}]'


@pytest.mark.parametrize("text", ["", "[{", "{}", '[{"id": "' + "a" * 64 + '", "names": [1]}]', NUL])
def test_a_users_broken_list_stands_in_nobodys_way(scratch: Scratch, cgroups: Cgroups, text: str) -> None:
    scratch.file("/home/labuser/.local/share/containers/storage/overlay-containers/containers.json", text)
    assert names(cgroups, "podman") == ["mydom", "created", "rmed"]
    assert lookup.find(cgroups, "podman:mydom").name == "mydom"
    scratch.file(f"{STORAGE}/containers.json", "[{")
    with pytest.raises(WrongState, match="half-written, or damaged"):
        lookup.find(cgroups, "podman:mydom")


@pytest.mark.parametrize("name", ["\ud800", "a\x1b[31mb", "x" * 5000, "..", "a\nb", "%00"])
def test_no_name_of_a_users_ends_the_list(scratch: Scratch, cputune: CommandLine, name: str) -> None:
    path = "/home/labuser/.local/share/containers/storage/overlay-containers/containers.json"
    entries = json.loads(scratch.text(path))
    entries[0]["names"] = [name]
    scratch.file(path, json.dumps(entries))
    done = cputune(scratch.host, "status")
    assert done.status == 0
    assert "\x1b" not in done.out
    assert "docker:mydom" in done.out


def test_a_quadlets_container_is_in_the_cgroup_of_its_unit(scratch: Scratch, cgroups: Cgroups) -> None:
    id_ = lookup.find(cgroups, "podman:mydom").details.id
    cgroup = f"/system.slice/mydom.service/libpod-payload-{id_}"
    scratch.group("cgroup2", f"/sys/fs/cgroup{cgroup}")
    scratch.file("/proc/3542/cgroup", f"0::{cgroup}\n")
    assert lookup.find(cgroups, "podman:mydom").limit_cgroup == cgroup


def test_a_container_of_podman_without_cgroups_runs_all_the_same(scratch: Scratch, cputune: CommandLine) -> None:
    id_ = "a15125531255dfafab159d030f52c614019c6ae985c8e6f7ece0f1507e187a71"
    status = json.loads(scratch.text(f"/run/crun/{id_}/status")) | {"cgroup-path": "", "scope": ""}
    scratch.file(f"/run/crun/{id_}/status", json.dumps(status))
    scratch.file("/proc/3542/cgroup", "0::/machine.slice\n")
    done = cputune(scratch.host, "set", "podman:mydom", "--cpus", "1")
    assert (done.status, done.out) == (4, "")


def test_a_scope_of_crun_is_written_with_its_inner_cgroup(scratch: Scratch, cputune: CommandLine) -> None:
    done = cputune(scratch.host, "set", "podman:mydom", "--quota", "50000", "--live", "--dry-run")
    written = [
        line.split(": ")[0].rpartition(".scope")[2] for line in done.out.splitlines() if line.startswith("write ")
    ]
    assert sorted(written) == ["/container/cpu.max", "/cpu.max"]


def test_an_obstacle_ends_no_query_of_the_config(scratch: Scratch, cputune: CommandLine) -> None:
    scratch.file("/proc/874/cgroup", "0::/user.slice\n")
    assert cputune(scratch.host, "schedinfo", "podman:1000/mydom", "--config").status == 0
    assert cputune(scratch.host, "schedinfo", "podman:1000/mydom").status == 4
