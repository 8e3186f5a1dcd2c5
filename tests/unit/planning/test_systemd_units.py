"""A change of a cgroup that is a systemd unit's own: systemd is told first, then the file has the exact value."""

from __future__ import annotations

from pathlib import Path

import pytest

from cputune.app.tuner import Tuner
from cputune.core.model import Change, Request
from cputune.host.systemd import INFINITY
from cputune.planning.plan import Job
from tests.support.commandline import CommandLine
from tests.support.managed import CGROUP, GROUP, SCOPE, UNIT, UNSET, Managed


@pytest.fixture
def host(tmp_path: Path) -> Managed:
    return Managed(tmp_path)


def test_systemd_is_told_first_and_the_file_has_the_value(host: Managed, cputune: CommandLine) -> None:
    assert cputune(host, "set", UNIT, "--quota", "50000", "--weight", "50") == (
        0,
        f"systemd:{UNIT}: live: weight 100 -> 50 (512 shares)\nsystemd:{UNIT}: live: quota unlimited -> 50000\n",
        "",
    )
    assert host.log[:3] == ["CPUQuotaPerSecUSec=500000", "CPUQuotaPeriodUSec=100000", "CPUWeight=50"]
    assert (host.text("cpu.max"), host.text("cpu.weight")) == ("50000 100000", "50")


def test_what_systemd_rounds_is_written_exactly_and_noted(host: Managed, cputune: CommandLine) -> None:
    host.version = 252
    done = cputune(host, "set", UNIT, "--quota", "33333")
    assert host.held["CPUQuotaPerSecUSec"] == 333330
    assert host.text("cpu.max") == "33333 100000"
    assert done.err == (
        f"cputune: systemd:{UNIT}: systemd keeps a quota as a rounded percentage: its next reload makes this one "
        "33000; 33000 and 34000 would stay as they are\n"
    )
    assert cputune(host, "set", UNIT, "--quota", "33000").err == ""


