"""In which order to write quota, period and burst so that the kernel accepts every single step. Pure.

A model of the kernel's rules, and a search over the few orders there are: the first one whose every intermediate
state is legal wins. Source of the rules: kernel/sched/core.c, tg_set_cfs_bandwidth and tg_cfs_schedulable_down.
"""

from __future__ import annotations

from itertools import permutations
from typing import NamedTuple

from cputune.core.knobs import MAX_QUOTA, MIN_QUOTA, UNLIMITED, Quota
from cputune.core.model import CpuTune

_FOREVER = 1 << 64
"""The ratio of a group without limit: above every other."""


class Band(NamedTuple):
    """The bandwidth of one cgroup, in microseconds."""

    quota: Quota
    period: int
    burst: int


class Limit(NamedTuple):
    """A cgroup that has a quota, named for messages; microseconds."""

    cgroup: str
    quota: int
    period: int

    @property
    def cpus(self) -> float:
        """The limit in CPUs."""
        return self.quota / self.period


def limit_of(cgroup: str, state: CpuTune) -> Limit | None:
    """Return the limit that a cgroup in this state has; None for none."""
    return Limit(cgroup, state.quota, state.period) if isinstance(state.quota, int) and state.period else None


class Bounds(NamedTuple):
    """What cgroup v1 demands of a group: not above its nearest limited ancestor, not below a limited descendant."""

    ancestor: Limit | None = None
    descendant: Limit | None = None


def ratio(quota: Quota, period: int) -> int:
    """quota / period as the kernel compares it: fixed point with 20 bits, rounded down (to_ratio)."""
    return (quota << 20) // period if isinstance(quota, int) else _FOREVER


def largest_quota(limit: Limit, period: int) -> int:
    """Return the largest quota with `period` that the kernel does not find above `limit`."""
    return ((ratio(limit.quota, limit.period) + 1) * period - 1) >> 20


def shortest_period(limit: Limit) -> int:
    """Return the shortest period with which a quota of 1000, the kernel's smallest, is not above `limit`."""
    return -(-((MIN_QUOTA << 20) + 1) // (ratio(limit.quota, limit.period) + 1))


def smallest_quota(limit: Limit, period: int) -> int:
    """Return the smallest quota with `period` that the kernel does not find below `limit`."""
    return -(-ratio(limit.quota, limit.period) * period >> 20)


def fits(band: Band, bounds: Bounds) -> bool:
    """Return whether the kernel would let a group be in this state."""
    if isinstance(band.quota, int) and (band.burst > band.quota or band.quota + band.burst > MAX_QUOTA):
        return False
    if band.quota is UNLIMITED:
        return True
    above, below = bounds
    own = ratio(band.quota, band.period)
    if above and own > ratio(above.quota, above.period):
        return False
    return not (below and own < ratio(below.quota, below.period))


def path(before: Band, goal: Band, moves: tuple[tuple[str, ...], ...], bounds: Bounds) -> list[Band] | None:
    """Return the states to go through from `before` to `goal`, one write each; None where no order is legal.

    `moves` are the fields that one write changes: each alone on v1, quota and period together on v2. Orders whose
    states stay between the old and the new limit come first; lifting the limit for an instant comes last.
    """
    if before == goal:
        return []
    needed = [move for move in moves if any(getattr(before, field) != getattr(goal, field) for field in move)]
    orders = [_walk(before, goal, order) for order in permutations(needed)]
    legal = [states for states in orders if all(fits(band, bounds) for band in states)]
    if legal:
        return min(legal, key=lambda states: _excess(before, goal, states))
    lifted = before._replace(quota=UNLIMITED)
    through = moves if goal.quota is not UNLIMITED else needed
    for order in permutations(through):
        states = [lifted, *_walk(lifted, goal, order)]
        if all(fits(band, bounds) for band in states):
            return [band for last, band in zip([before, *states], states, strict=False) if band != last]
    return None


def _walk(start: Band, goal: Band, order: tuple[tuple[str, ...], ...]) -> list[Band]:
    states = []
    for move in order:
        start = start._replace(**{field: getattr(goal, field) for field in move})
        states.append(start)
    return states


def _excess(before: Band, goal: Band, states: list[Band]) -> tuple[int, int]:
    """How far the states leave the span between old and new limit: upwards counts first, then downwards."""
    ends = (_fine_ratio(before), _fine_ratio(goal))
    ratios = [_fine_ratio(band) for band in states]
    return max(0, max(ratios) - max(ends)), max(0, min(ends) - min(ratios))


def _fine_ratio(band: Band) -> int:
    """quota / period, finer than the kernel compares it, to choose among orders that are equal to the kernel."""
    return (band.quota << 64) // band.period if isinstance(band.quota, int) else _FOREVER << 64
