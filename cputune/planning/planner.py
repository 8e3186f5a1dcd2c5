"""What is wanted of some domains -> the tasks of one transaction.

What `--dry-run` prints of a plan is what is carried out: each task holds all its writes and calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cputune.core.goals import beyond_host
from cputune.host.cgroup.sequence import in_order
from cputune.planning.builder import PlanBuilder
from cputune.planning.live import CgroupTasks, cgroup_changes, refuse_two_goals
from cputune.planning.plan import Job, Plan
from cputune.planning.recording import plan_record
from cputune.planning.snapshot import Snapshot

if TYPE_CHECKING:
    from cputune.transaction.cgroup_task import CgroupTask
    from cputune.transaction.context import Context
    from cputune.transaction.tasks import Task


def plan_jobs(context: Context, jobs: list[Job], *, native: bool = False, tell: bool = True) -> Plan:
    """The plan for these jobs. Raises CpuTuneError where there can be none: nothing has been touched then.

    With `native` the domains' runtimes are to remember it as well; without `tell` systemd is not told.
    """
    snapshot = Snapshot(context, tell=tell)
    builders = [PlanBuilder(job) for job in jobs]
    tasks = _cgroup_tasks(snapshot, builders, native=native)
    for builder in builders:
        _plan_rest(snapshot, builder, native=native)
    rest: tuple[Task, ...] = (
        *(task for builder in builders for task in builder.records),
        *(task for builder in builders for task in builder.saves),
        *(task for builder in builders for task in builder.natives),
    )
    return Plan(tuple(builder.outcome() for builder in builders), (*tasks, *rest))


def _cgroup_tasks(snapshot: Snapshot, builders: list[PlanBuilder], *, native: bool) -> list[CgroupTask]:
    """The tasks of all cgroups, in an order that the kernel accepts."""
    changes = []
    for builder in builders:
        if native:
            from cputune.planning.native import refuse_config_alone

            refuse_config_alone(builder)
        if builder.live:
            changes += cgroup_changes(snapshot, builder)
    refuse_two_goals(changes)
    tasks = CgroupTasks(snapshot, native=native)
    found = [tasks.add(change) for change in in_order(snapshot.cgroups, changes, snapshot.limits)]
    return [task for task in found if task]


def _plan_rest(snapshot: Snapshot, builder: PlanBuilder, *, native: bool) -> None:
    """Plan the record, the configuration and the runtime's memory of one domain."""
    if too_many := beyond_host(builder.request.change, snapshot.cgroups.host.online_cpus()):
        builder.note(too_many)
    if builder.live:
        plan_record(snapshot, builder)
    if builder.config:
        from cputune.planning.config import plan_config

        plan_config(snapshot, builder)
    if native:
        from cputune.planning.native import plan_native

        plan_native(snapshot, builder)
    if not builder.tasks():
        builder.note(f"nothing to do: this is {'in force' if builder.live else 'saved'} already")
