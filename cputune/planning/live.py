"""Planning live changes: the state that a domain is to have, and for each of its cgroups the task that leads there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cputune.core.errors import NoSuchDomain, Unsupported, UsageError
from cputune.core.goals import goal_of, refuse_not_running, touched
from cputune.core.knobs import KNOB, QUOTA_AND_PERIOD, with_groups
from cputune.core.model import CpuTune, Domain, KnobCgroup
from cputune.host.cgroup.bandwidth import limit_of
from cputune.host.cgroup.cgroups import Limits
from cputune.host.cgroup.support import require
from cputune.host.systemd import Unreachable, differs, wanted
from cputune.planning.cgroup_steps import with_steps
from cputune.planning.notes import note_ancestor, note_drop_ins, note_rounding
from cputune.planning.recording import current_record
from cputune.transaction.cgroup_task import CgroupTask, UnitChange

if TYPE_CHECKING:
    from cputune.host.systemd import Properties, Unit
    from cputune.planning.builder import PlanBuilder
    from cputune.planning.snapshot import Snapshot


class CgroupChange(NamedTuple):
    """One cgroup that is to change, for one domain."""

    builder: PlanBuilder
    knob_cgroup: KnobCgroup
    keys: frozenset[str]
    """The knobs that were named, of those that this cgroup carries."""
    now: CpuTune
    goal: CpuTune
    """If any knob of the bandwidth or the weight was named, that whole group is the domain's: the two cgroups of a
    container of crun then agree."""

    @property
    def cgroup(self) -> str:
        """The path of the cgroup."""
        return self.knob_cgroup.cgroup


def cgroup_changes(snapshot: Snapshot, builder: PlanBuilder) -> list[CgroupChange]:
    """The cgroups of a domain that are to change, the outer one first; the builder notes which knobs change.

    Raises WrongState, Unsupported, UsageError, Refused.
    """
    domain, request = builder.domain, builder.request
    refuse_not_running(domain)
    for key in sorted(request.zeros):
        builder.note(f"{KNOB[key].option} 0 means no value, and live changes nothing")
    if request.change.shares is not None and domain.details.conversion:
        builder.note(f"shares are converted {domain.details.conversion}")
    builder.applied = snapshot.context.records.of(domain)
    builder.current_record = current_record(snapshot.cgroups, domain, builder.applied)
    keys = frozenset(touched(request))
    states = {one.cgroup: _state(snapshot, domain, one, keys & set(one.carries)) for one in domain.knob_cgroups()}
    builder.now = domain.state(states)
    goal = goal_of(builder.now, request, snapshot.version, domain.scale, builder.current_record.weight, CpuTune.KEYS)
    builder.add_changes("live", builder.now, goal, request.change)
    found = (_change(builder, one, keys, states[one.cgroup], goal) for one in domain.knob_cgroups())
    return [change for change in found if change.keys]


def _state(snapshot: Snapshot, domain: Domain, knob_cgroup: KnobCgroup, keys: frozenset[str]) -> CpuTune:
    """The state of a cgroup that is to get `keys`; the kernel's defaults if systemd first enables the controller."""
    if keys and snapshot.is_to_be_enabled(knob_cgroup.cgroup):
        return snapshot.cgroups.default()
    now = snapshot.read(knob_cgroup.cgroup)
    require(snapshot.cgroups, knob_cgroup.cgroup, now, keys, domain.qualified)
    return now


def _change(
    builder: PlanBuilder, knob_cgroup: KnobCgroup, keys: frozenset[str], now: CpuTune, goal: CpuTune
) -> CgroupChange:
    own = keys & set(knob_cgroup.carries)
    return CgroupChange(builder, knob_cgroup, own, now, now.replace_from(goal, with_groups(own)))


def refuse_two_goals(changes: list[CgroupChange]) -> None:
    """Raise UsageError if two names of one cgroup are given different values."""
    known: dict[str, CgroupChange] = {}
    for change in changes:
        other = known.setdefault(change.cgroup, change)
        if other.goal != change.goal:
            names = f"{other.builder.domain.qualified} and {change.builder.domain.qualified}"
            raise UsageError(f"{names} are the same cgroup, {change.cgroup}, but get different values", "name it once")


