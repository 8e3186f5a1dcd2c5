"""In which order to change several cgroups when some of them are inside others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from cputune.core.knobs import DEFAULT_PERIOD, UNLIMITED
from cputune.core.model import CpuTune
from cputune.host.cgroup.bandwidth import Limit, limit_of, ratio
from cputune.host.cgroup.cgroups import Limits

if TYPE_CHECKING:
    from typing import Protocol

    from cputune.host.cgroup.cgroups import Cgroups

    class Moving(Protocol):
        """A cgroup on its way from one state to another."""

        @property
        def cgroup(self) -> str:
            """Where it is."""

        @property
        def now(self) -> CpuTune:
            """What it has."""

        @property
        def goal(self) -> CpuTune:
            """What it is to have."""


M = TypeVar("M", bound="Moving")


def in_order(cgroups: Cgroups, moving: Sequence[M], limits: Limits | None = None) -> list[M]:
    """v1 allows no child above its parent at any moment: first what shrinks, from the inside out, then what grows.

    Then no group is ever above an ancestor that still has to grow, or below a descendant that still has to shrink; and
    each on its way keeps between what it had and what it gets, or has no limit of its own for an instant (`bandwidth`).
    `limits` are those that cgroups have now.
    """
    places = [move.cgroup for move in moving]
    nested = _nested(places)
    if not nested or cgroups.hierarchy.version == 2:
        return list(moving)

    has_now = Limits(cgroups) if limits is None else limits
    reached = Limits(cgroups, {move.cgroup: limit_of(move.cgroup, move.goal) for move in moving}, has_now)

    def turn(move: M) -> tuple[bool, int]:
        has = _ratio(move.now, cgroups.limit_above(move.cgroup, has_now))
        gets = _ratio(move.goal, cgroups.limit_above(move.cgroup, reached))
        depth = move.cgroup.count("/")
        return gets >= has, depth if gets >= has else -depth

    return sorted(moving, key=turn)


def _nested(cgroups: list[str]) -> bool:
    """Return whether one is inside another."""
    known = set(cgroups)
    return any(cgroup[:end] in known for cgroup in cgroups for end in range(1, len(cgroup)) if cgroup[end] == "/")


def _ratio(state: CpuTune, above: Limit | None) -> int:
    """Return what a group can get: without a limit of its own, what its nearest limited ancestor has."""
    if isinstance(state.quota, int):
        return ratio(state.quota, state.period or DEFAULT_PERIOD)
    return ratio(above.quota, above.period) if above else ratio(UNLIMITED, DEFAULT_PERIOD)
