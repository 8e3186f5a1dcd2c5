"""cgroup v1's files. Source: Documentation/scheduler/sched-bwc.rst and kernel/sched/core.c (cpu_legacy_files)."""

from __future__ import annotations

from cputune.core.knobs import UNLIMITED, Quota
from cputune.core.model import Stats
from cputune.host.cgroup.backend import Backend, KnobFile, number


def _quota(text: str) -> tuple[Quota]:
    quota = int(text)
    return (UNLIMITED if quota < 0 else quota,)


def _quota_text(quota: Quota) -> str:
    return "-1" if quota is UNLIMITED else str(quota)


def parse_stats(text: str, usage: str | None) -> Stats:
    """Counters from cpu.stat and cpuacct.usage, both of which count in nanoseconds."""
    found = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
    throttled = found.get("throttled_time")
    return Stats(
        usage=int(usage) // 1000 if usage else None,
        periods=int(found["nr_periods"]) if "nr_periods" in found else None,
        throttled=int(found["nr_throttled"]) if "nr_throttled" in found else None,
        throttled_usec=int(throttled) // 1000 if throttled else None,
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