class CgroupTasks:
    """Plans the tasks of a transaction, one cgroup after the other, in the order in which they will be done."""

    def __init__(self, snapshot: Snapshot, *, native: bool) -> None:
        self.snapshot = snapshot
        self.cgroups = snapshot.cgroups
        self.native = native
        self.reached = Limits(self.cgroups, known=snapshot.limits)
        """The limits that there will be when the tasks planned so far are done."""
        self.states: dict[str, CpuTune] = {}
        """The states that the cgroups planned so far will have."""

    def add(self, change: CgroupChange) -> CgroupTask | None:
        """Plan the task for one cgroup, and add it to the plan of its domain; None if nothing has to be done.

        Raises Refused, Unsupported.
        """
        builder, cgroup = change.builder, change.cgroup
        task = self._task(change)
        if task:
            builder.cgroup_tasks.append(task)
            self.states[cgroup] = change.goal
        if change.keys & QUOTA_AND_PERIOD:
            self.reached[cgroup] = limit_of(cgroup, change.goal)
            # Of two levels that get the same limit, only the outer one matters to the user.
            if not (builder.domain.mirrored and cgroup == builder.domain.limit_cgroup):
                self._note(change, told=task is not None and task.unit_change is not None)
        return task

    def _task(self, change: CgroupChange) -> CgroupTask | None:
        cgroup, goal = change.cgroup, change.goal
        bounds = self.cgroups.bounds(cgroup, self.reached)
        # The task of the first of two domains with the same cgroup does all the writing.
        start = self.states.get(cgroup, change.now)
        inode = self.cgroups.inode(cgroup)
        bare = CgroupTask(change.builder.domain.qualified, cgroup, change.now, goal, inode=inode)
        task = with_steps(self.cgroups, bare, start, bounds)
        unit = self.snapshot.unit(cgroup)
        unit_change = self._unit_change(change, unit) if unit else None
        if task.writes and self.snapshot.is_to_be_enabled(cgroup):
            _refuse_without_controller(change, self._wanted(change), unit_change)
        if unit_change:
            return with_steps(self.cgroups, bare._replace(unit_change=unit_change), start, bounds)
        return task if task.writes or start != change.now else None

    def _wanted(self, change: CgroupChange) -> Properties:
        return wanted(self.snapshot.version, change.goal, change.keys)

    def _unit_change(self, change: CgroupChange, unit: Unit) -> UnitChange | None:
        """What to tell systemd; None if it holds that already, or cannot be told, which a note then explains."""
        builder, properties = change.builder, self._wanted(change)
        if not properties:
            return None
        try:
            held = self.snapshot.held(unit, change.cgroup)
        except (Unreachable, NoSuchDomain) as error:
            builder.note(f"{error.message}; the kernel has the value until systemd next writes its own")
            return None
        if held and not self.native:
            note_drop_ins(self.cgroups, builder, unit, properties)
        return UnitChange(unit, properties, held) if held and differs(held, properties) else None

    def _note(self, change: CgroupChange, *, told: bool) -> None:
        """Note where the limit will not be what it seems."""
        unit, limit = self.snapshot.unit(change.cgroup), self.reached[change.cgroup]
        if told and unit:
            note_rounding(self.snapshot, change.builder, unit, change.goal)
        if limit:
            note_ancestor(self.cgroups, change.builder, limit, self.reached)


def _refuse_without_controller(change: CgroupChange, properties: Properties, unit_change: UnitChange | None) -> None:
    """Raise Unsupported if systemd will not enable the cpu controller, without which nothing can be written."""
    message = f"the cpu controller is not enabled for {change.cgroup}"
    if not properties:
        hint = f"give it a weight first: cputune set {change.builder.domain.qualified} --shares 512 --live"
        raise Unsupported(f"{message}, and systemd has no property for this that would enable it", hint)
    if not unit_change:
        raise Unsupported(f"{message}, and systemd cannot be told to enable it", "systemctl start dbus.socket")
