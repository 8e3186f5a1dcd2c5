"""What a domain's own runtime is to remember, and what its cgroups are held to behind the runtime's command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cputune.core.errors import NoSuchDomain, UsageError
from cputune.core.goals import goal_of, touched
from cputune.core.knobs import QUOTA_AND_PERIOD
from cputune.core.model import Change, CpuTune, Domain, Request, Write
from cputune.host.systemd import Unreachable, wanted
from cputune.runtimes.native.settings import WantedSettings, default_shares, mean_the_same, require_module
from cputune.transaction.cgroup_task import CgroupTask, UnitChange
from cputune.transaction.native import Native, digest

if TYPE_CHECKING:
    from cputune.host.cgroup.cgroups import Cgroups
    from cputune.planning.builder import PlanBuilder
    from cputune.planning.snapshot import Snapshot
    from cputune.runtimes.native.settings import Settings


def refuse_config_alone(builder: PlanBuilder) -> None:
    """Raise UsageError for a running domain whose live limits are not to change: its runtime would change them."""
    name = builder.domain.qualified
    if builder.domain.running and not builder.live:
        raise UsageError(
            f"--native: {name} runs, and its runtime's own command changes it at once",
            f"say so: cputune set {name} ... --live --config --native",
        )


def plan_native(snapshot: Snapshot, builder: PlanBuilder) -> None:
    """Plan what the runtime is to remember: after all else, so that it is told what the kernel took.

    Raises Unsupported where the runtime cannot be made to remember it.
    """
    goals = {task.cgroup: task.goal for task in builder.cgroup_tasks}
    states = {cgroup: goals.get(cgroup, snapshot.read(cgroup)) for cgroup in builder.domain.cgroups}
    native = _native(snapshot, builder, states)
    if native is None:
        return
    builder.natives.append(native)
    if native.before is not None and native.plan.after is not None:
        builder.add_changes("native", native.before, native.plan.after)


def _native(snapshot: Snapshot, builder: PlanBuilder, states: dict[str, CpuTune]) -> Native | None:
    """The task; None where the runtime remembers all of it already. `states` is what the cgroups will have by then."""
    domain, cgroups = builder.domain, snapshot.cgroups
    module = require_module(domain)
    remembered = module.read(cgroups, domain)
    goal = _goal(cgroups, builder, states, remembered)
    change = builder.request.change
    if touched(builder.request) & QUOTA_AND_PERIOD:
        change = change.replace(cpus=None, quota=goal.quota, period=goal.period)
    if not change.named():
        return None
    plan = module.plan(cgroups, domain, WantedSettings(change, goal))
    default = default_shares(cgroups, domain)
    if plan.after is not None and mean_the_same(remembered.change, plan.after, default):
        return None
    holds = tuple(_hold(snapshot, builder, cgroup, state) for cgroup, state in states.items())
    records, others = digest(remembered.raw), digest(remembered.other)
    return Native(domain, plan, remembered.change, records, others, default, holds)


def _goal(cgroups: Cgroups, builder: PlanBuilder, states: dict[str, CpuTune], remembered: Settings) -> CpuTune:
    if builder.domain.running:
        return builder.domain.state(states)
    return at_start(cgroups, builder.domain, builder.saved, remembered.change)


def _hold(snapshot: Snapshot, builder: PlanBuilder, cgroup: str, goal: CpuTune) -> CgroupTask:
    """What a cgroup is to have whatever the runtime's command does to it: all knobs, named or not."""
    cgroups = snapshot.cgroups
    writes = hold_writes(cgroups, cgroup, goal)
    hold = CgroupTask(
        builder.domain.qualified, cgroup, snapshot.read(cgroup), goal, writes=writes, inode=cgroups.inode(cgroup)
    )
    unit = snapshot.unit(cgroup)
    if unit is None:
        return hold
    try:
        held = snapshot.held(unit, cgroup)
    except (Unreachable, NoSuchDomain):
        return hold
    everything = wanted(snapshot.version, goal, frozenset(CpuTune.KEYS))
    named = wanted(snapshot.version, goal, frozenset(touched(builder.request)))
    before = {name: held[name] for name in everything if name in held}
    return hold._replace(unit_change=UnitChange(unit, {**before, **named}, before) if before else None)


def hold_writes(cgroups: Cgroups, cgroup: str, goal: CpuTune) -> tuple[Write, ...]:
    """The files of a cgroup with what they say in the state `goal`. Pure."""
    directory = cgroups.directory(cgroup)
    return tuple(Write(f"{directory}/{file}", text, text) for file, text in cgroups.backend.texts(goal).items())


def at_start(cgroups: Cgroups, domain: Domain, saved: Change, remembered: Change | None) -> CpuTune:
    """What a domain that does not run will have when it starts: what is saved, else what its runtime remembers."""
    found = (remembered or Change()).updated(saved)
    version = cgroups.hierarchy.version
    return goal_of(cgroups.default(), Request(found), version, domain.scale, None, CpuTune.KEYS)
