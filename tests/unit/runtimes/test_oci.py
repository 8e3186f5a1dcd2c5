"""docker, podman, containerd, runc and crun: odd records, other people's, and what they may not make root believe."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from cputune.core.errors import NoPermission, NoSuchDomain, WrongState
from cputune.core.model import Scale
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.system import Completed, Host
from cputune.runtimes import cri, lookup, oci_container, oci_scale
from tests.support.commandline import CommandLine
from tests.support.hosts import Scratch, lay_out, read

MYDOM = "2776f297f7376082ce83d6f6f7dbf99cbc892ae67b295a30c8b878c856dc30a5"
RECORD = f"/var/lib/docker/containers/{MYDOM}/config.v2.json"
STORAGE = "/var/lib/containers/storage/overlay-containers"
USERS = "/home/labuser/.local/share/docker/containers"


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return lay_out(read("debian13-runtimes"), tmp_path)


@pytest.fixture
def cgroups(scratch: Scratch) -> Cgroups:
    return Cgroups(scratch.host)


def names(cgroups: Cgroups, runtime: str) -> list[str]:
    return [domain.name for domain in lookup.domains(cgroups, (runtime,))]


# --- docker -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", '{"State":{"Runn', "[]", "\x00", '{"a":' * 100000])
def test_a_broken_record_is_said_by_its_id_and_left_out_of_lists(scratch: Scratch, cgroups: Cgroups, text: str) -> None:
    scratch.file(RECORD, text)
    with pytest.raises(WrongState) as caught:
        lookup.find(cgroups, f"docker:{MYDOM}")
    what = "an object" if text == "[]" else "JSON"
    assert caught.value.message == f"{scratch.directory}{RECORD} is not {what}: half-written, or damaged"
    assert "mydom" not in names(cgroups, "docker")
    assert "gone" in names(cgroups, "docker")


def test_a_record_that_is_a_pipe_holds_nobody_up(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.path(RECORD).unlink()
    os.mkfifo(scratch.path(RECORD))
    with pytest.raises(WrongState, match=r": Invalid argument$"):
        lookup.find(cgroups, f"docker:{MYDOM}")


@pytest.mark.parametrize(
    "record",
    [
        {"Name": "/mydom", "State": {"Running": True, "Pid": "3468"}},
        {"Name": "/mydom", "State": {"Running": True, "Pid": -1}},
        {"Name": "/mydom", "State": {"Running": "yes", "Pid": 3468}},
        {"Name": "/mydom", "State": None},
        {"Name": "/mydom", "State": {"Running": True, "Pid": 99999}},
    ],
)
def test_odd_states_are_no_running_container(scratch: Scratch, cgroups: Cgroups, record: dict[str, object]) -> None:
    scratch.file(RECORD, json.dumps(record, separators=(",", ":")))
    found = lookup.find(cgroups, f"docker:{MYDOM}")
    assert (found.running, found.knob_cgroups()) == (False, ())


@pytest.mark.parametrize("name", [None, 5, "", "/"])
def test_a_container_without_a_name_is_none(scratch: Scratch, cgroups: Cgroups, name: object) -> None:
    scratch.file(RECORD, json.dumps({"Name": name, "State": {}}))
    with pytest.raises(NoSuchDomain):
        lookup.find(cgroups, f"docker:{MYDOM}")


def test_the_number_of_a_process_that_is_somebody_elses_now(scratch: Scratch, cgroups: Cgroups) -> None:
    """dockerd was killed, and its record still says that the container runs."""
    record = json.loads(scratch.text(RECORD))
    record["State"]["Pid"] = 383  # mydom.service
    scratch.file(RECORD, json.dumps(record, separators=(",", ":")))
    assert not lookup.find(cgroups, "docker:mydom").running


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


def test_a_data_root_of_the_daemons_own(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.file("/etc/docker/daemon.json", '{"data-root": "/srv/docker/"}')
    record = scratch.text(RECORD)
    scratch.file(f"/srv/docker/containers/{MYDOM}/config.v2.json", record)
    assert names(cgroups, "docker") == ["mydom", "1000/mydom"]


@pytest.mark.parametrize(
    "words",
    [
        ("--data-root", "/srv/two", "-H", "unix:///run/two.sock"),
        ("--data-root=/srv/two/", "--host=unix:///run/two.sock"),
        ("-g", "/srv/two", "-H", "unix:///run/two.sock"),
        ("--config-file=/etc/two.json", "-H", "unix:///run/two.sock"),
    ],
)
def test_a_second_daemon_of_root_is_told_by_its_data_root(
    scratch: Scratch, cgroups: Cgroups, words: tuple[str, ...]
) -> None:
    from cputune.runtimes.docker import daemons

    scratch.file("/etc/two.json", '{"data-root": "/srv/two"}')
    id_ = "f" * 64
    scratch.file(f"/srv/two/containers/{id_}/config.v2.json", '{"Name":"/mydom","State":{"Running":false}}')
    scratch.process(700, "0::/system.slice/docker.service\n", " ".join(("dockerd", *words)))
    for pid in (1, 700):
        scratch.link(f"/proc/{pid}/ns/mnt", "mnt:[4026531841]")
    assert lookup.find(cgroups, "docker:/srv/two/mydom").name == "/srv/two/mydom"
    assert lookup.find(cgroups, "docker:mydom").name == "mydom"
    assert [daemon.socket for daemon in daemons(cgroups) if daemon.data_root == "/srv/two"] == ["/run/two.sock"]


# --- podman -----------------------------------------------------------------------------------------------------------


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


# --- users ------------------------------------------------------------------------------------------------------------


def test_a_users_records_cannot_point_root_at_another_ones_cgroup(scratch: Scratch, cputune: CommandLine) -> None:
    """A user writes that his container is process 3468, which is root's, and gives it that one's id."""
    record = {"Name": "/evil", "ID": MYDOM, "State": {"Running": True, "Pid": 3468}}
    scratch.file(f"{USERS}/{MYDOM}/config.v2.json", json.dumps(record, separators=(",", ":")))
    done = cputune(scratch.host, "set", "docker:1000/evil", "--cpus", "0.01", "--live")
    assert done.status == 4
    assert f"its cgroup /system.slice/docker-{MYDOM}.scope does not belong to user 1000" in done.err


def test_the_state_of_a_users_crun_cannot_either(scratch: Scratch, cputune: CommandLine) -> None:
    state = {"pid": 383, "cgroup-path": "/system.slice/mydom.service", "scope": "", "bundle": "/home/labuser"}
    scratch.file("/run/user/1000/crun/evil/status", json.dumps(state))
    done = cputune(scratch.host, "set", "oci:1000/crun/evil", "--cpus", "0.01", "--live")
    assert done.status == 4
    assert "its cgroup /system.slice/mydom.service does not belong to user 1000" in done.err


def test_a_user_who_copies_an_id_gets_no_command_of_roots_for_it(
    scratch: Scratch, cgroups: Cgroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """His own container has root's id; what --native would run is run as him, on his own daemon."""
    from cputune.core.model import Change, CpuTune
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


