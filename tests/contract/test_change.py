"""What `set` and `schedinfo` make of one cgroup, on every kernel."""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from cputune.app.schedinfo import schedinfo
from cputune.app.tuner import Tuner
from cputune.cli.report import step_lines
from cputune.core.errors import CpuTuneError, Refused, Unsupported, UsageError
from cputune.core.knobs import KNOB, MAX_QUOTA, UNLIMITED
from cputune.core.model import CpuTune
from tests.support.commandline import CommandLine
from tests.support.fakekernel import FAKES, FakeKernel
from tests.support.lab import Lab, change_domains, opened, request

Values = dict[str, Any]
V1, V2 = pytest.mark.cgroup(1), pytest.mark.cgroup(2)
NOTHING = "nothing to do: this is in force already"


def state(lab: Lab, **values: Any) -> CpuTune:
    """A new cgroup's state, but for these values."""
    default = {key: KNOB[key].default for key in lab.state().named()}
    assert {"period", "quota", "burst", "idle", lab.weight_key} <= default.keys()
    return CpuTune(**{**default, **values})


def says(error: CpuTuneError) -> tuple[str, str | None]:
    return error.message, error.hint


# --- every knob -------------------------------------------------------------------------------------------------------

# what is set, and what is in force then on v1 and on v2 besides a new cgroup's values
KNOBS: list[tuple[Values, Values, Values]] = [
    ({"shares": 2}, {"shares": 2}, {"weight": 1}),
    ({"shares": 512}, {"shares": 512}, {"weight": 50}),
    ({"shares": 102400}, {"shares": 102400}, {"weight": 10000}),
    ({"weight": 1}, {"shares": 10}, {"weight": 1}),
    ({"weight": 333}, {"shares": 3410}, {"weight": 333}),
    ({"weight": 10000}, {"shares": 102400}, {"weight": 10000}),
    *(
        (values, values, values)
        for values in (
            {"period": 1000},
            {"period": 1000000},
            {"quota": 1000},
            {"quota": MAX_QUOTA},
            {"quota": 50000, "period": 20000},
            {"quota": 50000, "burst": 50000},
            {"burst": 50000},
            {"quota": 5000, "period": 10000, "burst": 1},
        )
    ),
    ({"cpus": 750_000}, {"quota": 75000}, {"quota": 75000}),  # user-mode Linux has one CPU
    ({"cpus": 250_000, "period": 20000}, {"quota": 5000, "period": 20000}, {"quota": 5000, "period": 20000}),
    (
        {"weight": 200, "quota": 30000, "period": 50000, "burst": 10000},
        {"shares": 2048, "quota": 30000, "period": 50000, "burst": 10000},
        {"weight": 200, "quota": 30000, "period": 50000, "burst": 10000},
    ),
]


@pytest.mark.parametrize(("change", "v1", "v2"), KNOBS, ids=[str(row[0]) for row in KNOBS])
def test_what_is_set_is_in_force_and_nothing_else_changed(lab: Lab, change: Values, v1: Values, v2: Values) -> None:
    outcome = lab.set(**change)[0]
    wanted = v1 if lab.version == 1 else v2
    assert lab.state() == state(lab, **wanted)
    assert {change.key: change.after for change in outcome.changes} == wanted
    assert outcome.notes == ()


@pytest.mark.parametrize("change", [row[0] for row in KNOBS], ids=[str(row[0]) for row in KNOBS])
def test_what_is_in_force_already_is_not_written_again(lab: Lab, change: Values) -> None:
    lab.set(**change)
    lab.host.writes.clear()
    outcome = lab.set(**change)[0]
    assert (lab.written(), outcome.changes, outcome.tasks) == ([], (), ())
    assert outcome.notes == (f"{lab.name()}: {NOTHING}",)


