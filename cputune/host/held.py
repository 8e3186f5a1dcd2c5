"""What systemd holds for a unit, as the state that it writes into the unit's cgroup. Pure.

Source: cgroup_context_apply() and cgroup_cpu_adjust_period() in systemd's src/core/cgroup.c.
"""

from __future__ import annotations

from cputune.core.knobs import (
    DEFAULT_PERIOD,
    DEFAULT_SHARES,
    DEFAULT_WEIGHT,
    KNOB,
    MAX_PERIOD,
    MAX_SHARES,
    MIN_QUOTA,
    MIN_SHARES,
    UNLIMITED,
    Quota,
    Value,
)
from cputune.core.model import CpuTune
from cputune.host.systemd import INFINITY, Properties

_QUOTA, _PERIOD, _WEIGHT, _SHARES = (KNOB[key].systemd for key in ("quota", "period", "weight", "shares"))
CPU_PROPERTIES = {1: (_QUOTA, _PERIOD, _WEIGHT, _SHARES), 2: (_QUOTA, _PERIOD, _WEIGHT)}
"""By cgroup version: the properties that together say what systemd writes."""
_SECOND = 1_000_000
_SMALLEST, _LONGEST = MIN_QUOTA, MAX_PERIOD
"""Microseconds: the smallest quota and period, and the longest period, that systemd writes."""


def held_state(version: int, held: Properties) -> CpuTune:
    """Return what systemd writes for these properties of a unit; no value for a knob of which they say nothing."""
    values: dict[str, Value] = {}
    if _QUOTA in held:
        quota, period = _limit(held[_QUOTA], held.get(_PERIOD, INFINITY))
        values |= {"quota": quota, "period": period}
    if {_WEIGHT, _SHARES} & held.keys():
        weight, shares = held.get(_WEIGHT, INFINITY), held.get(_SHARES, INFINITY)
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
        return min(max(weight * DEFAULT_SHARES // DEFAULT_WEIGHT, MIN_SHARES), MAX_SHARES)
    return DEFAULT_SHARES if shares == INFINITY else shares


def _weight(weight: int) -> dict[str, Value]:
    """Return a weight of 0 is idle."""
    return {"weight": DEFAULT_WEIGHT if weight == INFINITY else weight or None, "idle": weight == 0}