def test_where_roots_containers_cannot_be_listed_that_is_said(
    cgroups: Cgroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Host, "may_list", lambda self, path: path != "/var/lib/docker")
    with pytest.raises(NoPermission) as caught:
        lookup.find(cgroups, "docker:nosuch")
    assert (
        caught.value.message == f"cannot look for docker:nosuch: permission denied: {cgroups.host.root}/var/lib/docker"
    )
    with pytest.raises(NoSuchDomain) as unknown:
        lookup.find(cgroups, "nosuch")
    assert unknown.value.message == "no domain nosuch; skipped, permission denied: /var/lib/docker"


def test_a_name_without_an_owner_is_never_another_users(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.path(f"{STORAGE}/containers.json").unlink()
    with pytest.raises(NoSuchDomain, match="no domain podman:mydom"):
        lookup.find(cgroups, "podman:mydom")
    scratch.host.uid = 1000
    assert lookup.find(cgroups, "podman:mydom").name == "1000/mydom"
    assert lookup.find(cgroups, "podman:b127040b448a").name == "1000/mydom"
    assert lookup.find(cgroups, "oci:runc/mydom").name == "runc/mydom"


def test_a_users_settings_do_not_take_over_what_is_roots(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.file("/home/labuser/.config/docker/daemon.json", '{"data-root": "/var/lib/docker"}')
    scratch.file("/home/labuser/.config/containers/storage.conf", 'graphroot = "/var/lib/containers/storage"\n')
    assert names(cgroups, "docker") == ["mydom", "gone", "2776f297f737", "stopped"]
    assert names(cgroups, "podman") == ["mydom", "created", "rmed"]


NUL = '[{"id": "\\u0000", "names": ["x"], "metadata": "\\"created-at\\""}]'


@pytest.mark.parametrize("text", ["", "[{", "{}", '[{"id": "' + "a" * 64 + '", "names": [1]}]', NUL])
def test_a_users_broken_list_stands_in_nobodys_way(scratch: Scratch, cgroups: Cgroups, text: str) -> None:
    scratch.file("/home/labuser/.local/share/containers/storage/overlay-containers/containers.json", text)
    assert names(cgroups, "podman") == ["mydom", "created", "rmed"]
    assert lookup.find(cgroups, "podman:mydom").name == "mydom"
    scratch.file(f"{STORAGE}/containers.json", "[{")
    with pytest.raises(WrongState, match="half-written, or damaged"):
        lookup.find(cgroups, "podman:mydom")


def test_a_users_broken_container_stands_in_nobodys_way(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.file(f"{USERS}/{'e' * 64}/config.v2.json", '{"Name":"/mydom","State":')
    assert lookup.find(cgroups, "docker:mydom").name == "mydom"
    assert lookup.find(cgroups, "docker:1000/mydom").running


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


def test_a_link_to_a_device_is_not_opened(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.path(RECORD).unlink()
    scratch.link(RECORD, "/dev/null")
    with pytest.raises(WrongState, match=r"cannot read .*: Invalid argument$"):
        lookup.find(cgroups, f"docker:{MYDOM}")


def test_a_dockerd_inside_a_container_is_not_believed(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.file(f"/srv/two/containers/{'f' * 64}/config.v2.json", '{"Name":"/mydom","State":{"Running":false}}')
    scratch.process(700, "0::/system.slice/docker.service\n", "dockerd --data-root /srv/two")
    scratch.link("/proc/1/ns/mnt", "mnt:[4026531841]")
    scratch.link("/proc/700/ns/mnt", "mnt:[4026532999]")
    assert "/srv/two/mydom" not in names(cgroups, "docker")


def test_a_process_that_only_calls_itself_a_monitor_is_none(scratch: Scratch) -> None:
    """Its owner is not the one whose containers those are."""

    class Owners(Host):
        def owner(self, path: str) -> int | None:
            return 1000 if path == "/proc/1024" else 0

    host = Owners(str(scratch.directory), state_dir=f"{scratch.directory}/run/cputune")
    assert lookup.find(Cgroups(scratch.host), "incus:mydom").running
    assert not lookup.find(Cgroups(host), "incus:mydom").running


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


# --- containerd, runc and crun ----------------------------------------------------------------------------------------


def test_an_old_try_of_a_container_of_kubernetes_is_not_a_second_one(scratch: Scratch, cgroups: Cgroups) -> None:
    tasks = "/run/containerd/io.containerd.runtime.v2.task/k8s.io"
    id_ = lookup.find(cgroups, "cri:pod/mydom").details.id
    for name in ("0" * 64, "f" * 64):  # listed before and behind the one that runs
        scratch.file(f"{tasks}/{name}/config.json", scratch.text(f"{tasks}/{id_}/config.json"))
        scratch.file(f"{tasks}/{name}/init.pid", "99999")
    found = lookup.find(cgroups, "cri:pod/mydom")
    assert (found.running, found.details.id) == (True, id_)
    assert names(cgroups, "cri") == ["mydom", "default/pod/mydom"]


def test_one_pod_and_container_in_two_namespaces(scratch: Scratch, cgroups: Cgroups) -> None:
    tasks = "/run/containerd/io.containerd.runtime.v2.task/k8s.io"
    id_ = lookup.find(cgroups, "cri:pod/mydom").details.id
    other = scratch.text(f"{tasks}/{id_}/config.json").replace(
        'sandbox-namespace": "default', 'sandbox-namespace": "prod'
    )
    scratch.file(f"{tasks}/{'f' * 64}/config.json", other)
    with pytest.raises(NoSuchDomain, match=r": cri:default/pod/mydom, cri:prod/pod/mydom$"):
        lookup.find(cgroups, "cri:pod/mydom")
    assert lookup.find(cgroups, "cri:prod/pod/mydom").name == "prod/pod/mydom"


def test_two_tries_that_run_are_told_apart_by_their_ids(scratch: Scratch, cgroups: Cgroups) -> None:
    tasks = "/run/containerd/io.containerd.runtime.v2.task/k8s.io"
    id_ = str(lookup.find(cgroups, "cri:pod/mydom").details.id)
    other = "f" * 64
    scratch.file(f"{tasks}/{other}/config.json", scratch.text(f"{tasks}/{id_}/config.json").replace(id_, other))
    scratch.file(f"{tasks}/{other}/init.pid", "902")
    scratch.group("cgroup2", f"/sys/fs/cgroup/k8s.io/{other}")
    scratch.process(902, f"0::/k8s.io/{other}\n")
    with pytest.raises(NoSuchDomain, match="more than one domain"):
        lookup.find(cgroups, "cri:pod/mydom")
    assert lookup.find(cgroups, f"cri:{other}").limit_cgroup == f"/k8s.io/{other}"


def test_the_bundle_of_a_task_that_ended_is_a_stopped_container(scratch: Scratch, cgroups: Cgroups) -> None:
    path = "/run/containerd/io.containerd.runtime.v2.task/default/mydom/init.pid"
    for pid in ("99999", "383", "", "x"):
        scratch.file(path, pid)
        assert not lookup.find(cgroups, "cri:mydom").running


class Containerd(Host):
    """A host whose containerd knows containers, by namespace and id, whether or not they have a bundle."""

    known: ClassVar[dict[str, dict[str, dict[str, str]]]] = {
        "default": {"mydom": {}, "web": {}},
        "build": {"web": {}, "other": {}},
        "moby": {MYDOM: {}},
        "k8s.io": {
            "a1" * 32: {"container-name": "db", "sandbox-name": "pod", "sandbox-namespace": "default"},
            "a2" * 32: {"container-name": "db", "sandbox-name": "pod", "sandbox-namespace": "default"},
            "a3" * 32: {"container-name": "db", "sandbox-name": "pod", "sandbox-namespace": "prod"},
            "b0" * 32: {"container-type": "sandbox", "sandbox-name": "pod", "sandbox-namespace": "default"},
        },
    }

    def __init__(self, scratch: Scratch) -> None:
        super().__init__(state_dir=f"{scratch.directory}/run/cputune")
        self.files = scratch.host
        self.said = "{}"

    def is_dir(self, path: str) -> bool:
        return self.files.is_dir(path)

    def exists(self, path: str) -> bool:
        return path == "/run/containerd/containerd.sock"

    def run(
        self, argv: Sequence[str], user: int | None = None, timeout: float = 30.0, text: str | None = None
    ) -> Completed:
        """Be ctr."""
        assert argv[:3] == ["ctr", "--address", "/run/containerd/containerd.sock"]
        match argv[3:]:
            case "namespaces", "ls", "-q":
                return Completed(0, "".join(f"{name}\n" for name in self.known), "")
            case "-n", namespace, "containers", "ls", "-q":
                return Completed(0, "".join(f"{id_}\n" for id_ in self.known[namespace]), "")
            case "-n", namespace, "containers", "info", "--", id_:
                keys = {f"io.kubernetes.cri.{key}": value for key, value in self.known[namespace][id_].items()}
                return Completed(0, json.dumps({"ID": id_, "Spec": {"annotations": keys}}), "")
        raise AssertionError(argv)


@pytest.mark.parametrize(
    ("name", "found", "id_"),
    [
        ("web", ["web", "build/web"], "web"),  # the first one is called so, as it stands
        ("build/web", ["build/web"], "web"),
        ("other", ["build/other"], "other"),
        ("pod/db", ["default/pod/db", "prod/pod/db"], "a1" * 32),
        ("default/pod/db", ["default/pod/db"], "a1" * 32),
        ("a3a3", ["prod/pod/db"], "a3" * 32),
        ("b0" * 32, [f"k8s.io/{'b0' * 32}"], "b0" * 32),
        ("we", [], None),
        ("pod/nobody", [], None),
        (MYDOM, [], None),  # docker's
        ("mydom", [], None),  # has a bundle: was found without asking
    ],
)
def test_containerd_is_asked_for_the_stopped(scratch: Scratch, name: str, found: list[str], id_: str | None) -> None:
    domains = cri.ask(Cgroups(Containerd(scratch)), name)
    assert [domain.name for domain in domains if not domain.running and domain.persistent] == found
    assert (domains[0].details.id if domains else None) == id_


def test_a_containerd_that_says_nothing_useful_knows_nothing(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Containerd(scratch)
    for said in ("", "[]", '{"Spec": []}', "\x00", "[" * 100000):
        known = iter(["k8s.io\n", "c0c0\n", said])
        monkeypatch.setattr(host, "run", lambda *_, known=known: Completed(0, next(known), ""))
        assert cri.ask(Cgroups(host), "pod/db") == []

    def absent(*_: object) -> Completed:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(host, "run", absent)
    assert cri.ask(Cgroups(host), "pod/db") == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("system.slice:docker:abc", "docker-abc.scope"),
        ("kubepods-burstable-podx.slice:cri-containerd:abc", "cri-containerd-abc.scope"),
        ("machine.slice::abc", "abc.scope"),
        ("/kubepods/burstable/podx/abc", "abc"),
        ("abc", "abc"),
    ],
)
def test_what_the_cgroup_of_a_cgroups_path_is_called(path: str, name: str) -> None:
    assert oci_container.cgroup_name(path) == name


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


# --- versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("runc version 1.1.15+ds1\ncommit: 1.1.15+ds1-2+b4\n", (1, 1, 15)),
        ("runc version 1.3.2\n", (1, 3, 2)),
        ("crun version 1.21\ncommit: x\n", (1, 21, 0)),
        ("crun version 1.23.1-dirty\n", (1, 23, 1)),
        ("runc version v2.0.0-rc.1\n", (2, 0, 0)),
        ("", None),
        ("something else\ncrun version 1.21\n", None),
    ],
)
def test_the_version_that_a_runtime_tells(text: str, version: tuple[int, ...] | None) -> None:
    assert oci_scale.parse_version(text) == version


class Versioned(Host):
    """This machine, but for the programs."""

    def __init__(self, folder: Path, said: str) -> None:
        super().__init__("/", str(folder / "config"), str(folder / "state"))
        self.said = said
        self.asked = 0

    def run(self, *_: object, **__: object) -> object:  # type: ignore[override]
        from cputune.host.system import Completed

        self.asked += 1
        return Completed(0, self.said, "")


@pytest.mark.parametrize(
    ("said", "scale"),
    [
        ("runc version 1.1.15+ds1\n", Scale.OCI_LINEAR),
        ("runc version 1.3.1\n", Scale.OCI_LINEAR),
        ("runc version 1.3.2\n", Scale.OCI),
        ("no version\n", Scale.OCI),
    ],
)
def test_a_program_is_asked_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, scale: Scale
) -> None:
    program = tmp_path / "runc"
    program.write_text("one")
    monkeypatch.setattr(oci_scale, "_FOLDERS", (str(tmp_path),))
    host = Versioned(tmp_path, said)

    hierarchy = Cgroups(lay_out(read("debian13-unified"), tmp_path / "host").host).hierarchy

    def asked() -> Scale:
        cgroups = Cgroups(host)
        cgroups.__dict__["hierarchy"] = hierarchy
        return oci_scale.scale_of(cgroups, "runc")[0]

    assert [asked(), asked()] == [scale, scale]
    assert host.asked == (1 if scale is not Scale.OCI or "1.3.2" in said else 2)
    program.write_text("another")
    host.said = "runc version 1.3.2\n"
    assert asked() is Scale.OCI


def test_a_version_that_cannot_be_told_is_a_guess_that_is_said(scratch: Scratch, cputune: CommandLine) -> None:
    done = cputune(scratch.host, "set", "docker:mydom", "--shares", "512", "--live", "--dry-run")
    assert "cputune: docker:mydom: shares are converted as since runc 1.3.2 and crun 1.23" in done.err
    assert "cpu.weight: 100 -> 59\n" in done.out
    assert "shares" not in cputune(scratch.host, "set", "docker:mydom", "--weight", "5", "--live", "--dry-run").err


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
