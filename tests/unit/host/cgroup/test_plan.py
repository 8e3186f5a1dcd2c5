"""A state and a goal -> the writes, and why there are none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cputune.core.errors import CpuTuneError, Refused, UsageError
from cputune.core.knobs import UNLIMITED
from cputune.core.model import CpuTune, Write
from cputune.host.cgroup.backend import Backend
from cputune.host.cgroup.bandwidth import Bounds, Limit
from cputune.host.cgroup.plan import band_of, same, writes
from cputune.host.cgroup.v1 import V1
from cputune.host.cgroup.v2 import V2

NOW1 = CpuTune(shares=1024, period=100000, quota=UNLIMITED, burst=0, idle=False)
NOW2 = CpuTune(weight=100, period=100000, quota=UNLIMITED, burst=0, idle=False)


def plan(backend: Backend, now: CpuTune, bounds: Bounds | None = None, **goal: object) -> list[tuple[str, str, str]]:
    """The writes as (file, value, before)."""
    found = writes(backend, "/g", now, now.replace(**goal), bounds or Bounds())  # type: ignore[arg-type]
    return [(write.path.removeprefix("/g/"), write.value, write.before) for write in found]


def test_version_1_writes_each_file_alone() -> None:
    assert plan(V1, NOW1, shares=512, quota=25000, period=50000) == [
        ("cpu.shares", "512", "1024"),
        ("cpu.cfs_period_us", "50000", "100000"),
        ("cpu.cfs_quota_us", "25000", "-1"),
    ]


def test_version_2_writes_quota_and_period_together() -> None:
    assert plan(V2, NOW2, weight=50, quota=25000, period=50000, burst=1000) == [
        ("cpu.weight", "50", "100"),
        ("cpu.max", "25000 50000", "max 100000"),
        ("cpu.max.burst", "1000", "0"),
    ]


def test_a_burst_follows_every_write_of_cpu_max_since_some_kernels_divide_it_then() -> None:
    now = NOW2.replace(quota=50000, burst=20000)
    again = ("cpu.max.burst", "20000", "20000")
    assert plan(V2, now, quota=60000) == [("cpu.max", "60000 100000", "50000 100000"), again]
    assert plan(V2, now, quota=10000, burst=5000) == [
        ("cpu.max.burst", "5000", "20000"),
        ("cpu.max", "10000 100000", "50000 100000"),
        ("cpu.max.burst", "5000", "5000"),
    ]
    assert plan(V2, now, burst=0, quota=60000)[1:] == [("cpu.max.burst", "0", "20000")]
    assert plan(V2, now, weight=50) == [("cpu.weight", "50", "100")]
    on_v1 = NOW1.replace(quota=50000, burst=20000)
    assert plan(V1, on_v1, quota=60000) == [("cpu.cfs_quota_us", "60000", "50000")]


def test_a_burst_follows_a_limit_that_systemd_has_written() -> None:
    now, write = NOW2.replace(quota=50000, burst=20000), Write("/g/cpu.max.burst", "20000", "20000")
    assert writes(V2, "/g", now, now, Bounds(), rewritten=True) == [write]
    assert writes(V2, "/g", now, now.replace(burst=0), Bounds(), rewritten=True) == [
        Write("/g/cpu.max.burst", "0", "20000")
    ]
    on_v1 = NOW1.replace(quota=50000, burst=20000)
    assert writes(V1, "/g", on_v1, on_v1, Bounds(), rewritten=True) == []


def test_unlimited_in_the_kernels_own_words() -> None:
    limited = {"quota": 50000, "burst": 0}
    assert plan(V1, NOW1.replace(**limited), quota=UNLIMITED) == [("cpu.cfs_quota_us", "-1", "50000")]
    assert plan(V2, NOW2.replace(**limited), quota=UNLIMITED) == [("cpu.max", "max 100000", "50000 100000")]


def test_the_period_alone_keeps_the_quota() -> None:
    assert plan(V2, NOW2.replace(quota=50000), period=200000) == [("cpu.max", "50000 200000", "50000 100000")]


@pytest.mark.parametrize(("backend", "now"), [(V1, NOW1), (V2, NOW2)])
def test_what_is_in_force_is_not_written(backend: Backend, now: CpuTune) -> None:
    assert plan(backend, now) == []
    assert plan(backend, now, quota=UNLIMITED, burst=0, idle=False) == []


def test_becoming_idle_comes_last_and_the_weight_is_left_to_the_kernel() -> None:
    assert plan(V2, NOW2, idle=True, quota=50000) == [("cpu.max", "50000 100000", "max 100000"), ("cpu.idle", "1", "0")]
    assert plan(V1, NOW1, idle=True, shares=3) == [("cpu.idle", "1", "0")]


def test_ceasing_to_be_idle_comes_first_and_the_weight_is_put_back() -> None:
    idle = NOW2.replace(idle=True, weight=1)
    assert plan(V2, idle, idle=False, weight=250) == [("cpu.idle", "0", "1"), ("cpu.weight", "250", "100")]
    assert plan(V2, idle, idle=False, weight=100) == [("cpu.idle", "0", "1")]
    assert plan(V1, NOW1.replace(idle=True, shares=3), idle=False, shares=512) == [
        ("cpu.idle", "0", "1"),
        ("cpu.shares", "512", "1024"),
    ]


def test_a_group_without_bandwidth_has_none_written() -> None:
    bare = CpuTune(weight=100, idle=False)
    assert band_of(bare) is None
    assert plan(V2, bare, weight=50) == [("cpu.weight", "50", "100")]


def test_an_idle_group_is_compared_without_its_weight() -> None:
    idle = NOW2.replace(idle=True, weight=1)
    assert same(V2, idle, idle.replace(weight=100))
    assert not same(V2, idle, idle.replace(quota=5000))
    assert not same(V2, NOW2, NOW2.replace(weight=99))


ABOVE = Bounds(Limit("/parent", 50000, 100000))
BELOW = Bounds(None, Limit("/g/inner", 80000, 100000))


@pytest.mark.parametrize(
    ("now", "bounds", "goal", "message", "hint"),
    [
        (
            NOW1,
            ABOVE,
            {"quota": 60000},
            "/g: quota 60000 with period 100000 (0.6 CPUs) is above the limit of its ancestor /parent, 0.5 CPUs "
            "(quota 50000 with period 100000); on cgroup v1 the kernel refuses that",
            "the largest that fits: --quota 50000; or raise /parent first",
        ),
        (
            NOW1,
            BELOW,
            {"quota": 60000},
            "/g: quota 60000 with period 100000 (0.6 CPUs) is below the limit of the group /g/inner, 0.8 CPUs "
            "(quota 80000 with period 100000) inside it; on cgroup v1 the kernel refuses that",
            "the smallest that fits: --quota 80000; or lower /g/inner first",
        ),
        (
            NOW1.replace(quota=50000, burst=20000),
            Bounds(),
            {"quota": 10000},
            "/g: quota 10000 with period 100000 is below the burst of 20000 that is in force",
            "lower the burst with it: --burst 10000",
        ),
        (
            NOW1.replace(quota=50000),
            Bounds(),
            {"burst": 50001},
            "--burst: 50001 is not in range: 0..50000 microseconds, with quota 50000 with period 100000",
            None,
        ),
        (
            NOW1.replace(quota=50000),
            Bounds(),
            {"quota": 17592186044415, "burst": 1},
            "--burst: 1 is not in range: 0..0 microseconds, with quota 17592186044415 with period 100000",
            None,
        ),
    ],
)
def test_what_the_kernel_would_refuse_is_refused_before_anything_is_written(
    now: CpuTune, bounds: Bounds, goal: dict[str, object], message: str, hint: str | None
) -> None:
    with pytest.raises(CpuTuneError) as caught:
        plan(V1, now, bounds, **goal)
    assert (caught.value.message, caught.value.hint) == (message, hint)
    assert type(caught.value) is (UsageError if message.startswith("--burst") else Refused)


states = st.builds(
    CpuTune,
    shares=st.integers(2, 262144),
    weight=st.none(),
    period=st.integers(1000, 1000000),
    quota=st.just(UNLIMITED) | st.integers(10000, 2000000),
    burst=st.integers(0, 10000),
    idle=st.booleans(),
)


@given(states, states, st.sampled_from((V1, V2)))
def test_following_the_plan_reaches_the_goal(now: CpuTune, goal: CpuTune, backend: Backend) -> None:
    if backend is V2:
        now, goal = (state.replace(shares=None, weight=min(state.shares or 1, 10000)) for state in (now, goal))
    held = {key: now[key] for key in CpuTune.KEYS}
    for write in writes(backend, "/g", now, goal, Bounds()):
        follow(backend, held, write)
    assert same(backend, CpuTune(**held), goal)


def follow(backend: Backend, held: dict[str, Any], write: Write) -> None:
    """Do to a state what the kernel does at a write; `before` must be what is there."""
    file = next(file for file in backend.files if write.path == f"/g/{file.name}")
    for key, old, new in zip(file.keys, write.before.split(), write.value.split(), strict=True):
        assert held[key] == number(old)
        assert key != backend.weight_key or not held["idle"]
        held[key] = bool(int(new)) if key == "idle" else number(new)
        if key == "idle":
            held[backend.weight_key] = 3 if held["idle"] else backend.default_weight


def number(word: str) -> object:
    return UNLIMITED if word in ("max", "-1") else int(word)
