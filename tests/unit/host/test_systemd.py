"""Units by their cgroups, the properties that say a state, and what is told to systemd and what it answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cputune.core.errors import CpuTuneError, NoPermission, NoSuchDomain, Refused
from cputune.core.knobs import UNLIMITED
from cputune.core.model import CpuTune
from cputune.host.programs import Completed
from cputune.host.system import Host
from cputune.host.systemd import (
    INFINITY,
    Systemd,
    Unit,
    Unreachable,
    differs,
    escape,
    is_unit_name,
    object_path,
    unit_of,
    wanted,
)

POLKIT = "run it as root: sudo cputune ...; or let polkit allow org.freedesktop.systemd1.manage-units"


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("/init.scope", Unit("init.scope")),
        ("/system.slice", Unit("system.slice")),
        ("/system.slice/mydom.service", Unit("mydom.service")),
        ("/dev-hugepages.mount", Unit("dev-hugepages.mount")),
        ("/system.slice/system-getty.slice/getty@tty1.service", Unit("getty@tty1.service")),
        ("/machine.slice/machine-lxc\\x2d438\\x2dmydom.scope", Unit("machine-lxc\\x2d438\\x2dmydom.scope")),
        ("/machine.slice/systemd-nspawn@mydom.service", Unit("systemd-nspawn@mydom.service")),
        ("/machine.slice/machine-libpod_pod_0.slice/libpod-1.scope", Unit("libpod-1.scope")),
        ("/system.slice/_cpu.service", Unit("cpu.service")),
        ("/lxc.payload.web.service", Unit("lxc.payload.web.service")),  # by its path; the bus has the last word
        ("/user.slice/user-1000.slice", Unit("user-1000.slice")),
        ("/user.slice/user-1000.slice/session-2.scope", Unit("session-2.scope")),
        ("/user.slice/user-1000.slice/user@1000.service", Unit("user@1000.service")),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice", Unit("app.slice", 1000)),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/a.service", Unit("a.service", 1000)),
        ("/user.slice/user-1000.slice/user@1000.service/init.scope", Unit("init.scope", 1000)),
    ],
)
def test_the_unit_of_a_cgroup(cgroup: str, unit: Unit) -> None:
    assert unit_of(cgroup) == unit


@pytest.mark.parametrize(
    "cgroup",
    [
        "/",
        "",
        "/mydom",
        "/lxc.payload.mydom",
        "/docker/240cddc0f7da",
        "/machine/lxc-1294-mydom.libvirt-lxc",
        # delegated: what is below a unit is not systemd's
        "/machine.slice/machine-lxc\\x2d438\\x2dmydom.scope/libvirt",
        "/machine.slice/systemd-nspawn@mydom.service/payload",
        "/machine.slice/systemd-nspawn@mydom.service/payload/system.slice/ssh.service",
        "/machine.slice/libpod-1.scope/container",
        "/system.slice/mydom",
        "/lxc.payload.mydom/system.slice/ssh.service",
        "/user.slice/user-1000.slice/user@1000.service/app.slice/a.service/inner.scope",
        "/user.slice/user-1000.slice/user@1000.service/user@1001.service/a.service",
        "/user.slice/user-x.slice/user@x.service/a.service",
        "/.service",
    ],
)
def test_a_cgroup_that_is_no_units_own(cgroup: str) -> None:
    assert unit_of(cgroup) is None


def test_how_units_are_named() -> None:
    assert (Unit("a.service").label, Unit("a.service", 1000).label) == ("a.service", "1000/a.service")
    assert [is_unit_name(name) for name in ("a.service", "a.b.scope", ".service", "service", "a.timer")] == [
        True, True, False, False, False,
    ]  # fmt: skip


STATE = CpuTune(period=100000, quota=50000, burst=0, idle=False)


@pytest.mark.parametrize(
    ("version", "goal", "keys", "properties"),
    [
        (2, STATE, {"quota"}, {"CPUQuotaPerSecUSec": 500000, "CPUQuotaPeriodUSec": 100000}),
        (1, STATE, {"period"}, {"CPUQuotaPerSecUSec": 500000, "CPUQuotaPeriodUSec": 100000}),
        (
            2,
            STATE.replace(quota=UNLIMITED),
            {"quota"},
            {"CPUQuotaPerSecUSec": INFINITY, "CPUQuotaPeriodUSec": 100000},
        ),
        # rounded up, so that what systemd writes for a moment is not below what was asked for
        (
            2,
            STATE.replace(quota=33333, period=99999),
            {"quota"},
            {"CPUQuotaPerSecUSec": 333334, "CPUQuotaPeriodUSec": 99999},
        ),
        (2, STATE.replace(weight=50), {"weight"}, {"CPUWeight": 50}),
        (2, STATE.replace(weight=50), {"shares"}, {"CPUWeight": 50}),
        (2, STATE.replace(weight=1, idle=True), {"idle"}, {"CPUWeight": 0}),
        (1, STATE.replace(shares=512), {"shares"}, {"CPUWeight": INFINITY, "CPUShares": 512}),
        (1, STATE.replace(shares=3, idle=True), {"idle"}, {}),
        (2, STATE, {"burst"}, {}),
        (2, CpuTune(weight=50), {"quota"}, {}),
    ],
)
def test_the_properties_that_say_a_state(
    version: int, goal: CpuTune, keys: set[str], properties: dict[str, int]
) -> None:
    assert wanted(version, goal, frozenset(keys)) == properties


def test_whether_systemd_holds_something_else() -> None:
    assert not differs({"CPUWeight": 50}, {"CPUWeight": 50})
    assert differs({"CPUWeight": 51}, {"CPUWeight": 50})
    assert differs({"CPUWeight": INFINITY}, {"CPUWeight": 50})
    for name, default in (("CPUQuotaPeriodUSec", 100000), ("CPUWeight", 100), ("CPUShares", 1024)):
        assert not differs({name: INFINITY}, {name: default})
        assert differs({name: INFINITY}, {name: default + 1})
    assert differs({"CPUQuotaPerSecUSec": INFINITY}, {"CPUQuotaPerSecUSec": 500000})


@pytest.mark.parametrize(
    ("unit", "path"),
    [
        ("mydom.service", "mydom_2eservice"),
        ("machine-lxc\\x2d438\\x2dmydom.scope", "machine_2dlxc_5cx2d438_5cx2dmydom_2escope"),
        ("systemd-nspawn@mydom.service", "systemd_2dnspawn_40mydom_2eservice"),
        ("0pod.scope", "_30pod_2escope"),
        ("a_b.scope", "a_5fb_2escope"),
        ("ü.scope", "_c3_bc_2escope"),
    ],
)
def test_the_object_of_a_unit(unit: str, path: str) -> None:
    assert object_path(unit) == f"/org/freedesktop/systemd1/unit/{path}"


@given(st.text(), st.text())
def test_two_units_are_never_one_object(one: str, other: str) -> None:
    def encodable(text: str) -> bool:
        return not any(0xD800 <= ord(letter) <= 0xDC7F or 0xDD00 <= ord(letter) <= 0xDFFF for letter in text)

    if encodable(one) and encodable(other):
        assert (object_path(one) == object_path(other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("build", "build"),
        ("a b", "a\\x20b"),
        ("a/b", "a\\x2fb"),
        ("a\\b", "a\\x5cb"),
        ("ü", "\\xc3\\xbc"),
        ("a:b_c.d@e-1", "a:b_c.d@e-1"),
        ("x\n", "x\\x0a"),
    ],
)
def test_a_name_as_part_of_a_units(name: str, escaped: str) -> None:
    assert escape(name) == escaped


class Bus(Host):
    """A host with a busctl that notes what it is called with, and answers as told."""

    def __init__(self, root: Path | str, answer: Callable[[Sequence[str]], Completed] | str = "") -> None:
        super().__init__(str(root))
        self.calls: list[list[str]] = []
        self.users: list[int | None] = []
        self.answer = answer

    def run(
        self, argv: Sequence[str], user: int | None = None, timeout: float = 30.0, text: str | None = None
    ) -> Completed:
        """Note it, and answer."""
        self.calls.append(list(argv))
        self.users.append(user)
        return self.answer(argv) if callable(self.answer) else Completed(0, self.answer, "")


UNIT = Unit("a\\x2db.service")
PATH = "/org/freedesktop/systemd1/unit/a_5cx2db_2eservice"


def test_properties_are_asked_for_in_one_call() -> None:
    bus = Bus("/", "t 500000\nt 18446744073709551615\n")
    assert Systemd(bus).get(UNIT, ["CPUQuotaPerSecUSec", "CPUWeight"]) == {
        "CPUQuotaPerSecUSec": 500000,
        "CPUWeight": INFINITY,
    }
    assert bus.calls == [
        ["busctl", "--no-pager", "get-property", "org.freedesktop.systemd1", PATH, "org.freedesktop.systemd1.Service",
         "CPUQuotaPerSecUSec", "CPUWeight"],
    ]  # fmt: skip


@pytest.mark.parametrize("more", ["", "t 7\n"])
def test_the_cgroup_of_the_unit_is_asked_for_in_the_same_call(more: str) -> None:
    names = ["CPUWeight", "CPUQuotaPerSecUSec"][: 1 + bool(more)]
    bus = Bus("/", f't 50\n{more}s "/system.slice/a\\\\x2db.service"\n')
    held = {"CPUWeight": 50, **({"CPUQuotaPerSecUSec": 7} if more else {})}
    assert Systemd(bus).get(UNIT, names, "/system.slice/a\\x2db.service") == held
    assert bus.calls == [
        ["busctl", "--no-pager", "get-property", "org.freedesktop.systemd1", PATH, "org.freedesktop.systemd1.Service",
         *names, "ControlGroup"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    "cgroup", ["", "/", "/a\\x2db.service", "/lab.slice/system.slice/a\\x2db.service", "/system.slice/a-b.service"]
)
def test_another_cgroup_than_the_units_is_not_systemds(cgroup: str) -> None:
    escaped = cgroup.replace("\\", "\\\\")
    bus = Bus("/", f't 50\ns "{escaped}"\n')
    assert Systemd(bus).get(UNIT, ["CPUWeight"], "/system.slice/a\\x2db.service") == {}


def test_properties_are_set_at_run_time_in_one_call_and_then_read() -> None:
    bus = Bus("/", "t 50\nt 7\n")
    Systemd(bus).set(UNIT, {"CPUWeight": 50, "CPUQuotaPerSecUSec": 7})
    assert bus.calls[0] == [
        "busctl", "--no-pager", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
        "org.freedesktop.systemd1.Manager", "SetUnitProperties", "sba(sv)", UNIT.name, "true", "2",
        "CPUWeight", "t", "50", "CPUQuotaPerSecUSec", "t", "7",
    ]  # fmt: skip
    assert [call[2] for call in bus.calls] == ["call", "get-property"]


def test_a_scope_is_started_with_its_processes() -> None:
    bus = Bus("/")
    Systemd(bus).start_scope(Unit("cputune-x.scope"), [7, 8], {"CPUWeight": 100}, "cputune run x")
    assert bus.calls == [
        ["busctl", "--no-pager", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
         "org.freedesktop.systemd1.Manager", "StartTransientUnit", "ssa(sv)a(sa(sv))", "cputune-x.scope", "fail", "5",
         "Description", "s", "cputune run x", "CollectMode", "s", "inactive-or-failed", "CPUAccounting", "b", "true",
         "CPUWeight", "t", "100", "PIDs", "au", "2", "7", "8", "0"],
    ]  # fmt: skip


def test_whose_manager_is_asked(tmp_path: Path) -> None:
    def address(host: Bus, unit: Unit) -> tuple[list[str], int | None]:
        Systemd(host).set(unit, {})
        return host.calls[0][2 : host.calls[0].index("call")], host.users[0]

    me = os.geteuid()
    assert address(Bus("/"), UNIT) == ([], None)
    assert address(Bus("/"), Unit("a.service", me)) == (["--user"], None)
    assert address(Bus("/"), Unit("a.service", me + 1)) == (["--user"], me + 1)
    assert address(Bus(tmp_path), UNIT) == ([f"--address=unix:path={tmp_path}/run/dbus/system_bus_socket"], None)


REFUSED = "systemd refused to change a\\x2db.service: "
UNTOLD = "cannot tell systemd of a\\x2db.service: "


@pytest.mark.parametrize(
    ("said", "kind", "message", "hint"),
    [
        (
            "Call failed: Value specified in CPUWeight is out of range\n",
            Refused,
            f"{REFUSED}Value specified in CPUWeight is out of range",
            "journalctl -u a\\x2db.service -n 20",
        ),
        (
            "Call failed: Access denied\n",
            NoPermission,
            f"{REFUSED}Access denied",
            POLKIT,
        ),
        (
            "Call failed: Interactive authentication required.\n",
            NoPermission,
            f"{REFUSED}Interactive authentication required.",
            POLKIT,
        ),
        (
            "Call failed: Unit a\\x2db.service not found.\n",
            NoSuchDomain,
            f"{REFUSED}Unit a\\x2db.service not found.",
            "systemctl list-units --all",
        ),
        (
            "Failed to connect to bus: No such file or directory\n",
            Unreachable,
            f"{UNTOLD}Failed to connect to bus: No such file or directory",
            "systemctl start dbus.socket",
        ),
        (
            "Failed to set up bus connection: Connection refused\n",
            Unreachable,
            f"{UNTOLD}Failed to set up bus connection: Connection refused",
            "systemctl start dbus.socket",
        ),
    ],
)
def test_what_systemd_answers(said: str, kind: type[CpuTuneError], message: str, hint: str) -> None:
    bus = Bus("/", lambda argv: Completed(1, "", said))
    with pytest.raises(CpuTuneError) as caught:
        Systemd(bus).set(UNIT, {"CPUWeight": 50})
    assert type(caught.value) is kind
    assert (caught.value.message, caught.value.hint) == (message, hint)
    assert len(bus.calls) == 1


def test_without_busctl_systemd_cannot_be_told() -> None:
    def missing(argv: Sequence[str]) -> Completed:
        raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(Unreachable) as caught:
        Systemd(Bus("/", missing)).get(UNIT, ["CPUWeight"])
    assert caught.value.message == f"{UNTOLD}No such file or directory"
    assert caught.value.hint == "apt-get install dbus systemd"


def test_a_users_manager_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand units of his, each would hold the caller up for as long as one."""

    def silent(argv: Sequence[str]) -> Completed:
        raise TimeoutError(110, "busctl did not answer in 5 s")

    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    bus, user = Bus("/", silent), os.geteuid() + 1
    systemd = Systemd(bus)
    for name in ("a.service", "b.service", "c.service"):
        with pytest.raises(Unreachable, match="did not answer"):
            systemd.get(Unit(name, user), ["CPUWeight"])
    assert len(bus.calls) == 1
    with pytest.raises(Unreachable):  # the system's own is asked again
        systemd.get(UNIT, ["CPUWeight"])
    with pytest.raises(Unreachable):
        systemd.get(UNIT, ["CPUWeight"])
    assert len(bus.calls) == 3
    now += 61
    with pytest.raises(Unreachable):
        systemd.get(Unit("a.service", user), ["CPUWeight"])
    assert len(bus.calls) == 4


def test_systemd_runs_where_its_directory_is(tmp_path: Path) -> None:
    assert not Systemd(Host(str(tmp_path))).booted()
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert Systemd(Host(str(tmp_path))).booted()
