"""cgroup v1's files. Source: Documentation/scheduler/sched-bwc.rst and kernel/sched/core.c (cpu_legacy_files)."""

from __future__ import annotations

from cputune.core.knobs import UNLIMITED, Quota
from cputune.core.model import Stats
from cputune.core.units import parse_integer
from cputune.host.cgroup.backend import Backend, KnobFile, counters, number


def _quota(text: str) -> tuple[Quota]:
    quota = int(text)
    return (UNLIMITED if quota < 0 else quota,)


def _quota_text(quota: Quota) -> str:
    return "-1" if quota is UNLIMITED else str(quota)


def parse_stats(text: str, usage: str | None) -> Stats:
    """Counters from cpu.stat and cpuacct.usage, both of which count in nanoseconds."""
    found, used = counters(text), parse_integer((usage or "").strip())
    throttled = found.get("throttled_time")
    return Stats(
        usage=None if used is None else used // 1000,
        periods=found.get("nr_periods"),
        throttled=found.get("nr_throttled"),
        throttled_usec=None if throttled is None else throttled // 1000,
    )


V1 = Backend(
    1,
    "shares",
    (
        KnobFile("cpu.shares", "shares", decode=number, encode=str),
        KnobFile("cpu.cfs_quota_us", "quota", decode=_quota, encode=_quota_text),
        KnobFile("cpu.cfs_period_us", "period", decode=number, encode=str),
        KnobFile("cpu.cfs_burst_us", "burst", decode=number, encode=str),
        KnobFile("cpu.idle", "idle"),
    ),
    parse_stats,
    systemd_moves=(("period",), ("quota",)),  # cgroup_apply_legacy_cpu_quota() in systemd's src/core/cgroup.c
    limit_resets_burst=False,
)
