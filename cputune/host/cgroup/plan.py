"""(state now, state wanted, what other groups allow) -> the ordered writes into one cgroup. Pure."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from cputune.core.errors import Refused, UsageError
from cputune.core.knobs import KNOB, MAX_QUOTA, MIN_QUOTA, UNLIMITED, Value
from cputune.core.model import CpuTune, Write
from cputune.host.cgroup.bandwidth import (
    Band,
    Bounds,
    Limit,
    fits,
    largest_quota,
    path,
    shortest_period,
    smallest_quota,
)

if TYPE_CHECKING:
    from cputune.host.cgroup.backend import Backend


def writes(
    backend: Backend, directory: str, now: CpuTune, goal: CpuTune, bounds: Bounds, *, rewritten: bool = False
) -> list[Write]:
    """Return the writes that lead from `now` to `goal`, each acceptable to the kernel when its turn comes.

    A burst is written once more behind the limit, with which some kernels change it; also where systemd has just
    written the limit (`rewritten`).

    Raises Refused where the goal is one that the kernel would not take: nothing has been touched then.
    """
    plan: list[Write] = []
    if now.idle and goal.idle is False:
        awake = now.replace(idle=False)
        plan.append(backend.write(directory, "idle", now, awake))
        # The kernel has forgotten the weight: kernel/sched/core.c, sched_group_set_idle.
        now = awake.replace(**{backend.weight_key: backend.default_weight})
    if goal[backend.weight_key] not in (None, now[backend.weight_key]) and not goal.idle:
        plan.append(backend.write(directory, backend.weight_key, now, goal))
    plan += _band_writes(backend, directory, now, goal, bounds, rewritten=rewritten)
    others = (file.keys[0] for file in backend.others)
    plan += [backend.write(directory, key, now, goal) for key in others if goal[key] not in (None, now[key])]
    if goal.idle and not now.idle:
        plan.append(backend.write(directory, "idle", now, goal))
    return plan


def band_of(state: CpuTune) -> Band | None:
    """Return the bandwidth part of a state; None where the group has none."""
    if state.quota is None or state.period is None:
        return None
    return Band(state.quota, state.period, state.burst or 0)


def same(backend: Backend, now: CpuTune, goal: CpuTune) -> bool:
    """Return whether the goal is reached.

    Where a knob is not there, its default is in force: systemd takes the controller away from a unit with its last
    limit. An idle group has no weight of its own to compare; a group without limit has a period that means nothing.
    """
    if goal.idle:
        now, goal = (state.replace(**{backend.weight_key: None}) for state in (now, goal))
    if now.quota is None and goal.quota is UNLIMITED:
        goal = goal.replace(quota=None, period=None)
    return all(now[key] is None and goal[key] == KNOB[key].default for key in now.differing(goal))


def may_be_between(now: CpuTune, goal: CpuTune, key: str, found: Value, *, told: bool) -> bool:
    """Return whether the value `found` of a knob can be seen before, after or between the writes from `now` to `goal`.

    `told` says that systemd was told first, whose own write rounds the quota.
    """
    ends = (now[key], goal[key])
    if found in ends:
        return True
    match key:
        case "shares" | "weight":
            return now.idle != goal.idle  # the kernel sets it, then we do
        case "quota" if isinstance(found, int):
            return told and any(isinstance(end, int) and abs(end - found) * 50 <= end for end in ends)
        case "burst" if isinstance(found, int):
            return any(isinstance(end, int) and found == end // 1000 for end in ends)  # see Backend.limit_resets_burst
        case _:
            return found is UNLIMITED or found is None or None in ends  # lifted for an instant, or not there yet


def _band_writes(
    backend: Backend, directory: str, now: CpuTune, goal: CpuTune, bounds: Bounds, *, rewritten: bool
) -> list[Write]:
    before, after = band_of(now), band_of(goal)
    if before is None or after is None:
        return []
    states = path(before, after, backend.moves, bounds)
    if states is None:
        raise refusal(directory, before, after, bounds)
    found = [backend.band_write(directory, old, new) for old, new in pairwise([before, *states])]
    limit, burst = (backend.write(directory, key, goal, goal) for key in ("quota", "burst"))
    reset = backend.limit_resets_burst and after.burst and (rewritten or limit.path in [one.path for one in found])
    if reset and [one.path for one in found[-1:]] != [burst.path]:
        found.append(burst)
    return found


def refusal(directory: str, before: Band, goal: Band, bounds: Bounds) -> Refused | UsageError:
    """Why the kernel would not take `goal`: with the numbers, and the value that would fit."""
    quota, period, burst = goal
    wanted = f"quota {KNOB['quota'].format(quota)} with period {period}"
    if isinstance(quota, int) and (burst > quota or quota + burst > MAX_QUOTA):
        largest = min(quota, MAX_QUOTA - quota)
        if burst != before.burst:
            return UsageError(f"--burst: {burst} is not in range: 0..{largest} microseconds, with {wanted}")
        return Refused(
            f"{directory}: {wanted} is below the burst of {burst} that is in force",
            f"lower the burst with it: --burst {largest}",
        )
    above, below = bounds
    if above and not fits(goal, Bounds(above)):
        largest = largest_quota(above, period)
        fitting = f"the largest that fits: --quota {largest}"
        if largest < MIN_QUOTA:
            fitting = f"none fits with this period: --quota {MIN_QUOTA} --period {shortest_period(above)}"
        return Refused(
            f"{directory}: {wanted} ({_cpus(goal)} CPUs) is above the limit of its ancestor {_describe(above)}; "
            f"on cgroup v1 the kernel refuses that",
            f"{fitting}; or raise {above.cgroup} first",
        )
    if below:
        return Refused(
            f"{directory}: {wanted} ({_cpus(goal)} CPUs) is below the limit of the group {_describe(below)} inside it; "
            f"on cgroup v1 the kernel refuses that",
            f"the smallest that fits: --quota {smallest_quota(below, period)}; or lower {below.cgroup} first",
        )
    return Refused(f"{directory}: found no order of writes that leads to {wanted}, burst {burst}")


def _cpus(band: Band) -> str:
    return "unlimited" if band.quota is UNLIMITED else f"{band.quota / band.period:g}"


def _describe(limit: Limit) -> str:
    return f"{limit.cgroup}, {limit.cpus:g} CPUs (quota {limit.quota} with period {limit.period})"
