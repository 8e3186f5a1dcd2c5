"""What systemd writes when a property of a unit changes: all that it holds, as far as the kernel takes it."""

from __future__ import annotations

from cputune.core.knobs import UNLIMITED
from cputune.core.model import CpuTune
from cputune.host.cgroup.backend import Backend
from cputune.host.cgroup.bandwidth import Bounds, Limit
from cputune.host.cgroup.realized import realized
from cputune.host.cgroup.v1 import V1
from cputune.host.cgroup.v2 import V2

NOW1 = CpuTune(shares=1024, period=100000, quota=UNLIMITED, burst=0, idle=False)
NOW2 = CpuTune(weight=100, period=100000, quota=UNLIMITED, burst=0, idle=False)
HELD1 = CpuTune(shares=1024, period=100000, quota=UNLIMITED)
HELD2 = CpuTune(weight=100, period=100000, quota=UNLIMITED, idle=False)


def written(
    backend: Backend, now: CpuTune, held: CpuTune, bounds: Bounds | None = None
) -> tuple[list[tuple[str, str, str]], CpuTune]:
    """The writes as (file, value, before), and the state afterwards."""
    found = realized(backend, "/g", now, held, bounds or Bounds())
    return [(write.path.removeprefix("/g/"), write.value, write.before) for write in found.writes], found.state


def test_what_is_there_already_is_not_counted() -> None:
    assert written(V1, NOW1, HELD1) == ([], NOW1)
    assert written(V2, NOW2, HELD2) == ([], NOW2)


def test_version_2_gets_weight_and_limit() -> None:
    assert written(V2, NOW2, HELD2.replace(weight=50, quota=20000, period=50000)) == (
        [("cpu.weight", "50", "100"), ("cpu.max", "20000 50000", "max 100000")],
        NOW2.replace(weight=50, quota=20000, period=50000),
    )


def test_version_1_gets_shares_then_period_then_quota() -> None:
    assert written(V1, NOW1, HELD1.replace(shares=512, quota=20000, period=50000)) == (
        [
            ("cpu.shares", "512", "1024"),
            ("cpu.cfs_period_us", "50000", "100000"),
            ("cpu.cfs_quota_us", "20000", "-1"),
        ],
        NOW1.replace(shares=512, quota=20000, period=50000),
    )


def test_idle_comes_and_goes_before_the_weight() -> None:
    idle = NOW2.replace(idle=True, weight=1)
    assert written(V2, NOW2, CpuTune(idle=True))[0] == [("cpu.idle", "1", "0")]
    assert written(V2, idle, HELD2.replace(weight=50)) == (
        [("cpu.idle", "0", "1"), ("cpu.weight", "50", "100")],
        NOW2.replace(weight=50),
    )
    assert written(V2, idle, CpuTune(idle=True)) == ([], idle)


def test_the_weight_of_an_idle_group_cannot_be_written() -> None:
    idle = NOW1.replace(idle=True, shares=3)
    assert written(V1, idle, HELD1.replace(shares=512)) == ([], idle)


def test_what_the_kernel_refuses_stays() -> None:
    burst = NOW2.replace(quota=50000, burst=40000)
    assert written(V2, burst, HELD2.replace(quota=30000)) == ([], burst)
    half = Bounds(Limit("/", 50000, 100000))
    limited = NOW1.replace(quota=50000)
    assert written(V1, limited, HELD1.replace(quota=20000, period=50000), half) == (
        [("cpu.cfs_quota_us", "20000", "50000")],  # with half the period it would have been one CPU for a moment
        limited.replace(quota=20000),
    )


def test_a_burst_is_left_alone() -> None:
    burst = NOW2.replace(quota=50000, burst=7000)
    assert written(V2, burst, HELD2.replace(quota=40000))[1].burst == 7000


def test_without_a_limits_file_nothing_is_written_to_it() -> None:
    bare = CpuTune(weight=100, idle=False)
    assert written(V2, bare, HELD2.replace(quota=40000, weight=50)) == (
        [("cpu.weight", "50", "100")],
        bare.replace(weight=50),
    )