def test_zero_changes_nothing_and_says_so(lab: Lab) -> None:
    lab.put(quota=50000, weight=200)
    outcome = lab.set(zeros=("quota", "period", "shares"))[0]
    assert lab.written() == []
    assert outcome.notes == (
        f"{lab.name()}: --period 0 means no value, and live changes nothing",
        f"{lab.name()}: --quota 0 means no value, and live changes nothing",
        f"{lab.name()}: --shares 0 means no value, and live changes nothing",
        f"{lab.name()}: {NOTHING}",
    )


def test_a_dry_run_writes_nothing_and_tells_what_it_would(lab: Lab) -> None:
    outcome = lab.set(weight=200, dry_run=True)[0]
    assert (lab.written(), lab.state()) == ([], state(lab))
    old, new = {1: (1024, 2048), 2: (100, 200)}[lab.version]
    assert [line for task in outcome.tasks for line in step_lines(task)] == [
        f"write {lab.file('weight')}: {old} -> {new}"
    ]


# --- quota, period and burst ------------------------------------------------------------------------------------------

QUOTAS, PERIODS = (1000, 20000, 99999, 3000000, UNLIMITED), (1000, 100000, 1000000)


@pytest.mark.parametrize("quota", QUOTAS, ids=str)
@pytest.mark.parametrize("period", PERIODS)
def test_every_quota_and_period_is_reached_from_every_other(lab: Lab, quota: int, period: int) -> None:
    for old_quota, old_period in product(QUOTAS, PERIODS):
        lab.put(quota=None if old_quota is UNLIMITED else old_quota, period=old_period, burst=500)
        lab.set(quota=quota, period=period)
        assert lab.state() == state(lab, quota=quota, period=period, burst=500)


@pytest.mark.parametrize("change", [{"period": 20000}, {"quota": 70000}, {"quota": UNLIMITED}, {"burst": 5}], ids=str)
def test_quota_period_and_burst_keep_each_other(lab: Lab, change: Values) -> None:
    lab.put(quota=60000, period=50000, burst=40000, weight=300)
    lab.set(**change)
    old = {"quota": 60000, "period": 50000, "burst": 40000, lab.weight_key: 300}
    assert lab.state() == state(lab, **{**old, **change})


# the state before, what is set, the writes on v1, the writes on v2
ORDERS: list[tuple[Values, Values, list[tuple[str, str]], list[tuple[str, str]]]] = [
    (  # a burst that shrinks goes first, since the quota may not be below it
        {"quota": 50000, "burst": 40000},
        {"quota": 20000, "burst": 10000},
        [("cpu.cfs_burst_us", "10000"), ("cpu.cfs_quota_us", "20000")],
        [("cpu.max.burst", "10000"), ("cpu.max", "20000 100000"), ("cpu.max.burst", "10000")],
    ),
    (  # one that grows goes last
        {"quota": 20000, "burst": 10000},
        {"quota": 50000, "burst": 40000},
        [("cpu.cfs_quota_us", "50000"), ("cpu.cfs_burst_us", "40000")],
        [("cpu.max", "50000 100000"), ("cpu.max.burst", "40000")],
    ),
    (  # the quota first where the period shrinks: the limit does not rise in between
        {"quota": 50000, "period": 100000},
        {"quota": 5000, "period": 10000},
        [("cpu.cfs_quota_us", "5000"), ("cpu.cfs_period_us", "10000")],
        [("cpu.max", "5000 10000")],
    ),
    (  # the period first where it grows
        {"quota": 5000, "period": 10000},
        {"quota": 50000, "period": 100000},
        [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "50000")],
        [("cpu.max", "50000 100000")],
    ),
    (
        {"quota": 50000, "period": 100000, "burst": 50000},
        {"quota": 5000, "period": 10000, "burst": 0},
        [("cpu.cfs_burst_us", "0"), ("cpu.cfs_quota_us", "5000"), ("cpu.cfs_period_us", "10000")],
        [("cpu.max.burst", "0"), ("cpu.max", "5000 10000")],
    ),
    (
        {"quota": 50000, "period": 100000},
        {"quota": UNLIMITED, "period": 10000},
        [("cpu.cfs_quota_us", "-1"), ("cpu.cfs_period_us", "10000")],
        [("cpu.max", "max 10000")],
    ),
]


