"""Planning to take a transaction back: the reverse of its tasks, if nobody has changed the same things since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from cputune.core.errors import CpuTuneError, Gone, WrongState
from cputune.core.knobs import KNOB, SHARES_AND_WEIGHT, Value
from cputune.core.model import Change, CpuTune, Domain
from cputune.host.cgroup.bandwidth import limit_of
from cputune.host.cgroup.cgroups import Limits
from cputune.host.cgroup.sequence import in_order
from cputune.planning.cgroup_steps import with_steps
from cputune.planning.native import hold_writes
from cputune.planning.plan import Outcome, Plan
from cputune.planning.snapshot import Snapshot
from cputune.runtimes.native.settings import NativePlan, require_module
from cputune.transaction.cgroup_task import CgroupTask, UnitChange
from cputune.transaction.native import Native, digest
from cputune.transaction.tasks import Record, Save

if TYPE_CHECKING:
    from cputune.transaction.context import Context
    from cputune.transaction.history import Past
    from cputune.transaction.tasks import Task

_KINDS: dict[str, type] = {"live": CgroupTask, "config": Save, "native": Native}


class UndoPlanner:
    """Plans to take back one transaction, or a part of it; with `force`, whatever others have changed since."""

    def __init__(self, context: Context, past: Past, *, force: bool) -> None:
        self.context = context
        self.past = past
        self.force = force
        self.snapshot = Snapshot(context)
        self.goals: dict[str, CpuTune] = {}
        self.conflicts: list[str] = []
        self.actual: dict[tuple[str, str, str], Value] = {}
        """The values of knobs now, by domain, where ("live", ...) and key, if they are known."""
        self.vanished: dict[str, str] = {}
        """By domain: why there is nothing to take back live, as a message."""

    def plan(self, tasks: list[Task]) -> Plan:
        """The plan for these tasks of the transaction; afterwards, `vanished` tells which live changes are gone.

        Raises WrongState if somebody else has changed something since, unless forced.
        """
        cgroups = self.context.cgroups
        reverted = in_order(cgroups, list(self._cgroup_tasks(tasks)), self.snapshot.limits)
        planned: list[Task] = [*self._with_steps(reverted)]
        planned += [self._record(task) for task in tasks if isinstance(task, Record)
                    and task.domain not in self.vanished]  # fmt: skip
        planned += [self._save(task) for task in tasks if isinstance(task, Save)]
        planned += [native for task in tasks if isinstance(task, Native) for native in self._native(task)]
        if self.conflicts and not self.force:
            raise WrongState(
                f"changed since by somebody else: {'; '.join(self.conflicts)}",
                f"look at it: cputune history; then, if you mean it: cputune undo {tasks[0].domain} --force",
            )
        domains = dict.fromkeys(task.domain for task in tasks)
        return Plan(tuple(self._outcome(name, planned) for name in domains), tuple(planned))

    def _outcome(self, name: str, planned: Iterable[Task]) -> Outcome:
        runtime, _, rest = name.partition(":")
        own = tuple(task for task in planned if task.domain == name)
        changes = [
            done._replace(
                before=self.actual.get((name, done.where, done.key), done.after), after=done.before, given=None
            )
            for done in self.past.entry.changes
            if done.domain == name and any(isinstance(task, _KINDS[done.where]) for task in own)
        ]
        return Outcome(Domain(runtime, rest, running=True, persistent=True), tuple(changes), own, ())

    def _cgroup_tasks(self, tasks: list[Task]) -> Iterator[CgroupTask]:
        """The tasks from the state that is there now to the one from before, still without their steps."""
        for task in tasks:
            actual = self._actual(task) if isinstance(task, CgroupTask) else None
            if isinstance(task, CgroupTask) and actual is not None:
                goal = self.goals[task.cgroup] = actual.replace_from(task.now, self._to_revert(task, actual))
                yield task._replace(
                    now=actual, goal=goal, first=(), unit_change=self._reverse_unit_change(task), writes=()
                )

    def _to_revert(self, task: CgroupTask, actual: CpuTune) -> list[str]:
        """The knobs that a task has changed. Those that somebody else has changed since are conflicts."""
        changed = list(task.now.differing(task.goal))
        for key in changed:
            have, left = actual[key], task.goal[key]
            self.actual[task.domain, "live", key] = have
            if have != left and not (actual.idle and key in SHARES_AND_WEIGHT):
                self.conflicts.append(f"{task.domain}: {key} is {KNOB[key].format(have)}, not {KNOB[key].format(left)}")
        # With idle the kernel has forgotten the weight.
        return changed if task.now.idle == task.goal.idle else [*changed, *SHARES_AND_WEIGHT]

    def _actual(self, task: CgroupTask) -> CpuTune | None:
        """The state of a cgroup now; None if the cgroup that the task has changed is gone."""
        try:
            if self.past.entry.boot != self.context.boot:
                raise Gone("there was a reboot since")
            task.refuse_another(self.context)
            return self.snapshot.read(task.cgroup)
        except Gone as error:
            self.vanished[task.domain] = f"{task.domain}: nothing to take back live: {error.message}"
            return None

    def _reverse_unit_change(self, task: CgroupTask) -> UnitChange | None:
        """From all that the unit holds now to what it held before. Raises NoSuchDomain, Unreachable."""
        change = task.unit_change
        held = self.snapshot.held(change.unit, task.cgroup) if change else {}
        return UnitChange(change.unit, change.held, held) if change and held else None

    def _with_steps(self, tasks: list[CgroupTask]) -> Iterator[CgroupTask]:
        cgroups = self.context.cgroups
        reached, states = Limits(cgroups, known=self.snapshot.limits), dict[str, CpuTune]()
        for task in tasks:
            bounds = cgroups.bounds(task.cgroup, reached)
            # The task of the first of two domains with the same cgroup does all the writing.
            start, states[task.cgroup] = states.get(task.cgroup, task.now), task.goal
            reached[task.cgroup] = limit_of(task.cgroup, task.goal)
            yield with_steps(cgroups, task, start, bounds)

    def _record(self, task: Record) -> Record:
        return Record(task.of, task.before, self.context.records.of(task.of))

    def _save(self, task: Save) -> Save:
        from cputune.config.schema import parse
        from cputune.config.store import read

        actual = read(task.path)
        if actual != task.text:
            self.conflicts.append(f"{task.path} is another one")
            with suppress(CpuTuneError):
                change = parse(task.path, actual).change if actual else Change()
                self.actual.update({(task.domain, "config", key): change[key] for key in Change.KEYS})
        return Save(task.domain, task.path, task.before, actual)

    def _native(self, task: Native) -> Iterator[Native]:
        """The command that makes the runtime remember what it did before; nothing if it does not know the domain."""
        cgroups = self.context.cgroups
        try:
            now = require_module(task.of).read(cgroups, task.of)
        except CpuTuneError as error:
            self.conflicts.append(error.message)
            return
        if task.records_after and digest(now.raw) != task.records_after:
            self.conflicts.append(f"{task.of.runtime} has other records of {task.domain}")
        plan = NativePlan(task.plan.back, task.plan.forward, task.before)
        records, others = digest(now.raw), digest(now.other)
        holds = tuple(self._holds(task))
        yield Native(task.of, plan, now.change, records, others, task.default_shares, holds)

    def _holds(self, task: Native) -> Iterator[CgroupTask]:
        for hold in task.holds:
            actual = self._actual(hold)
            if actual is not None:
                goal = self.goals.get(hold.cgroup, actual)
                writes = hold_writes(self.context.cgroups, hold.cgroup, goal)
                yield hold._replace(now=actual, goal=goal, unit_change=self._hold_unit(hold), writes=writes)

    def _hold_unit(self, hold: CgroupTask) -> UnitChange | None:
        change = self._reverse_unit_change(hold)
        return change and change._replace(held={name: change.held[name] for name in change.properties})
