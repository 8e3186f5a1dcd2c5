"""docker: odd records, second daemons, and what users may make root believe."""

from __future__ import annotations

import json
import os

import pytest

from cputune.core.errors import NoPermission, NoSuchDomain, WrongState
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.system import Host
from cputune.runtimes import lookup
from tests.support.commandline import CommandLine
from tests.support.finding import MYDOM, USERS, names
from tests.support.hosts import Scratch

HOST = "debian13-runtimes"
RECORD = f"/var/lib/docker/containers/{MYDOM}/config.v2.json"


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


def test_a_users_records_cannot_point_root_at_another_ones_cgroup(scratch: Scratch, cputune: CommandLine) -> None:
    """A user writes that his container is process 3468, which is root's, and gives it that one's id."""
    record = {"Name": "/evil", "ID": MYDOM, "State": {"Running": True, "Pid": 3468}}
    scratch.file(f"{USERS}/{MYDOM}/config.v2.json", json.dumps(record, separators=(",", ":")))
    done = cputune(scratch.host, "set", "docker:1000/evil", "--cpus", "0.01", "--live")
    assert done.status == 4
    assert f"its cgroup /system.slice/docker-{MYDOM}.scope does not belong to user 1000" in done.err


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


def test_a_users_settings_do_not_take_over_what_is_roots(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.file("/home/labuser/.config/docker/daemon.json", '{"data-root": "/var/lib/docker"}')
    scratch.file("/home/labuser/.config/containers/storage.conf", 'graphroot = "/var/lib/containers/storage"\n')
    assert names(cgroups, "docker") == ["mydom", "gone", "2776f297f737", "stopped"]
    assert names(cgroups, "podman") == ["mydom", "created", "rmed"]


def test_a_users_broken_container_stands_in_nobodys_way(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.file(f"{USERS}/{'e' * 64}/config.v2.json", '{"Name":"/mydom","State":')
    assert lookup.find(cgroups, "docker:mydom").name == "mydom"
    assert lookup.find(cgroups, "docker:1000/mydom").running


def test_a_link_to_what_is_no_file_is_not_opened(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.path(RECORD).unlink()
    scratch.folder("/dev")
    os.mkfifo(scratch.path("/dev/pipe"))
    scratch.link(RECORD, "/dev/pipe")
    with pytest.raises(WrongState, match=r"cannot read .*: Invalid argument$"):
        lookup.find(cgroups, f"docker:{MYDOM}")


def test_a_dockerd_inside_a_container_is_not_believed(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.file(f"/srv/two/containers/{'f' * 64}/config.v2.json", '{"Name":"/mydom","State":{"Running":false}}')
    scratch.process(700, "0::/system.slice/docker.service\n", "dockerd --data-root /srv/two")
    scratch.link("/proc/1/ns/mnt", "mnt:[4026531841]")
    scratch.link("/proc/700/ns/mnt", "mnt:[4026532999]")
    assert "/srv/two/mydom" not in names(cgroups, "docker")
