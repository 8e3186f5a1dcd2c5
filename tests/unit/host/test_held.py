"""What systemd holds for a unit, in the terms of the kernel: the rules of cgroup_context_apply() in its source."""

from __future__ import annotations

import pytest

from cputune.core.knobs import UNLIMITED
from cputune.core.model import CpuTune
from cputune.host.held import held_state
from cputune.host.systemd import INFINITY


def limit(per_second: int, period: int = INFINITY) -> dict[str, int]:
    return {"CPUQuotaPerSecUSec": per_second, "CPUQuotaPeriodUSec": period}


@pytest.mark.parametrize(
    ("held", "state"),
    [
        (limit(250_000), CpuTune(quota=25000, period=100000)),
        (limit(250_000, 50000), CpuTune(quota=12500, period=50000)),
        (limit(333_334, 99999), CpuTune(quota=33333, period=99999)),
        (limit(INFINITY), CpuTune(quota=UNLIMITED, period=100000)),
        (limit(INFINITY, 50000), CpuTune(quota=UNLIMITED, period=100000)),  # always the default without a quota
        (limit(10_000, 1000), CpuTune(quota=1000, period=100000)),  # so long that the quota is a millisecond
        (limit(100, 1_000_000), CpuTune(quota=1000, period=1_000_000)),  # and not longer than a second
        (limit(2_000_000, 10), CpuTune(quota=2000, period=1000)),
        ({"CPUQuotaPerSecUSec": INFINITY, "CPUWeight": 50}, CpuTune(quota=UNLIMITED, period=100000, weight=50)),
        ({"CPUWeight": INFINITY}, CpuTune(weight=100)),
    ],
)
def test_what_version_2_gets(held: dict[str, int], state: CpuTune) -> None:
    assert held_state(2, held) == (state.replace(idle=False) if state.weight else state)


def test_a_weight_of_0_is_idle() -> None:
    assert held_state(2, {"CPUWeight": 0}) == CpuTune(idle=True)


@pytest.mark.parametrize(
    ("held", "shares"),
    [
        ({"CPUWeight": INFINITY, "CPUShares": 512}, 512),
        ({"CPUWeight": INFINITY, "CPUShares": INFINITY}, 1024),
        ({"CPUShares": 2}, 2),
        ({"CPUWeight": 50, "CPUShares": 300}, 512),  # the weight counts
        ({"CPUWeight": 0, "CPUShares": INFINITY}, 2),
        ({"CPUWeight": 10000, "CPUShares": INFINITY}, 102400),
    ],
)
def test_version_1_gets_shares(held: dict[str, int], shares: int) -> None:
    assert held_state(1, held) == CpuTune(shares=shares)


def test_of_what_is_not_asked_nothing_is_known() -> None:
    assert held_state(1, {}) == held_state(2, {}) == CpuTune()
