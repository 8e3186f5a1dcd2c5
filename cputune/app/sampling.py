"""What domains use, and are held back by, in between two readings of the kernel's counters."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cputune.core.model import Stats


class Sample(NamedTuple):
    """What a domain did during an interval. None = not counted, or the counters began anew."""

    cpus: float | None
    throttled: float | None
    """The share of its periods in which the group was held back; None with no period, which is no limit or no work."""
    by: str | None
    """The cgroup whose limit held it back most: the domain's own, or an ancestor's."""


def sample_of(cgroup: str | None, before: dict[str, Stats], after: dict[str, Stats], seconds: float) -> Sample:
    """Two readings of the counters, by cgroup -> use and throttling in between. Pure."""
    shares = {
        name: share
        for name in after
        if name in before and (share := throttled_share(before[name], after[name])) is not None
    }
    worst = max(shares, key=lambda name: shares[name], default=None)
    used = _delta(before[cgroup].usage, after[cgroup].usage) if cgroup in before and cgroup in after else None
    cpus = None if used is None or seconds <= 0 else used / 1e6 / seconds
    return Sample(cpus, shares[worst] if worst else None, worst if worst and shares[worst] > 0 else None)


def throttled_share(before: Stats, after: Stats) -> float | None:
    """Throttled periods / periods; None with no period in between, or where the counters began anew. Pure."""
    periods, throttled = _delta(before.periods, after.periods), _delta(before.throttled, after.throttled)
    return None if not periods or throttled is None else throttled / periods


def _delta(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None or after < before else after - before
