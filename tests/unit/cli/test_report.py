"""Results as lines and as JSON: virsh's own layout, and names that scripts rely on."""

from __future__ import annotations

import json

from cputune.app.schedinfo import SchedInfo
from cputune.cli import report
from cputune.core.knobs import UNLIMITED
from cputune.core.model import CpuTune, Domain, KnobChange, Scale, Write
from cputune.host.systemd import INFINITY, Unit
from cputune.planning.plan import Outcome
from cputune.transaction.cgroup_task import CgroupTask, UnitChange
from cputune.transaction.tasks import Record, Save

WEB = Domain("lxc", "web", running=True, persistent=True, limit_cgroup="/web", weight_cgroup="/web")
NAME = WEB.qualified
STATE = CpuTune(shares=1024, weight=100, period=100000, quota=UNLIMITED, burst=0, idle=False)
LIVE = SchedInfo(WEB, "live", True, STATE)


def test_schedinfo_is_virshs_byte_for_byte() -> None:
    # click.echo adds the newline behind the last line, which is empty, as virsh's is.
    assert report.schedinfo(LIVE, everything=False) == (
        "Scheduler      : posix\n"
        "cpu_shares     : 1024\n"
        "vcpu_period    : 100000\n"
        "vcpu_quota     : -1\n"
    )  # fmt: skip


def test_only_the_shares_without_bandwidth() -> None:
    info = SchedInfo(WEB, "live", False, CpuTune(shares=1024, weight=100))
    assert report.schedinfo(info, everything=False) == "Scheduler      : posix\ncpu_shares     : 1024\n"
    assert report.schedinfo_data(info, everything=False)["parameters"] == 1


def test_a_configuration_that_is_not_there_is_virshs_zeros() -> None:
    info = SchedInfo(WEB, "config", True, CpuTune())
    assert report.schedinfo(info, everything=False) == (
        "Scheduler      : posix\ncpu_shares     : 0\nvcpu_period    : 0\nvcpu_quota     : 0\n"
    )


def test_everything() -> None:
    info = LIVE._replace(tune=STATE.replace(quota=50000, idle=True))
    assert report.schedinfo(info, everything=True) == (
        "Scheduler      : posix\n"
        "cpu_shares     : 1024\n"
        "vcpu_period    : 100000\n"
        "vcpu_quota     : 50000\n"
        "cpu_weight     : 100\n"
        "vcpu_burst     : 0\n"
        "cpu_idle       : 1\n"
    )
    old = LIVE._replace(tune=STATE.replace(burst=None, idle=None))
    assert list(report.schedinfo_values(old, everything=True)) == [
        "cpu_shares", "vcpu_period", "vcpu_quota", "cpu_weight",
    ]  # fmt: skip


def test_schedinfo_for_programs() -> None:
    assert report.schedinfo_data(LIVE, everything=False) == {
        "domain": "lxc:web",
        "source": "live",
        "scheduler": "posix",
        "parameters": 3,
        "cpu_shares": 1024,
        "vcpu_period": 100000,
        "vcpu_quota": -1,
    }


def test_what_has_changed() -> None:
    lines = [
        report.change_line(KnobChange(NAME, "live", "weight", 100, 50), Scale.KERNEL),
        report.change_line(KnobChange(NAME, "live", "weight", 100, 50, 511), Scale.KERNEL),
        report.change_line(KnobChange(NAME, "live", "shares", 1024, 512), Scale.KERNEL),
        report.change_line(KnobChange(NAME, "live", "quota", UNLIMITED, 50000), Scale.KERNEL),
        report.change_line(KnobChange(NAME, "live", "idle", False, True), Scale.KERNEL),
        report.change_line(KnobChange(NAME, "config", "shares", None, 512), Scale.KERNEL),
        report.change_line(KnobChange(NAME, "config", "quota", 50000, None), Scale.KERNEL),
    ]
    assert lines == [
        "lxc:web: live: weight 100 -> 50 (512 shares)",
        "lxc:web: live: weight 100 -> 50 (511 shares)",  # as it was given
        "lxc:web: live: shares 1024 -> 512 (weight 50)",
        "lxc:web: live: quota unlimited -> 50000",
        "lxc:web: live: idle false -> true",
        "lxc:web: config: shares unset -> 512",
        "lxc:web: config: quota 50000 -> unset",
    ]


def test_a_name_with_control_characters() -> None:
    evil = KnobChange("lxc:\x1b[2Jweb", "live", "idle", False, True)
    assert report.change_line(evil, Scale.KERNEL) == "lxc:\\x1b[2Jweb: live: idle false -> true"


WRITE = Write("/sys/fs/cgroup/web/cpu.max", "50000 100000", "max 100000")
UNIT_CHANGE = UnitChange(
    Unit("a.service", 1000),
    {"CPUWeight": 50, "CPUQuotaPerSecUSec": INFINITY},
    {"CPUWeight": INFINITY},
    (Write("/sys/fs/cgroup/web/cpu.weight", "50", "100"),),
)
TASK = CgroupTask("systemd:web.service", "/web", STATE, STATE.replace(quota=50000), writes=(WRITE,))


def test_the_steps_of_a_dry_run() -> None:
    first = Write("/sys/fs/cgroup/web/cpu.max.burst", "0", "500")
    assert report.step_lines(TASK._replace(first=(first,), unit_change=UNIT_CHANGE)) == [
        "write /sys/fs/cgroup/web/cpu.max.burst: 500 -> 0",
        "set-property 1000/a.service CPUWeight: infinity -> 50",
        "set-property 1000/a.service CPUQuotaPerSecUSec: infinity -> infinity",
        "systemd-writes /sys/fs/cgroup/web/cpu.weight: 100 -> 50",
        "write /sys/fs/cgroup/web/cpu.max: max 100000 -> 50000 100000",
    ]
    assert report.step_lines(Save("lxc:web", "/etc/f.yaml", "x", None)) == ["save /etc/f.yaml: no file -> written"]
    assert report.step_lines(Save("lxc:web", "/etc/f.yaml", "x", "y")) == ["save /etc/f.yaml: changed -> written"]
    assert report.step_lines(Save("lxc:web", "/etc/f.yaml", None, "y")) == ["save /etc/f.yaml: changed -> removed"]
    assert report.step_lines(Record(WEB, None, None)) == []


def test_a_change_for_programs() -> None:
    outcome = Outcome(WEB, (KnobChange(NAME, "live", "quota", UNLIMITED, 50000),), (TASK,), ("a note",))
    assert json.loads(report.to_json(report.outcome_data(outcome))) == {
        "domain": "lxc:web",
        "changes": [{"where": "live", "name": "vcpu_quota", "from": -1, "to": 50000}],
        "steps": [{"do": "write", "where": "/sys/fs/cgroup/web/cpu.max", "from": "max 100000", "to": "50000 100000"}],
        "notes": ["a note"],
    }


def test_json_is_ascii_whatever_the_name() -> None:
    assert report.to_json({"name": "ü\udcff"}) == '{\n  "name": "\\u00fc\\udcff"\n}'


def test_cpus_for_people() -> None:
    assert report.cpus_of(STATE) == "-"
    assert report.cpus_of(STATE.replace(quota=150000)) == "1.5"
    assert report.cpus_of(STATE.replace(quota=33333)) == "0.33333"