@pytest.mark.parametrize(("before", "change", "v1", "v2"), ORDERS)
def test_order_of_writes(
    lab: Lab,
    before: Values,
    change: Values,
    v1: list[tuple[str, str]],
    v2: list[tuple[str, str]],
) -> None:
    lab.put(**before)
    lab.set(**change)
    assert lab.written() == (v1 if lab.version == 1 else v2)


def test_burst_is_mended_where_a_write_of_cpu_max_divides_it(tmp_path: Path) -> None:
    with opened(Lab(FakeKernel(tmp_path, FAKES["fake-v2-early"]))) as lab:
        lab.put(quota=50000, burst=40000)
        lab.set(quota=60000)
        assert lab.written() == [("cpu.max", "60000 100000"), ("cpu.max.burst", "40000")]
        assert lab.state() == state(lab, quota=60000, burst=40000)


# --- idle -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [1, 100, 200, 10000])
def test_no_idle_restores_the_weight_that_idle_lost(lab: Lab, weight: int) -> None:
    lab.set(weight=weight)
    before = lab.state()
    lab.set(idle=True)
    assert (lab.state().idle, lab.read("idle")) == (True, "1")
    lab.set(idle=False)
    assert lab.state() == before


def test_no_idle_restores_the_weight_through_changes_in_between(lab: Lab) -> None:
    lab.set(weight=300)
    lab.set(idle=True)
    lab.set(quota=50000)
    lab.set(idle=True)
    lab.set(idle=False)
    assert lab.state() == state(lab, quota=50000, **{lab.weight_key: {1: 3072, 2: 300}[lab.version]})


def test_no_idle_gives_the_default_where_another_made_the_group_idle(lab: Lab) -> None:
    lab.put(weight=300, idle=True)
    lab.set(idle=False)
    assert lab.state() == state(lab)


def test_no_idle_and_a_weight_go_together(lab: Lab) -> None:
    lab.put(idle=True)
    lab.set(idle=False, weight=300)
    weight = {1: "3072", 2: "300"}[lab.version]
    assert lab.written() == [("cpu.idle", "0"), (os.path.basename(lab.file("weight")), weight)]


def test_idle_comes_last(lab: Lab) -> None:
    lab.set(idle=True, quota=50000)
    assert [file for file, _ in lab.written()] == [os.path.basename(lab.file("quota")), "cpu.idle"]


def test_idle_again_writes_nothing(lab: Lab) -> None:
    lab.set(idle=True)
    lab.host.writes.clear()
    assert lab.set(idle=True)[0].notes == (f"{lab.name()}: {NOTHING}",)
    assert lab.written() == []


# --- what cannot be ---------------------------------------------------------------------------------------------------

# the state before, what is set, the error, its text and hint; {directory} is the cgroup's
MISTAKES: list[tuple[Values, Values, type[CpuTuneError], str, str | None]] = [
    (
        {"quota": 50000},
        {"burst": 50001},
        UsageError,
        "--burst: 50001 is not in range: 0..50000 microseconds, with quota 50000 with period 100000",
        None,
    ),
    (
        {},
        {"quota": MAX_QUOTA, "burst": 1},
        UsageError,
        f"--burst: 1 is not in range: 0..0 microseconds, with quota {MAX_QUOTA} with period 100000",
        None,
    ),
    (
        {"quota": 50000, "burst": 40000},
        {"quota": 39999},
        Refused,
        "{directory}: quota 39999 with period 100000 is below the burst of 40000 that is in force",
        "lower the burst with it: --burst 39999",
    ),
    (
        {"idle": True},
        {"shares": 100},
        Refused,
        "the group is idle (cpu.idle is 1), and the kernel refuses shares and weight then",
        "add --no-idle",
    ),
    (
        {"period": 1000},
        {"cpus": 500_000},
        UsageError,
        "--cpus: 0.5 is a quota of 500 with a period of 1000, below 1000",
        "give a longer period: --period 2000",
    ),
]


