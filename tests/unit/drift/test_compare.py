"""Who has likely changed what: every rule, and no difference where there is none."""

from __future__ import annotations

from typing import Any

import pytest

from cputune.core.knobs import MAX_QUOTA, UNLIMITED
from cputune.core.model import Change, CpuTune, Domain, Scale
from cputune.drift.compare import Facts, Held, differences, explain, text
from cputune.drift.records import OtherName

WEB = Domain("docker", "web", running=True, persistent=True, limit_cgroup="/web", weight_cgroup="/web", scale=Scale.OCI)
LXC = WEB._replace(runtime="lxc", scale=Scale.KERNEL)
LIVE = CpuTune(weight=100, period=100000, quota=90000, burst=0, idle=False)
UNIT = Held("web.scope", CpuTune(quota=90000, period=100000), 10_000)


def told(live: CpuTune = LIVE, **facts: Any) -> list[str]:
    return [text(difference) for difference in explain(Facts(WEB, 2, live, **facts))]


def drifts(live: CpuTune = LIVE, **facts: Any) -> list[bool]:
    return [difference.drift for difference in explain(Facts(WEB, 2, live, **facts))]


SET = Change(quota=50000)


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        ({"saved": SET}, "not put into force since it started, or was saved"),
        ({"saved": SET, "restarted": True}, "restarted since"),
        ({"applied": SET}, "somebody else changed it"),
        ({"applied": SET, "live": LIVE.replace(quota=UNLIMITED)}, "somebody else put back the kernel's default"),
        ({"applied": SET, "remembered": Change(quota=90000)}, "docker put back what it remembers"),
        ({"applied": SET, "held": (UNIT,)}, "systemd put back what it holds for web.scope"),
        ({"applied": Change(quota=12345), "live": LIVE.replace(quota=12000), "held": (UNIT,)},
         "systemd rounded it, as it keeps it for web.scope"),
        # docker sets both, so the unit's value says nothing more.
        ({"applied": SET, "remembered": Change(quota=90000), "held": (UNIT,)}, "docker put back what it remembers"),
    ],
)  # fmt: skip
def test_a_likely_cause(facts: dict[str, Any], cause: str) -> None:
    live = facts.pop("live", LIVE)
    (line,) = told(live, **facts)
    assert line.endswith(f"({cause})")
    assert drifts(live, **facts) == [True]


@pytest.mark.parametrize(
    "facts",
    [
        dict[str, Any](),
        {"saved": Change(quota=90000), "applied": Change(quota=90000)},
        {"saved": Change(shares=1024, quota=90000)},
        {"applied": Change(quota=UNLIMITED, period=50000), "live": LIVE.replace(quota=MAX_QUOTA)},
        {"remembered": Change(quota=1000)},
        {"saved": Change(idle=True, weight=7), "live": LIVE.replace(idle=True, weight=1)},
    ],
)
def test_no_difference(facts: dict[str, Any]) -> None:
    assert told(facts.pop("live", LIVE), **facts) == []


def test_what_cputune_set_itself_is_a_difference_and_no_drift() -> None:
    facts: dict[str, Any] = {"saved": SET, "applied": Change(quota=90000)}
    assert told(**facts) == ["quota: config 50000, applied 90000, live 90000 (set so by cputune itself)"]
    assert drifts(**facts) == [False]


def test_each_knob_has_its_own_cause() -> None:
    remembered = Change(shares=1024)
    assert told(applied=Change(weight=300, quota=50000), remembered=remembered, held=(UNIT,)) == [
        "weight: applied 300, live 100 (docker put back what it remembers)",
        "quota: applied 50000, live 90000 (systemd put back what it holds for web.scope)",
    ]


def test_a_group_that_somebody_made_idle_has_lost_its_weight() -> None:
    idle = LIVE.replace(idle=True, weight=1)
    assert told(idle, saved=Change(weight=50, quota=90000), applied=Change(weight=50)) == [
        "weight: config 50, applied 50, live 1 (somebody else changed it)",
        "idle: config false, applied false, live true (somebody else changed it)",
    ]
    assert told(LIVE, saved=Change(weight=50), applied=Change(idle=False)) == [
        "weight: config 50, live 100 (not put into force since it started, or was saved)"
    ]


@pytest.mark.parametrize("weight", [20, 50, 59])
def test_shares_by_another_name_may_be_converted_in_another_way(weight: int) -> None:
    put = (OtherName("oci:crun/web", Change(shares=512)),)
    assert drifts(CpuTune(weight=weight), applied=Change(weight=300), elsewhere=put) == [False]
    assert drifts(CpuTune(weight=weight + 1), applied=Change(weight=300), elsewhere=put) == [True]


def test_what_is_in_force_is_no_difference() -> None:
    state = CpuTune(weight=50, period=100000, quota=UNLIMITED, burst=0, idle=False)
    same = Change(weight=50, quota=UNLIMITED, period=100000, burst=0, idle=False)
    assert differences("config", same, state, LXC, 2) == []
    assert differences("config", Change(shares=512), state, LXC, 2) == []
    assert differences("config", Change(), state, LXC, 2) == []


def test_differences_in_words() -> None:
    state = CpuTune(weight=100, period=100000, quota=UNLIMITED, burst=0, idle=False)
    assert differences("config", Change(weight=50, quota=50000, idle=True), state, LXC, 2) == [
        "weight: config 50, live 100",
        "quota: config 50000, live unlimited",
        "idle: config true, live false",
    ]
    idle = state.replace(idle=True, weight=1)
    assert differences("config", Change(weight=50, idle=True), idle, LXC, 2) == []
    assert differences("set", Change(weight=50), idle, LXC, 2) == [
        "weight: set 50, live 1",
        "idle: set false, live true",
    ]


@pytest.mark.parametrize(
    ("wanted", "state", "found"),
    [
        (Change(quota=50000), CpuTune(quota=50000, period=100000), []),
        (Change(quota=50000), CpuTune(quota=20000, period=100000), ["quota: docker 50000, live 20000"]),
        (Change(quota=UNLIMITED, period=50000), CpuTune(quota=UNLIMITED, period=100000), []),
        (Change(quota=UNLIMITED), CpuTune(quota=MAX_QUOTA, period=100000), []),
        (Change(quota=50000, period=50000), CpuTune(quota=50000, period=100000), ["period: docker 50000, live 100000"]),
        (Change(shares=512), CpuTune(weight=59), []),
        (Change(shares=512), CpuTune(weight=100), ["weight: docker 59, live 100"]),
    ],
)
def test_what_a_runtime_remembers_and_what_is_in_force(wanted: Change, state: CpuTune, found: list[str]) -> None:
    domain = WEB._replace(runtime="docker", scale=Scale.OCI)
    assert differences("docker", wanted, state, domain, 2) == found
