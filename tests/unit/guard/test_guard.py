"""The guard's parts by themselves: when it gives in, what it tells systemd, its units, its memory, its tree."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cputune.config.store import Store
from cputune.core.model import Change, Domain
from cputune.guard import service, unit
from cputune.guard.backoff import Backoff
from cputune.guard.config_cache import ConfigCache
from cputune.guard.registry import Registry
from cputune.guard.tree import Tree
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes.lookup import find, of_cgroup
from tests.support.commandline import CommandLine
from tests.support.containers import add_lxc, save
from tests.support.fakekernel import FakeKernel

WEB = Domain("lxc", "web", True, True, "/web", "/web")

# --- giving in --------------------------------------------------------------------------------------------------------


def test_three_times_in_a_minute_and_no_more() -> None:
    backoff = Backoff()
    assert [backoff.allows_repair("web", "systemd", second) for second in (0.0, 20.0, 40.0, 59.0, 1000.0)] == [
        *[True] * 3,
        *[False] * 2,
    ]
    assert backoff.is_left_alone("web")
    assert not backoff.is_left_alone("db")
    backoff.reset("web")
    assert backoff.allows_repair("web", "systemd", 1001.0)


def test_what_is_longer_ago_and_what_others_do_counts_by_itself() -> None:
    backoff = Backoff()
    assert all(backoff.allows_repair("web", "systemd", second) for second in range(0, 3000, 25))
    assert all(backoff.allows_repair("web", writer, 3000.0) for writer in ("docker", "podman", "somebody", "else"))


def test_of_what_is_forgotten_nothing_is_left() -> None:
    registry = Registry()
    registry.add(WEB._replace(weight_cgroup="/above"))
    registry.started["lxc:web"] = registry.checks["lxc:web"] = 1.0
    registry.reported["lxc:web"] = ["x"]
    assert registry.remove("/above") is None
    assert registry.remove("/web") == WEB._replace(weight_cgroup="/above")
    assert not any((registry.by_cgroup, registry.started, registry.checks, registry.reported, registry.records))
    registry.add(WEB)
    registry.checks["lxc:web"] = 1.0
    registry.add(WEB._replace(runtime="cgroup", name="/web"))  # another name for the same
    assert registry.names() == ["cgroup:/web"]
    assert registry.checks == {"cgroup:/web": 1.0}  # handed on with the cgroup


# --- what is saved ----------------------------------------------------------------------------------------------------


def test_configurations_are_those_of_the_store(v2: FakeKernel) -> None:
    told: list[str] = []
    saved = ConfigCache(lambda what, error: told.append(f"{what}: {error.message}"))
    saved.refresh(Store(v2))
    assert (saved.effective(WEB), saved.runtimes) == (Change(), frozenset())
    save(v2, "web", "version: 1\nquota: 50000\n")
    save(v2, "w%2A", "version: 1\nquota: 60000\n")
    broken = save(v2, "db", "version: 1\nquota: 5\n")
    copy = save(v2, "web~1", 'version: 1\ndomain: "lxc:web"\nquota: 9000\n')
    for _ in range(2):
        saved.refresh(Store(v2))
        assert saved.effective(WEB) == Store(v2).effective(WEB).change == Change(quota=50000)
        assert saved.effective(WEB._replace(name="w2")) == Change(quota=60000)
        assert saved.effective(WEB._replace(name="db")) == Change()
    assert [line.partition(" ")[0] for line in told] == ["lxc:db:", "lxc:web:"]
    assert f"{broken}:2: " in told[0]
    assert str(copy) in told[1]
    save(v2, "db", "version: 1\nquota: 5000\n")
    saved.refresh(Store(v2))
    assert saved.effective(WEB._replace(name="db")) == Change(quota=5000)


# --- systemd ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as found:
        found.bind(str(tmp_path / "socket"))
        yield found


def test_the_service_manager_is_told(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(listener.getsockname()))
    service.notify("READY=1", "STATUS=2 domains watched")
    assert listener.recv(100) == b"READY=1\nSTATUS=2 domains watched"
    monkeypatch.setenv("NOTIFY_SOCKET", "/nobody/there")
    service.notify("READY=1")  # and nothing is raised


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [("60000000", "", 30.0), ("60000000", "own", 30.0), ("60000000", "1", None), ("", "", None),
     ("x", "", None), ("0", "", None)],
)  # fmt: skip
def test_how_often_the_watchdog_is_to_hear(
    monkeypatch: pytest.MonkeyPatch, usec: str, pid: str, seconds: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)
    assert service.watchdog_seconds() == seconds


def test_the_journal_gets_fields(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(service, "_JOURNAL", str(listener.getsockname()))
    found = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
    service.Log()(service.WARNING, "two\nlines", domain="lxc:a\nb", cause="")
    assert listener.recv(1000).decode().splitlines() == [
        "MESSAGE=two\\nlines",
        "PRIORITY=4",
        "SYSLOG_IDENTIFIER=cputune-guard",
        "CPUTUNE_DOMAIN=lxc:a\\nb",
    ]
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")
    service.Log()(service.WARNING, "a line", domain="lxc:web")
    assert capfd.readouterr().err == "cputune: a line\n"


def test_a_unit_says_where_cputune_is() -> None:
    text = unit.unit_text(unit.GUARD, "/opt/x/cputune", enforce=True)
    assert "\nExecStart=/opt/x/cputune guard --enforce\n" in text
    assert "\nType=notify\n" in text
    assert "\nExecStart=cputune guard\n" in unit.unit_text(unit.GUARD, "cputune")
    assert "\nExecStart=/x apply --started --quiet\n" in unit.unit_text("cputune-apply.service", "/x")


def test_without_systemd_there_is_nothing_to_install(v2: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(v2, "guard", "install").status == 4
    assert cputune(v2, "guard", "remove").status == 4
    assert cputune(v2, "guard", "--timer").status == 2
    assert cputune(v2, "guard", "install", "--timer", "--enforce").status == 2
    assert cputune(v2, "guard", "elsewhere").status == 2


# --- the tree ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(v2: FakeKernel) -> Iterator[Tree]:
    found = Tree(Cgroups(v2))
    found.scan()
    yield found
    found.close()


def test_what_is_made_goes_and_comes_again(v2: FakeKernel, tree: Tree) -> None:
    v2.mkdir("/sys/fs/cgroup/a")
    v2.mkdir("/sys/fs/cgroup/a/b")
    seen = tree.read()
    assert (seen.created, seen.removed) == (["/a", "/a/b"], [])
    v2.rmdir("/sys/fs/cgroup/a/b")
    v2.mkdir("/sys/fs/cgroup/a/b")
    seen = tree.read()
    assert (seen.created, seen.removed) == (["/a/b"], ["/a/b"])
    v2.rmdir("/sys/fs/cgroup/a/b")
    v2.rmdir("/sys/fs/cgroup/a")
    seen = tree.read()
    assert (seen.created, set(seen.removed)) == ([], {"/a", "/a/b"})
    assert not [one for one in tree._cgroups.values() if one[1].startswith("/a")]


def test_a_cgroup_with_another_name_is_another_one(v2: FakeKernel, tree: Tree) -> None:
    v2.mkdir("/sys/fs/cgroup/a")
    tree.read()
    os.rename(v2.real("/sys/fs/cgroup/a"), v2.real("/sys/fs/cgroup/z"))  # v1's kernel permits it
    for _ in range(3):
        assert {"/z"} <= set(tree.scan())
        assert "/a" not in tree.scan()
    v2.rmdir("/sys/fs/cgroup/z")
    assert "/z" in tree.read().removed


@pytest.mark.parametrize("name", ["ü", "a b", "\udcff", "x" * 200])
def test_odd_names_of_cgroups(v2: FakeKernel, tree: Tree, name: str) -> None:
    v2.mkdir(f"/sys/fs/cgroup/{name}")
    assert tree.read().created == [f"/{name}"]


# --- what users pretend -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("owner", [0, 1000])
def test_a_user_cannot_say_where_his_container_is(v2: FakeKernel, monkeypatch: pytest.MonkeyPatch, owner: int) -> None:
    add_lxc(v2, "evil")
    v2.put_file("/home/u/lxc/evil/config", "lxc.cgroup.dir.container = /user.slice\n")
    v2.mkdir("/sys/fs/cgroup/user.slice")
    v2.add_process(7001, "/user.slice", "[lxc monitor] /home/u/lxc evil")
    v2.add_process(7002, "/user.slice", "/sbin/init", parent=7001)
    v2.put_file("/proc/7001/task/7001/children", "7002 ")
    sockets = v2.read("/proc/1/net/unix").replace("@/var/lib/lxc/evil/command", "@/home/u/lxc/evil/command")
    v2.put_file("/proc/1/net/unix", sockets)
    his = ("/home/u", "/proc/7001", "/proc/7002")
    monkeypatch.setattr(v2, "owner", lambda path: owner if path.startswith(his) else 0)
    if owner == 0:
        assert find(Cgroups(v2), "lxc:evil").limit_cgroup == "/user.slice"
    else:
        assert not find(Cgroups(v2), "lxc:evil").running


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
