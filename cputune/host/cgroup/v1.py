"""cgroup v1's files. Source: Documentation/scheduler/sched-bwc.rst and kernel/sched/core.c (cpu_legacy_files)."""

from __future__ import annotations

from cputune.core.knobs import DEFAULT_SHARES, UNLIMITED, Quota
from cputune.core.model import CpuTune, Stats, Write
from cputune.host.cgroup.bandwidth import Band
from cputune.host.system import Host

VERSION = 1
WEIGHT_KEY = "shares"
WEIGHT_FILE = "cpu.shares"
DEFAULT = DEFAULT_SHARES
LIMIT_FILE = "cpu.cfs_quota_us"
PERIOD_FILE = "cpu.cfs_period_us"
BURST_FILE = "cpu.cfs_burst_us"
IDLE_FILE = "cpu.idle"
# Each file is written alone, so the order matters.
MOVES: tuple[tuple[str, ...], ...] = (("quota",), ("period",), ("burst",))
SYSTEMD_MOVES: tuple[tuple[str, ...], ...] = (("period",), ("quota",))
"""The order of cgroup_apply_legacy_cpu_quota() in systemd's src/core/cgroup.c."""
LIMIT_RESETS_BURST = False


def _number(host: Host, directory: str, name: str) -> int | None:
    try:
        return int(host.read(f"{directory}/{name}"))
    except FileNotFoundError:
        return None


def read_limit(host: Host, directory: str) -> tuple[Quota, int] | None:
    """Quota and period in microseconds; None where this group has no such files. Raises OSError."""
    quota = _number(host, directory, LIMIT_FILE)
    period = _number(host, directory, PERIOD_FILE) if quota is not None else None
    return None if quota is None or period is None else (UNLIMITED if quota < 0 else quota, period)


def read(host: Host, directory: str) -> CpuTune:
    """All that is in force in a group. Raises OSError."""
    quota, period = read_limit(host, directory) or (None, None)
    idle = _number(host, directory, IDLE_FILE)
    return CpuTune(
        shares=_number(host, directory, WEIGHT_FILE),
        period=period,
        quota=quota,
        burst=_number(host, directory, BURST_FILE),
        idle=None if idle is None else idle == 1,
    )


def band_write(directory: str, old: Band, new: Band) -> Write:
    """The one write that leads from `old` to `new`."""
    if old.quota != new.quota:
        return Write(f"{directory}/{LIMIT_FILE}", _word(new.quota), _word(old.quota))
    if old.period != new.period:
        return Write(f"{directory}/{PERIOD_FILE}", str(new.period), str(old.period))
    return Write(f"{directory}/{BURST_FILE}", str(new.burst), str(old.burst))


def _word(quota: Quota) -> str:
    return "-1" if quota is UNLIMITED else str(quota)


def parse_stats(text: str, usage: str | None) -> Stats:
    """Counters from cpu.stat (nanoseconds there) and cpuacct.usage (nanoseconds)."""
    found = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
    throttled = found.get("throttled_time")
    return Stats(
        usage=int(usage) // 1000 if usage else None,
        periods=int(found["nr_periods"]) if "nr_periods" in found else None,
        throttled=int(found["nr_throttled"]) if "nr_throttled" in found else None,
        throttled_usec=int(throttled) // 1000 if throttled else None,
    )


def texts(state: CpuTune) -> dict[str, str]:
    """The files of a group with what they say in this state; an idle group's weight is the kernel's affair."""
    found = {} if state.idle or state.shares is None else {WEIGHT_FILE: str(state.shares)}
    if state.quota is not None:
        found |= {LIMIT_FILE: _word(state.quota), PERIOD_FILE: str(state.period)}
    if state.burst is not None:
        found[BURST_FILE] = str(state.burst)
    return found if state.idle is None else {**found, IDLE_FILE: str(int(state.idle))}
