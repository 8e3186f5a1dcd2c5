"""What a request means: for a state, for a saved configuration, and for which of the two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cputune.core.errors import CpuTuneError, Refused, UsageError, WrongState
from cputune.core.goals import Where, beyond_host, goal_of, merged, saved_tune, source_of, targets, touched
from cputune.core.knobs import BANDWIDTH, KNOB, KNOBS, MAX_QUOTA, UNLIMITED, WEIGHT, Knob
from cputune.core.model import Change, CpuTune, Domain, Request, Scale

RUNS = Domain("lxc", "web", running=True, persistent=True)
STOPPED = RUNS._replace(running=False)


@dataclass
class Kernel:
    """A state of one version."""

    version: int
    now: CpuTune

    def goal(self, remembered: int | None = None, scale: Scale = Scale.KERNEL, **asked: Any) -> CpuTune:
        return goal_of(self.now, Request(Change(**asked)), self.version, scale, remembered, CpuTune.KEYS)


ONE = Kernel(1, CpuTune(shares=1024, period=100000, quota=50000, burst=2000, idle=False))
TWO = Kernel(2, CpuTune(weight=100, period=100000, quota=50000, burst=2000, idle=False))
IDLE_ONE = Kernel(1, ONE.now.replace(shares=3, idle=True))
IDLE_TWO = Kernel(2, TWO.now.replace(weight=1, idle=True))


@pytest.mark.parametrize(
    ("where", "running", "goes_to"),
    [
        ("current", True, (True, False)),
        ("current", False, (False, True)),
        ("live", False, (True, False)),
        ("config", True, (False, True)),
        ("both", True, (True, True)),
    ],
)
def test_where_a_change_goes(where: Where, running: bool, goes_to: tuple[bool, bool]) -> None:
    assert targets(where, RUNS._replace(running=running)) == goes_to


def test_which_one_a_query_is_about() -> None:
    assert [source_of(where, RUNS) for where in ("current", "live", "config")] == ["live", "live", "config"]
    assert [source_of(where, STOPPED) for where in ("current", "config")] == ["config", "config"]
    with pytest.raises(WrongState) as stopped:
        source_of("live", STOPPED)
    assert stopped.value.message == "domain lxc:web is not running"
    assert stopped.value.hint == "start it first, or use --config instead of --live"
    with pytest.raises(UsageError) as both:
        source_of("both", RUNS)
    assert both.value.message == "--live and --config cannot both be asked"
    assert both.value.hint == "cputune schedinfo DOMAIN --live"


@given(
    st.builds(
        Change,
        shares=st.none(),
        weight=st.none(),
        idle=st.none() | st.just(False),
        period=st.none() | st.integers(1000, 1000000),
        quota=st.none() | st.just(UNLIMITED) | st.integers(1000, MAX_QUOTA),
        burst=st.none() | st.integers(0, MAX_QUOTA),
    ),
    st.sampled_from((ONE, TWO)),
)
def test_what_is_not_named_stays(change: Change, kernel: Kernel) -> None:
    goal = goal_of(kernel.now, Request(change), kernel.version, Scale.KERNEL, None, CpuTune.KEYS)
    for key in CpuTune.KEYS:
        assert goal[key] == (kernel.now[key] if change[key] is None else change[key])


def test_weight_and_shares_in_the_terms_of_each_version() -> None:
    assert ONE.goal(shares=512).shares == 512
    assert ONE.goal(weight=50).shares == 512
    assert TWO.goal(weight=50).weight == 50
    assert TWO.goal(shares=512).weight == 50
    assert TWO.goal(shares=512, scale=Scale.WEIGHT).weight == 512


def test_cpus_are_a_quota_for_the_period_that_will_be_in_force() -> None:
    assert TWO.goal(cpus=1_500_000).quota == 150000
    assert TWO.goal(cpus=1_500_000, period=50000) == TWO.now.replace(quota=75000, period=50000)
    assert Kernel(1, ONE.now.replace(period=200000)).goal(cpus=1_500_000).quota == 300000
    bare = Kernel(2, CpuTune(weight=100))
    assert bare.goal(cpus=1_500_000).quota == 150000


def test_unlimited_cpus_lift_the_limit_with_any_period() -> None:
    assert TWO.goal(cpus=UNLIMITED) == TWO.now.replace(quota=UNLIMITED)
    assert TWO.goal(cpus=UNLIMITED, period=50000) == TWO.now.replace(quota=UNLIMITED, period=50000)


def test_cpus_are_no_matter_of_a_cgroup_without_a_quota() -> None:
    awake = Request(Change(cpus=5_000, weight=50))  # with its period that would be too small a quota
    assert goal_of(TWO.now, awake, 2, Scale.KERNEL, None, WEIGHT) == TWO.now.replace(weight=50)


def test_only_what_the_cgroup_carries_is_touched() -> None:
    request = Request(Change(weight=50, quota=10000, idle=True))
    goal = goal_of(TWO.now, request, 2, Scale.KERNEL, None, BANDWIDTH)
    assert goal == TWO.now.replace(quota=10000)
    assert touched(request) == {"weight", "quota", "idle"}
    assert touched(Request(Change(cpus=1))) == {"quota"}


def test_idle_off_brings_back_the_weight_from_before() -> None:
    assert IDLE_TWO.goal(idle=False, remembered=250) == TWO.now.replace(weight=250)
    assert IDLE_ONE.goal(idle=False, remembered=512).shares == 512
    assert (IDLE_TWO.goal(idle=False).weight, IDLE_ONE.goal(idle=False).shares) == (100, 1024)
    assert IDLE_TWO.goal(idle=False, weight=7, remembered=250).weight == 7


def test_idle_that_is_not_named_stays() -> None:
    assert IDLE_TWO.goal(quota=10000) == IDLE_TWO.now.replace(quota=10000)
    assert TWO.goal(idle=False) == TWO.now


@pytest.mark.parametrize("kernel", [ONE, TWO, IDLE_ONE, IDLE_TWO])
def test_becoming_idle_leaves_the_weight_of_a_configuration_for_later(kernel: Kernel) -> None:
    assert kernel.goal(idle=True, shares=512) == kernel.now.replace(idle=True)


@pytest.mark.parametrize("kernel", [IDLE_ONE, IDLE_TWO])
def test_a_group_that_is_idle_takes_no_weight(kernel: Kernel) -> None:
    with pytest.raises(Refused) as caught:
        kernel.goal(weight=50)
    assert caught.value.message == ("the group is idle (cpu.idle is 1), and the kernel refuses shares and weight then")
    assert caught.value.hint == "add --no-idle"


SAVED = Change(shares=512, period=50000, quota=25000)


def test_a_saved_configuration_keeps_what_is_not_named() -> None:
    assert merged(SAVED, Request(Change(quota=UNLIMITED))) == SAVED.replace(quota=UNLIMITED)
    assert merged(SAVED, Request(Change())) == SAVED


def test_zero_removes_from_the_configuration() -> None:
    assert merged(SAVED, Request(Change(), frozenset({"shares", "period"}))) == Change(quota=25000)


def test_shares_and_weight_replace_each_other() -> None:
    assert merged(SAVED, Request(Change(weight=50))) == SAVED.replace(shares=None, weight=50)
    assert merged(Change(weight=50), Request(Change(shares=512))) == Change(shares=512)


def test_cpus_are_saved_as_they_are_meant_in_place_of_a_quota() -> None:
    assert merged(SAVED, Request(Change(cpus=1_500_000))) == SAVED.replace(cpus=1_500_000, quota=None)
    assert merged(Change(cpus=1_500_000), Request(Change(quota=5000))) == Change(quota=5000)
    assert merged(Change(cpus=1_500_000), Request(Change(period=5000))) == Change(cpus=1_500_000, period=5000)


def test_a_quota_of_zero_removes_the_cpus_but_shares_of_zero_not_the_weight() -> None:
    assert merged(Change(cpus=1_500_000, weight=50), Request(Change(), frozenset({"quota", "shares"}))) == Change(
        weight=50
    )


@pytest.mark.parametrize("knob", [knob for knob in KNOBS if knob.alternative], ids=lambda knob: knob.key)
def test_of_two_units_of_one_thing_one_is_saved(knob: Knob) -> None:
    other = KNOB[knob.alternative]
    assert other.alternative == knob.key
    before, after = Change(**{other.key: 5000}), Change(**{knob.key: 6000})
    assert merged(before, Request(after)) == after


def test_a_saved_configuration_shows_shares_and_weight() -> None:
    assert saved_tune(Change(shares=512), Scale.KERNEL) == CpuTune(shares=512, weight=50)
    assert saved_tune(Change(weight=50), Scale.KERNEL) == CpuTune(shares=512, weight=50)
    assert saved_tune(Change(shares=512), Scale.WEIGHT) == CpuTune(shares=512, weight=512)
    assert saved_tune(Change(quota=UNLIMITED, idle=True), Scale.KERNEL) == CpuTune(quota=UNLIMITED, idle=True)


def test_saved_cpus_are_shown_as_the_quota_for_the_saved_period_or_the_default() -> None:
    assert saved_tune(Change(cpus=1_500_000), Scale.KERNEL) == CpuTune(quota=150000)
    assert saved_tune(Change(cpus=1_500_000, period=50000), Scale.KERNEL) == CpuTune(quota=75000, period=50000)
    assert saved_tune(Change(cpus=UNLIMITED), Scale.KERNEL) == CpuTune(quota=UNLIMITED)


@pytest.mark.parametrize(
    ("cpus", "online", "said"), [(2_000_000, 2, None), (2_000_001, 2, "2.000001"), (3_500_000, 1, "3.5")]
)
def test_more_cpus_than_the_host_has(cpus: int, online: int, said: str | None) -> None:
    wanted = f"{said} CPUs are more than the host has: {online}" if said else None
    assert beyond_host(Change(cpus=cpus), online) == wanted
    assert beyond_host(Change(cpus=UNLIMITED), online) is None
    assert beyond_host(Change(quota=500000), online) is None


def test_shares_too_large_for_the_version_are_refused() -> None:
    with pytest.raises(CpuTuneError) as caught:
        TWO.goal(shares=262144)
    assert caught.value.message == (
        "--shares: 262144 would be weight 25600 on cgroup v2, whose largest is 10000 (102400 shares)"
    )
