"""cgroup v2's files. Source: Documentation/admin-guide/cgroup-v2.rst, section CPU."""

from __future__ import annotations

from cputune.core.knobs import UNLIMITED, Quota
from cputune.core.model import Stats
from cputune.host.cgroup.backend import Backend, KnobFile, counters, number


def parse_max(text: str) -> tuple[Quota, int]:
    """cpu.max: "max 100000" or "50000 100000"; some vendors' kernels add a third field."""
    quota, period = text.split()[:2]
    return UNLIMITED if quota == "max" else int(quota), int(period)


def _max_text(quota: Quota, period: int) -> str:
    return f"{'max' if quota is UNLIMITED else quota} {period}"


def parse_stats(text: str, usage: str | None = None) -> Stats:
    """Counters from cpu.stat, which counts in microseconds. Those of the bandwidth need the controller."""
    found = counters(text)
    return Stats(
        found.get("usage_usec"), found.get("nr_periods"), found.get("nr_throttled"), found.get("throttled_usec")
    )


V2 = Backend(
    2,
    "weight",
    (
        KnobFile("cpu.weight", "weight", decode=number, encode=str, also=("cpu.weight.nice",)),
        KnobFile("cpu.max", "quota", "period", decode=parse_max, encode=_max_text),
        KnobFile("cpu.max.burst", "burst", decode=number, encode=str),
        KnobFile("cpu.idle", "idle"),
    ),
    parse_stats,
    systemd_moves=(("quota", "period"),),  # cgroup_apply_unified_cpu_quota() in systemd's src/core/cgroup.c
    # Before Linux 6.10 a write of cpu.max divides cpu.max.burst by 1000 (mended by kernel commit 49217ea147df).
    limit_resets_burst=True,
)
