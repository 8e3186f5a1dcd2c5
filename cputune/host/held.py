"""What systemd holds for a unit, as the state that it writes into the unit's cgroup. Pure.

Source: cgroup_context_apply() and cgroup_cpu_adjust_period() in systemd's src/core/cgroup.c.
"""

from __future__ import annotations

from cputune.core.knobs import DEFAULT_PERIOD, DEFAULT_SHARES, DEFAULT_WEIGHT, UNLIMITED, Quota, Value
from cputune.core.model import CpuTune
from cputune.host.systemd import INFINITY, Properties

_BAND = ("CPUQuotaPerSecUSec", "CPUQuotaPeriodUSec", "CPUWeight")
CPU_PROPERTIES = {1: (*_BAND, "CPUShares"), 2: _BAND}
"""By cgroup version: the properties that together say what systemd writes."""
_SECOND = 1_000_000
_SMALLEST, _LONGEST = 1000, 1_000_000
"""Microseconds: the smallest quota and period, and the longest period, that systemd writes."""


def held_state(version: int, held: Properties) -> CpuTune:
    """What systemd writes for these properties of a unit; no value for a knob of which they say nothing."""
    values: dict[str, Value] = {}
    if "CPUQuotaPerSecUSec" in held:
        quota, period = _limit(held["CPUQuotaPerSecUSec"], held.get("CPUQuotaPeriodUSec", INFINITY))
        values |= {"quota": quota, "period": period}
    if {"CPUWeight", "CPUShares"} & held.keys():
        weight, shares = held.get("CPUWeight", INFINITY), held.get("CPUShares", INFINITY)
        values |= {"shares": _shares(weight, shares)} if version == 1 else _weight(weight)
    return CpuTune(**values)


def _limit(per_second: int, period: int) -> tuple[Quota, int]:
    if per_second == INFINITY:
        return UNLIMITED, DEFAULT_PERIOD
    period = DEFAULT_PERIOD if period == INFINITY else period
    period = min(max(period, _SMALLEST, _SMALLEST * _SECOND // per_second), _LONGEST)
    return max(per_second * period // _SECOND, _SMALLEST), period


def _shares(weight: int, shares: int) -> int:
    if weight != INFINITY:
        return min(max(weight * DEFAULT_SHARES // DEFAULT_WEIGHT, 2), 262144)
    return DEFAULT_SHARES if shares == INFINITY else shares


def _weight(weight: int) -> dict[str, Value]:
    """A weight of 0 is idle."""
    return {"weight": DEFAULT_WEIGHT if weight == INFINITY else weight or None, "idle": weight == 0}
