"""The rows of status: columns that are never cut, details, and JSON; and how they are computed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cputune.app.hostinfo import HostInfo
from cputune.app.observer import Row
from cputune.app.sampling import Sample
from cputune.cli import status_report as report
from cputune.core.knobs import IN_KERNEL, KNOB, KNOBS, UNLIMITED
from cputune.core.model import Change, CpuTune, Details, Domain
from cputune.host.cgroup.support import Support

WEB = Domain("lxc", "web", True, True, "/lxc.payload.web", "/lxc.payload.web", details=Details(pid=7))
STATE = CpuTune(shares=512, weight=50, period=100000, quota=150000, burst=0, idle=False)
HOST = HostInfo(
    "hybrid", 1, "/sys/fs/cgroup/cpu", False, 4, True, Support(frozenset(("shares", "period", "quota", "idle")))
)
FREE = STATE.replace(quota=UNLIMITED)


def test_the_host() -> None:
    assert report.host_line(HOST) == (
        "cgroup hybrid (cpu at /sys/fs/cgroup/cpu), 4 CPUs, CFS bandwidth: yes, burst: no"
    )
    assert report.host_line(HOST._replace(readonly=True, support=None)) == (
        "cgroup hybrid (cpu at /sys/fs/cgroup/cpu, read-only), 4 CPUs, CFS bandwidth: unknown, burst: unknown"
    )
    assert report.host_data(HOST) == {
        "layout": "hybrid",
        "cpu_controller": "v1",
        "mount": "/sys/fs/cgroup/cpu",
        "read_only": False,
        "cpus": 4,
        "systemd": True,
        "cfs_bandwidth": True,
        **{knob.key: knob.key == "idle" for knob in KNOBS if knob.since},
    }
    assert report.host_data(HOST._replace(support=None))["cfs_bandwidth"] is None


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        (Row(WEB, STATE, 1.5), ["lxc:web", "running", "512", "50", "1.5", "1.5", "-", "-"]),
        (Row(WEB, FREE), ["lxc:web", "running", "512", "50", "-", "-", "-", "-"]),
        (
            Row(WEB, STATE, 0.5, "/parent"),
            ["lxc:web", "running", "512", "50", "1.5", "0.5 by /parent", "-", "-"],
        ),
        (
            Row(WEB, STATE.replace(idle=True), 1.5),
            ["lxc:web", "running", "512", "idle", "1.5", "1.5", "-", "-"],
        ),
        (
            Row(WEB._replace(running=False), None, saved=Change(quota=UNLIMITED, idle=True)),
            ["lxc:web", "stopped", "-", "-", "-", "-", "quota=unlimited idle=true", "-"],
        ),
        (Row(WEB, None, problem="no rights"), ["lxc:web", "unreadable", "-", "-", "-", "-", "-", "-"]),
        (
            Row(WEB, STATE, 1.5, held=("quota: docker 1, live 2", "x")),
            ["lxc:web", "running", "512", "50", "1.5", "1.5", "-", "drift: quota: docker 1, live 2; x"],
        ),
    ],
)
def test_the_cells_of_a_row(row: Row, cells: list[str]) -> None:
    assert report.cells(row, sampled=False) == cells
    assert len(cells) == len(report.header(sampled=False))


@pytest.mark.parametrize(
    ("sample", "cells"),
    [
        (Sample(1.23456, 0.25, "/lxc.payload.web"), ["1.235", "25%"]),
        (Sample(0.0, 1.0, "/parent"), ["0.000", "100% by /parent"]),
        (Sample(None, None, None), ["-", "-"]),
        (None, ["-", "-"]),
    ],
)
def test_what_was_seen_during_an_interval(sample: Sample | None, cells: list[str]) -> None:
    row = report.cells(Row(WEB, STATE, sample=sample), sampled=True)
    assert row[6:8] == cells
    assert len(row) == len(report.header(sampled=True))


@given(st.lists(st.lists(st.text(max_size=20), min_size=3, max_size=3), min_size=1, max_size=5))
def test_columns_never_lose_a_character(rows: list[list[str]]) -> None:
    lines = report.columns(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for line, row in zip(lines, rows, strict=True):
        assert line == "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        assert all(cell.rstrip() in line for cell in row)


def test_all_that_is_known_of_one_domain() -> None:
    row = Row(
        WEB._replace(weight_cgroup="/above"),
        STATE,
        0.5,
        "/parent",
        Change(quota=150000),
        Change(quota=1000),
        held=("drifted",),
    )
    assert report.details(row) == [
        "domain         : lxc:web",
        "state          : running",
        "persistent     : yes",
        "pid            : 7",
        "cgroup         : /lxc.payload.web",
        "weight cgroup  : /above",
        "shares         : 512",
        "weight         : 50",
        "period         : 100000",
        "quota          : 150000",
        "burst          : 0",
        "idle           : false",
        "limit          : 1.5 CPUs",
        "effective      : 0.5 by /parent",
        "applied        : quota=1000",
        "config         : quota=150000",
        "drift          : drifted",
    ]


def test_details_of_one_that_does_not_run() -> None:
    row = Row(Domain("lxc", "web", running=False, persistent=True), None)
    assert report.details(row) == [
        "domain         : lxc:web",
        "state          : stopped",
        "persistent     : yes",
        "config         : -",
        "drift          : none",
    ]


def test_details_of_a_sample_and_of_no_limit() -> None:
    lines = report.details(Row(WEB, FREE, sample=Sample(0.5, None, None)))
    assert lines[-6:] == [
        "limit          : none",
        "effective      : -",
        "use            : 0.500",
        "throttled      : -",
        "config         : -",
        "drift          : none",
    ]


def test_a_row_for_programs() -> None:
    saved = Change(quota=UNLIMITED, shares=512)
    row = Row(WEB, FREE, 0.5, "/parent", saved, Change(idle=False), held=("d",), sample=Sample(0.5, 0.25, "/p"))
    not_there = {KNOB[key].name: None for key in IN_KERNEL if FREE[key] is None}
    assert report.row_data(row) == {
        **not_there,
        "domain": "lxc:web",
        "runtime": "lxc",
        "name": "web",
        "running": True,
        "persistent": True,
        "cgroup": "/lxc.payload.web",
        "weight_cgroup": "/lxc.payload.web",
        "facts": {"pid": "7"},
        "cpu_shares": 512,
        "cpu_weight": 50,
        "vcpu_period": 100000,
        "vcpu_quota": -1,
        "vcpu_burst": 0,
        "cpu_idle": False,
        "limit_cpus": None,
        "effective_cpus": 0.5,
        "bound_by": "/parent",
        "config": {"cpu_shares": 512, "vcpu_quota": -1},
        "applied": {"cpu_idle": False},
        "drift": ["d"],
        "problem": None,
        "used_cpus": 0.5,
        "throttled": 0.25,
        "throttled_by": "/p",
    }
    unknown = report.row_data(Row(WEB, None, problem="no rights"))
    assert unknown["vcpu_quota"] is None
    assert unknown["problem"] == "no rights"
    assert "used_cpus" not in unknown
