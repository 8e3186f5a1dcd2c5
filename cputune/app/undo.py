"""Taking back what the history knows: a transaction's tasks the other way round, if nobody has been there since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from cputune.core.errors import CpuTuneError, Gone, WrongState
from cputune.core.knobs import Value
from cputune.core.model import Change, CpuTune, Domain
from cputune.host.cgroup.bandwidth import limit_of
from cputune.host.cgroup.cgroups import Limits
from cputune.host.cgroup.plan import writes
from cputune.host.cgroup.sequence import in_order
from cputune.planning.plan import Moved, Outcome, Plan
from cputune.runtimes.native.memory import Orders, require
from cputune.transaction.codec import Undecodable, load
from cputune.transaction.history import History, Past
from cputune.transaction.native import Native, stands_for
from cputune.transaction.tasks import CgroupTask, Record, Save, Tell
from cputune.transaction.writer import value_text

if TYPE_CHECKING:
    from cputune.transaction.context import Context
    from cputune.transaction.tasks import Task


def latest(context: Context, name: str | None, without: frozenset[str] = frozenset()) -> Past:
    """The last transaction that still stands (of a domain, RUNTIME:NAME), but for some. Raises WrongState for none."""
    found = [
        past
        for past in History(context).past()
        if past.standing() and name in (None, *past.standing()) and past.entry.id not in without
    ]
    if not found:
        what = f"no change of {name}" if name else "no change"
        raise WrongState(f"{what} that could be undone is known", f"cputune history {name or ''}".strip())
    return found[-1]


def tasks_of(past: Past, name: str | None) -> list[Task]:
    """The tasks of what still stands of a transaction, or of one domain's part of it. Raises WrongState."""
    wanted = past.standing() if name is None else (name,)
    try:
        tasks = [load(*task) for task in past.tasks]
    except (TypeError, Undecodable) as error:
        raise WrongState(f"the history of {past.entry.id} cannot be read: {error}") from error
    return [task for task in tasks if task.domain in wanted]


class Undoing:
    """The plan for taking one transaction back. With `force`, whoever changed what since."""

    def __init__(self, context: Context, past: Past, *, force: bool) -> None:
        self.context = context
        self.past = past
        self.force = force
        self.goals: dict[str, CpuTune] = {}
        self.conflicts: list[str] = []
        self.actual: dict[tuple[str, str, str], Value] = {}
        """What a knob has now, by domain, place and key."""
        self.moot: dict[str, str] = {}
        """The domains whose live part went away with their cgroup, and how that is to be said."""

    def plan(self, tasks: list[Task]) -> Plan:
        """The plan; what went away by itself is in `moot`.

        Raises WrongState where somebody else has changed something since, unless forced.
        """
        tunes = in_order(self.context.cgroups, list(self._tunes(tasks)))
        planned: list[Task] = [*self._written(tunes)]
        planned += [self._record(task) for task in tasks if isinstance(task, Record) and task.domain not in self.moot]
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
        steps = [
            step
            for step in self.past.entry.steps
            if step.domain == name and any(isinstance(task, _KINDS[step.where]) for task in own)
        ]
        moved = [
            Moved(step.where, step.key, self.actual.get((name, step.where, step.key), step.after), step.before)
            for step in steps
        ]
        return Outcome(Domain(runtime, rest, running=True, persistent=True), tuple(moved), own, ())

    def _tunes(self, tasks: list[Task]) -> Iterator[CgroupTask]:
        for task in tasks:
            if not isinstance(task, CgroupTask):
                continue
            actual = self._actual(task)
            if actual is None:
                continue
            changed = [*task.now.differing(task.goal)]
            for key in changed:
                have, left = actual[key], task.goal[key]
                self.actual[task.domain, "live", key] = have
                if have != left and not (actual.idle and key in ("shares", "weight")):
                    self.conflicts.append(f"{task.domain}: {key} is {value_text(have)}, not {value_text(left)}")
            if "idle" in changed:
                changed += ["shares", "weight"]  # which the kernel has forgotten
            goal = actual.replace_from(task.now, changed)
            self.goals[task.cgroup] = goal
            yield task._replace(now=actual, goal=goal, plan=(), tell=self._tell(task))

    def _actual(self, seat: CgroupTask) -> CpuTune | None:
        """What a cgroup has now; None where that one is gone, with what was done to it."""
        try:
            if self.past.entry.boot != self.context.boot:
                raise Gone("there was a reboot since")
            seat.refuse_another(self.context)
            return self.context.cgroups.read_if_used(seat.cgroup)
        except Gone as error:
            self.moot[seat.domain] = f"{seat.domain}: nothing to take back live: {error.message}"
            return None

    def _tell(self, task: CgroupTask) -> Tell | None:
        """What systemd held before, and what it holds now."""
        if task.tell is None:
            return None
        return Tell(task.tell.unit, task.tell.held, self.context.systemd.get(task.tell.unit, task.tell.held))

    def _written(self, tunes: list[CgroupTask]) -> Iterator[CgroupTask]:
        cgroups = self.context.cgroups
        reached = Limits(cgroups)
        for tune in tunes:
            bounds = cgroups.bounds(tune.cgroup, reached)
            plan = writes(cgroups.backend, cgroups.directory(tune.cgroup), tune.now, tune.goal, bounds)
            reached[tune.cgroup] = limit_of(tune.cgroup, tune.goal)
            yield tune._replace(plan=tuple(plan))

    def _record(self, task: Record) -> Record:
        return Record(task.of, task.before, self.context.state.applied(task.of))

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
        """The runtime's own command the other way round; nothing where the runtime has forgotten the domain."""
        cgroups = self.context.cgroups
        try:
            now = require(task.of).read(cgroups, task.of)
        except CpuTuneError as error:
            self.conflicts.append(error.message)
            return
        if task.records_after and stands_for(now.raw) != task.records_after:
            self.conflicts.append(f"{task.of.runtime} has other records of {task.domain}")
        seats = []
        for seat in task.seats:
            actual = self._actual(seat)
            if actual is not None:
                goal = self.goals.get(seat.cgroup, actual)
                seats.append(seat._replace(now=actual, goal=goal, tell=self._tell(seat)))
        orders = Orders(task.orders.back, task.orders.forward, task.before)
        records, others = stands_for(now.raw), stands_for(now.other)
        yield Native(task.of, orders, now.change, records, others, task.default_shares, tuple(seats))


_KINDS: dict[str, type] = {"live": CgroupTask, "config": Save, "native": Native}
