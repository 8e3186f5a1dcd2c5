"""cgroup v2's files. Source: Documentation/admin-guide/cgroup-v2.rst, section CPU."""

from __future__ import annotations

from cputune.core.knobs import DEFAULT_WEIGHT, UNLIMITED, Quota
from cputune.core.model import CpuTune, Stats, Write
from cputune.host.cgroup.bandwidth import Band
from cputune.host.system import Host

VERSION = 2
WEIGHT_KEY = "weight"
WEIGHT_FILE = "cpu.weight"
DEFAULT = DEFAULT_WEIGHT
LIMIT_FILE = "cpu.max"
BURST_FILE = "cpu.max.burst"
IDLE_FILE = "cpu.idle"
# One write of cpu.max sets both.
MOVES: tuple[tuple[str, ...], ...] = (("quota", "period"), ("burst",))
SYSTEMD_MOVES: tuple[tuple[str, ...], ...] = (("quota", "period"),)
"""The order of cgroup_apply_unified_cpu_quota() in systemd's src/core/cgroup.c."""
LIMIT_RESETS_BURST = True
"""Before Linux 6.10 a write of cpu.max divides cpu.max.burst by 1000 (mended by kernel commit 49217ea147df)."""


def _text(host: Host, directory: str, name: str) -> str | None:
    try:
        return host.read(f"{directory}/{name}")
    except FileNotFoundError:
        return None


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def parse_max(text: str) -> tuple[Quota, int]:
    """cpu.max: "max 100000" or "50000 100000"; some vendors' kernels add a third field."""
    quota, period = text.split()[:2]
    return UNLIMITED if quota == "max" else int(quota), int(period)


def read_limit(host: Host, directory: str) -> tuple[Quota, int] | None:
    """Quota and period in microseconds; None where this group has no cpu.max. Raises OSError."""
    text = _text(host, directory, LIMIT_FILE)
    return None if text is None else parse_max(text)


def read(host: Host, directory: str) -> CpuTune:
    """All that is in force in a group. Raises OSError."""
    quota, period = read_limit(host, directory) or (None, None)
    idle = _number(_text(host, directory, IDLE_FILE))
    return CpuTune(
        weight=_number(_text(host, directory, WEIGHT_FILE)),
        period=period,
        quota=quota,
        burst=_number(_text(host, directory, BURST_FILE)),
        idle=None if idle is None else idle == 1,
    )


def band_write(directory: str, old: Band, new: Band) -> Write:
    """The one write that leads from `old` to `new`: quota and period always together."""
    if (old.quota, old.period) != (new.quota, new.period):
        return Write(f"{directory}/{LIMIT_FILE}", _words(new), _words(old))
    return Write(f"{directory}/{BURST_FILE}", str(new.burst), str(old.burst))


def _words(band: Band) -> str:
    return f"{'max' if band.quota is UNLIMITED else band.quota} {band.period}"


def parse_stats(text: str, usage: str | None = None) -> Stats:
    """Counters from cpu.stat; all times are microseconds. The bandwidth fields are there only with the controller."""
    found = {key: int(value) for key, _, value in (line.partition(" ") for line in text.splitlines()) if value}
    return Stats(
        found.get("usage_usec"), found.get("nr_periods"), found.get("nr_throttled"), found.get("throttled_usec")
    )


def texts(state: CpuTune) -> dict[str, str]:
    """The files of a group with what they say in this state; an idle group's weight is the kernel's affair."""
    found = {} if state.idle or state.weight is None else {WEIGHT_FILE: str(state.weight)}
    if state.quota is not None and state.period is not None:
        found[LIMIT_FILE] = _words(Band(state.quota, state.period, 0))
    if state.burst is not None:
        found[BURST_FILE] = str(state.burst)
    return found if state.idle is None else {**found, IDLE_FILE: str(int(state.idle))}
