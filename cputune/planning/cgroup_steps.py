"""How one cgroup gets from one state to another: which writes, and where a unit owns it, what systemd is told. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cputune.core.model import CpuTune, Write
from cputune.host.cgroup.plan import writes
from cputune.transaction.cgroup_task import CgroupTask, UnitChange

if TYPE_CHECKING:
    from cputune.host.cgroup.backend import Backend
    from cputune.host.cgroup.bandwidth import Bounds
    from cputune.host.cgroup.cgroups import Cgroups


def with_steps(cgroups: Cgroups, task: CgroupTask, start: CpuTune, bounds: Bounds) -> CgroupTask:
    """The task with all that leads from the state `start` to its goal. Raises Refused, UsageError.

    Where its `unit_change` is set, that has all CPU properties that the unit holds.
    """
    backend, directory = cgroups.backend, cgroups.directory(task.cgroup)
    if task.unit_change is None:
        return task._replace(writes=tuple(writes(backend, directory, start, task.goal, bounds)))
    return _through_systemd(backend, directory, task, start, bounds, task.unit_change)


def _through_systemd(
    backend: Backend, directory: str, task: CgroupTask, start: CpuTune, bounds: Bounds, change: UnitChange
) -> CgroupTask:
    """The call to systemd, what systemd then writes, and our own writes before and behind it."""
    from cputune.host.cgroup.realized import realized
    from cputune.host.held import held_state

    held = held_state(backend.version, {**change.held, **change.properties})
    first, start = _lower_burst(backend, directory, start, task.goal, held)
    done = realized(backend, directory, start, held, bounds)
    last = writes(backend, directory, done.state, task.goal, bounds, rewritten=True)
    before = {name: change.held[name] for name in change.properties}
    unit_change = change._replace(held=before, writes=done.writes, state=done.state)
    return task._replace(first=first, unit_change=unit_change, writes=tuple(last))


def _lower_burst(
    backend: Backend, directory: str, start: CpuTune, goal: CpuTune, held: CpuTune
) -> tuple[tuple[Write, ...], CpuTune]:
    """Lower the burst before systemd writes, which knows no burst: the kernel refuses a quota that is below it."""
    if start.burst is None or goal.burst is None:
        return (), start
    largest = min(goal.burst, held.quota) if isinstance(held.quota, int) else goal.burst
    if start.burst <= largest:
        return (), start
    lowered = start.replace(burst=largest)
    return (backend.write(directory, "burst", start, lowered),), lowered