@pytest.mark.parametrize(("before", "change", "kind", "message", "hint"), MISTAKES)
def test_what_no_kernel_takes_is_refused_before_anything_is_written(
    lab: Lab,
    before: Values,
    change: Values,
    kind: type[CpuTuneError],
    message: str,
    hint: str | None,
) -> None:
    lab.put(**before)
    old = lab.state()
    with pytest.raises(CpuTuneError) as caught:
        lab.set(**change)
    assert (type(caught.value), *says(caught.value)) == (kind, message.format(directory=lab.directory()), hint)
    assert (lab.written(), lab.state()) == ([], old)


@pytest.mark.parametrize("weight", [("--shares", "512"), ("--weight", "50")], ids=" ".join)
def test_idle_and_a_weight_exclude_each_other(lab: Lab, weight: tuple[str, str], cputune: CommandLine) -> None:
    ended = cputune(lab.host, "set", lab.name(), "--idle", *weight)
    error = "cputune: error: an idle group has no shares and no weight\nhint: give either idle or a weight\n"
    assert (ended, lab.written()) == ((2, "", error), [])


def test_idle_and_a_weight_exclude_each_other_in_virshs_words_too(lab: Lab, cputune: CommandLine) -> None:
    ended = cputune(lab.host, "schedinfo", lab.name(), "--set", "cpu_idle=1", "--set", "cpu_shares=512")
    assert (ended.status, ended.out, lab.written()) == (2, "", [])


@V2
def test_shares_above_the_largest_weight_are_refused(lab: Lab) -> None:
    with pytest.raises(UsageError) as caught:
        lab.set(shares=262144)
    text = "--shares: 262144 would be weight 25600 on cgroup v2, whose largest is 10000 (102400 shares)"
    assert says(caught.value) == (text, None)


def test_the_root_cgroup_has_no_limit(lab: Lab) -> None:
    with pytest.raises(Unsupported) as caught:
        change_domains(lab.tuner, ["cgroup:/"], request(quota=50000), "live")
    text = "cgroup:/ is the root cgroup, which has no CPU limit and no weight"
    assert says(caught.value) == (text, "choose one below it: cputune status")
    assert lab.written() == []


@V2
def test_missing_controller_is_named_with_the_line_that_enables_it(lab: Lab) -> None:
    lab.host.mkdir(f"{lab.directory()}/child")
    lab.host.mkdir(f"{lab.directory()}/child/grandchild")
    with pytest.raises(Unsupported) as caught:
        lab.set("child/grandchild", quota=50000)
    files = [f"{lab.host.real(lab.directory(name))}/cgroup.subtree_control" for name in ("", "child")]
    assert says(caught.value) == (
        f"the cpu controller is not enabled for {lab.path('child/grandchild')}",
        f"echo +cpu | tee {' '.join(files)}",
    )