def test_a_systemd_that_writes_something_else_than_planned_is_corrected_and_that_is_said(
    host: Managed, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(host.real(f"{GROUP}/cpu.max"))
    monkeypatch.setattr(host, "_realize", lambda: file.write_text("33000 100000\n"))
    done = cputune(host, "set", UNIT, "--quota", "33330")
    assert (done.status, host.text("cpu.max")) == (0, "33330 100000")
    assert done.err == (
        f"cputune: {file} had 33000 100000 after the planned writes, so 33330 100000 was written as well\n"
    )


def test_what_systemd_will_round_is_said_before_anything_is_written(host: Managed, cputune: CommandLine) -> None:
    seen: list[tuple[str, list[str]]] = []
    tuner = Tuner(host, lambda text: seen.append((text, list(host.log))))
    tuner.change([Job(tuner.find(UNIT), Request(Change(quota=33333)), "live")])
    ((note, log),) = seen
    assert "its next reload makes this one 33330" in note
    assert log == []
    host.refusal = "No"
    done = cputune(host, "set", UNIT, "--quota", "44444")
    assert done.status == 7
    assert done.err.startswith(f"cputune: systemd:{UNIT}: systemd keeps a quota as a rounded percentage: ")
    assert done.err.splitlines()[1] == f"cputune: error: systemd refused to change {UNIT}: No"


def test_a_newer_systemd_keeps_hundredths_of_a_percent(host: Managed, cputune: CommandLine) -> None:
    assert cputune(host, "set", UNIT, "--quota", "33330").err == ""
    assert "makes this one 33330; 33330 and 33340 would stay" in cputune(host, "set", UNIT, "--quota", "33333").err


def test_what_the_kernel_has_and_systemd_has_not_is_told(host: Managed, cputune: CommandLine) -> None:
    host.write(f"{GROUP}/cpu.max", "50000 100000")
    host.log.clear()
    assert cputune(host, "set", UNIT, "--quota", "50000") == (0, "", "")
    assert host.log == ["CPUQuotaPerSecUSec=500000", "CPUQuotaPeriodUSec=100000"]
    assert cputune(host, "set", UNIT, "--quota", "50000").err == (
        f"cputune: systemd:{UNIT}: nothing to do: this is in force already\n"
    )


def test_no_limit_is_infinity(host: Managed, cputune: CommandLine) -> None:
    cputune(host, "set", UNIT, "--quota", "50000")
    cputune(host, "set", UNIT, "--quota", "unlimited")
    assert host.held["CPUQuotaPerSecUSec"] == INFINITY
    assert host.text("cpu.max") == "max 100000"


def test_idle_is_a_weight_of_0_to_systemd(host: Managed, cputune: CommandLine) -> None:
    cputune(host, "set", UNIT, "--idle")
    assert (host.held["CPUWeight"], host.text("cpu.idle")) == (0, "1")


def test_a_dry_run_tells_what_systemd_would_be_told(host: Managed, cputune: CommandLine) -> None:
    assert cputune(host, "set", UNIT, "--quota", "50000", "--dry-run") == (
        0,
        f"set-property {UNIT} CPUQuotaPerSecUSec: infinity -> 500000\n"
        f"set-property {UNIT} CPUQuotaPeriodUSec: infinity -> 100000\n"
        f"systemd-writes {GROUP}/cpu.max: max 100000 -> 50000 100000\n",
        "",
    )
    assert (host.log, host.held) == ([], UNSET)


def test_systemd_that_cannot_be_reached_is_noted_and_the_file_written(host: Managed, cputune: CommandLine) -> None:
    host.deaf = True
    assert cputune(host, "set", UNIT, "--quota", "50000") == (
        0,
        f"systemd:{UNIT}: live: quota unlimited -> 50000\n",
        f"cputune: systemd:{UNIT}: cannot tell systemd of {UNIT}: Failed to connect to bus: No such file or directory; "
        "the kernel has the value until systemd next writes its own\n",
    )  # fmt: skip
    assert host.text("cpu.max") == "50000 100000"


@pytest.mark.parametrize(
    ("said", "status", "hint"),
    [
        (
            "Access denied",
            5,
            "run it as root: sudo cputune ...; or let polkit allow org.freedesktop.systemd1.manage-units",
        ),
        ("Value specified in CPUQuota is out of range", 7, f"journalctl -u {UNIT} -n 20"),
    ],
)
def test_what_systemd_refuses_is_not_written(
    host: Managed, cputune: CommandLine, said: str, status: int, hint: str
) -> None:
    host.refusal = said
    assert cputune(host, "set", UNIT, "--quota", "50000") == (
        status,
        "",
        f"cputune: error: systemd refused to change {UNIT}: {said}\nhint: {hint}\n",
    )
    assert host.text("cpu.max") == "max 100000"
    assert host.held == UNSET


def test_what_the_kernel_refuses_is_taken_back_from_systemd(host: Managed, cputune: CommandLine) -> None:
    host.stubborn = True
    found = cputune(host, "set", UNIT, "--quota", "33333", "--burst", "100")
    assert found.status == 7
    assert host.held["CPUQuotaPerSecUSec"] == INFINITY
    assert host.text("cpu.max") == "max 100000"


def test_a_unit_that_went_away_with_its_cgroup(host: Managed, cputune: CommandLine) -> None:
    host.vanishing = True
    found = cputune(host, "set", UNIT, "--quota", "50000")
    assert found.status == 6
    assert found.err.endswith("hint: it disappeared in the meantime; list what is running: cputune status\n")


def test_a_unit_whose_cgroup_has_backslashes(host: Managed, cputune: CommandLine) -> None:
    host.cgroup = SCOPE
    done = cputune(host, "set", "libvirt:mydom", "--weight", "50")
    assert (done.status, done.err) == (0, "")
    assert host.log == ["CPUWeight=50"]
    assert Path(host.real(f"/sys/fs/cgroup{SCOPE}/cpu.weight")).read_text() == "50\n"


@pytest.mark.parametrize("cgroup", ["", "/", f"/lab.slice/{UNIT}", f"{CGROUP}/inner"])
def test_a_cgroup_that_is_not_the_one_of_the_unit_is_written_only(
    host: Managed, cputune: CommandLine, cgroup: str
) -> None:
    host.cgroup = cgroup
    dry = cputune(host, "set", UNIT, "--quota", "33333", "--dry-run")
    assert dry == (0, f"write {GROUP}/cpu.max: max 100000 -> 33333 100000\n", "")
    assert cputune(host, "set", UNIT, "--quota", "33333") == (
        0,
        f"systemd:{UNIT}: live: quota unlimited -> 33333\n",
        "",
    )
    assert (host.log, host.held) == (["cpu.max=33333 100000"], UNSET)


def test_a_container_called_like_a_unit_is_not_systemds(host: Managed, cputune: CommandLine) -> None:
    name = "web.service"
    line = f"0000000000000000: 00000002 00000000 00010000 0001 01 77 @/var/lib/lxc/{name}/command\n"
    host.scratch.file("/proc/1/net/unix", host.scratch.text("/proc/1/net/unix") + line)
    host.scratch.group("cgroup2", f"/sys/fs/cgroup/lxc.payload.{name}")
    host.scratch.process(2000, f"0::/lxc.monitor.{name}\n", f"[lxc monitor] /var/lib/lxc {name}")
    host.scratch.process(2001, f"0::/lxc.payload.{name}\n", "/sbin/init", 2000)
    host.cgroup = ""  # what systemd says of a unit that it has not got
    assert cputune(host, "set", f"lxc:{name}", "--quota", "50000", "--weight", "50") == (
        0,
        f"lxc:{name}: live: weight 100 -> 50 (512 shares)\nlxc:{name}: live: quota unlimited -> 50000\n",
        "",
    )
    directory = f"sys/fs/cgroup/lxc.payload.{name}"
    assert host.log == [f"{directory}/cpu.weight=50", f"{directory}/cpu.max=50000 100000"]
    assert host.held == UNSET


def test_what_is_below_a_unit_is_not_systemds(host: Managed, cputune: CommandLine) -> None:
    assert cputune(host, "set", "libvirt:mydom", "--quota", "60000").status == 0
    directory = "sys/fs/cgroup/machine.slice/machine-lxc\\x2d438\\x2dmydom.scope/libvirt"
    assert host.log == [f"{directory}/cpu.max=60000 100000"]
    assert host.held == UNSET


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
@pytest.mark.parametrize("bus", ["of another's cgroup", "deaf"])
def test_a_cgroup_without_controller_that_systemd_cannot_be_told_of(
    tmp_path: Path, cputune: CommandLine, bus: str, arguments: tuple[str, ...]
) -> None:
    host = Managed(tmp_path)
    host.deaf = bus == "deaf"
    if not host.deaf:
        host.cgroup = ""
    for file in Path(host.real(GROUP)).glob("cpu.[!s]*"):
        file.unlink()
    done = cputune(host, "set", UNIT, "--quota", "50000", *arguments)
    assert (done.status, done.out) == (4, "")
    assert done.err == (
        "cputune: error: the cpu controller is not enabled for /system.slice/mydom.service, and systemd cannot be "
        "told to enable it\nhint: systemctl start dbus.socket\n"
    )