@V2
def test_the_line_that_enables_the_controller_does(lab: Lab) -> None:
    """The files in the order of the hint, as tee writes them."""
    lab.host.mkdir(f"{lab.directory()}/child")
    lab.host.mkdir(f"{lab.directory()}/child/grandchild")
    with pytest.raises(Unsupported) as caught:
        lab.schedinfo("child/grandchild")
    for file in (caught.value.hint or "").removeprefix("echo +cpu | tee ").split():
        lab.host.write(file.removeprefix(lab.host.root), "+cpu")
    lab.set("child/grandchild", quota=50000)
    assert lab.read("cpu.max", "child/grandchild") == "50000 100000"


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("lacks", "change", "message", "hint"),
    [
        ("burst", {"burst": 5}, "--burst: {directory} has no {burst}", "Linux has it since 5.14; see: uname -r"),
        ("idle", {"idle": True}, "--idle: {directory} has no {idle}", "Linux has it since 5.15; see: uname -r"),
        (
            "bandwidth",
            {"quota": 5000},
            "this kernel has no CFS bandwidth control: {directory} has {weight} but no {quota}",
            "use --shares or --weight, or a kernel built with CONFIG_CFS_BANDWIDTH=y",
        ),
    ],
)
def test_what_the_kernel_has_not_got_is_named(
    tmp_path: Path, version: int, lacks: str, change: Values, message: str, hint: str
) -> None:
    without: Values = {lacks: False}
    kernel = FAKES[f"fake-v{version}"]._replace(**without)
    if lacks == "bandwidth":
        kernel = kernel._replace(burst=False)
    host = FakeKernel(tmp_path, kernel)
    host.mkdir(f"{host.mount}/group")
    lab = Lab(host)
    lab.group = "/group"
    with pytest.raises(Unsupported) as caught:
        change_domains(Tuner(host), ["cgroup:/group"], request(**change), "live")
    names = {name: lab.file(name).rpartition("/")[2] for name in ("burst", "idle", "weight", "quota")}
    assert says(caught.value) == (message.format(directory=lab.directory(), **names), hint)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("lacks", [("burst",), ("idle",), ("burst", "idle"), ("bandwidth", "burst")], ids=str)
def test_what_an_old_kernel_has_can_be_set(tmp_path: Path, version: int, lacks: tuple[str, ...]) -> None:
    without: Values = dict.fromkeys(lacks, False)
    host = FakeKernel(tmp_path, FAKES[f"fake-v{version}"]._replace(**without))
    host.mkdir(f"{host.mount}/group")
    bandwidth: Values = {} if "bandwidth" in lacks else {"quota": 5000, "period": 20000}
    change_domains(Tuner(host), ["cgroup:/group"], request(weight=200, **bandwidth), "live")
    written = {path.rpartition("/")[2]: text for path, text in host.writes}
    limit = {1: {"cpu.cfs_quota_us": "5000", "cpu.cfs_period_us": "20000"}, 2: {"cpu.max": "5000 20000"}}[version]
    weight = {1: {"cpu.shares": "2048"}, 2: {"cpu.weight": "200"}}[version]
    assert written == {**weight, **(limit if bandwidth else {})}


# --- schedinfo --------------------------------------------------------------------------------------------------------


def test_schedinfo_tells_what_is_in_force(lab: Lab) -> None:
    lab.put(quota=50000, period=20000, burst=5, weight={1: 2048, 2: 200}[lab.version])
    info = lab.schedinfo()
    assert (info.source, info.bandwidth) == ("live", True)
    assert info.tune == CpuTune(shares=2048, weight=200, period=20000, quota=50000, burst=5, idle=False)


def test_schedinfo_of_a_new_group(lab: Lab) -> None:
    tune = lab.schedinfo().tune
    assert tune == CpuTune(shares=1024, weight=100, period=100000, quota=UNLIMITED, burst=0, idle=False)


@pytest.mark.parametrize("shares", [2, 3, 511, 512, 2050, 102399])
def test_schedinfo_shows_the_shares_that_were_given(lab: Lab, shares: int) -> None:
    """On v2 many numbers of shares are one weight; what the user gave is what the user sees."""
    lab.set(shares=shares)
    assert lab.schedinfo().tune.shares == shares


@V2
def test_schedinfo_does_not_show_shares_that_are_no_longer_in_force(lab: Lab) -> None:
    lab.set(shares=511)
    lab.write("weight", "200")
    assert lab.schedinfo().tune.shares == 2048


@pytest.mark.parametrize("version", [1, 2])
def test_schedinfo_without_bandwidth_has_the_shares_alone(tmp_path: Path, version: int) -> None:
    host = FakeKernel(tmp_path, FAKES[f"fake-v{version}"]._replace(bandwidth=False, burst=False))
    host.mkdir(f"{host.mount}/group")
    info = schedinfo(Tuner(host), "cgroup:/group")
    assert (info.bandwidth, info.tune) == (False, CpuTune(shares=1024, weight=100, idle=False))
