"""Taking back what the history knows: a transaction's tasks the other way round, if nobody has been there since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cputune.cgroup.order import Limit
from cputune.cgroup.plan import writes
from cputune.cgroup.turns import in_order
from cputune.errors import Gone, WrongState
from cputune.memory import Orders, agree, require
from cputune.model import CpuTune, Domain
from cputune.planner import Moved, Outcome, Plan
from cputune.transaction.codec import Undecodable
from cputune.transaction.history import History, Past, boot_of
from cputune.transaction.journal import tasked
from cputune.transaction.native import Native, stands_for
from cputune.transaction.settle import value_text
from cputune.transaction.tasks import Record, Save, Tell, Tune

if TYPE_CHECKING:
    from cputune.transaction import Tools
    from cputune.transaction.tasks import Task


def latest(tools: Tools, name: str | None) -> Past:
    """The last transaction that still stands (of a domain, RUNTIME:NAME). Raises WrongState where there is none."""
    found = [past for past in History(tools).past() if past.standing() and name in (None, *past.standing())]
    if not found:
        what = f"no change of {name}" if name else "no change"
        raise WrongState(f"{what} that could be undone is known", f"cputune history {name or ''}".strip())
    return found[-1]


def tasks_of(past: Past, name: str | None) -> list[Task]:
    """The tasks of what still stands of a transaction, or of one domain's part of it. Raises WrongState."""
    wanted = past.standing() if name is None else (name,)
    try:
        tasks = [tasked(*task) for task in past.tasks]
    except (TypeError, Undecodable) as error:
        raise WrongState(f"the history of {past.entry.id} cannot be read: {error}") from error
    return [task for task in tasks if task.domain in wanted]


class Undoing:
    """The plan for taking one transaction back. With `force`, whoever changed what since."""

    def __init__(self, tools: Tools, past: Past, *, force: bool) -> None:
        self.tools = tools
        self.past = past
        self.force = force
        self.goals: dict[str, CpuTune] = {}
        self.conflicts: list[str] = []
        self.anew: set[str] = set()
        """The domains that are gone, or were started anew: their live part has nothing to take back."""

    def plan(self, tasks: list[Task]) -> Plan:
        """The plan. Raises WrongState where somebody else has changed something since, unless forced."""
        tunes = in_order(self.tools.site, list(self._tunes(tasks)))
        planned: list[Task] = [*self._written(tunes)]
        planned += [self._record(task) for task in tasks if isinstance(task, Record) and task.domain not in self.anew]
        planned += [self._save(task) for task in tasks if isinstance(task, Save)]
        planned += [self._native(task) for task in tasks if isinstance(task, Native)]
        if self.conflicts and not self.force:
            raise WrongState(
                f"changed since by somebody else: {'; '.join(self.conflicts)}",
                f"look at it: cputune history; then, if you mean it: cputune undo {tasks[0].domain} --force",
            )
        domains = dict.fromkeys(task.domain for task in tasks)
        return Plan(tuple(self._outcome(name, planned) for name in domains), tuple(planned))

    def _outcome(self, name: str, planned: Iterable[Task]) -> Outcome:
        runtime, _, rest = name.partition(":")
        steps = [step for step in self.past.entry.steps if step.domain == name]
        moved = [Moved(step.where, step.key, step.after, step.before) for step in steps]  # type: ignore[arg-type]
        own = tuple(task for task in planned if task.domain == name)
        return Outcome(Domain(runtime, rest, running=True, persistent=True), tuple(moved), own, ())

    def _tunes(self, tasks: list[Task]) -> Iterator[Tune]:
        site = self.tools.site
        for task in tasks:
            if not isinstance(task, Tune):
                continue
            try:
                if self.past.entry.boot != boot_of(site.host):
                    raise Gone("there was a reboot")
                task.refuse_another(self.tools)
                actual = site.read_if_used(task.cgroup)
            except Gone:
                self.anew.add(task.domain)
                self.conflicts.append(f"{task.domain} is gone, or was started anew")
                continue
            changed = [key for key in CpuTune._fields if getattr(task.now, key) != getattr(task.goal, key)]
            goal = actual._replace(**{key: getattr(task.now, key) for key in changed})
            for key in changed:
                have, left = getattr(actual, key), getattr(task.goal, key)
                if have != left and not (actual.idle and key in ("shares", "weight")):
                    self.conflicts.append(f"{task.domain}: {key} is {value_text(have)}, not {value_text(left)}")
            self.goals[task.cgroup] = goal
            yield task._replace(now=actual, goal=goal, plan=(), tell=self._tell(task))

    def _tell(self, task: Tune) -> Tell | None:
        """What systemd held before, and what it holds now."""
        if task.tell is None:
            return None
        return Tell(task.tell.unit, task.tell.held, self.tools.systemd.get(task.tell.unit, task.tell.held))

    def _written(self, tunes: list[Tune]) -> Iterator[Tune]:
        site = self.tools.site
        reached: dict[str, Limit | None] = {}
        for tune in tunes:
            bounds = site.bounds(tune.cgroup, reached)
            plan = writes(site.backend, site.directory(tune.cgroup), tune.now, tune.goal, bounds)
            goal = tune.goal
            limited = isinstance(goal.quota, int) and goal.period
            reached[tune.cgroup] = Limit(tune.cgroup, goal.quota, goal.period) if limited else None  # type: ignore[arg-type]
            yield tune._replace(plan=tuple(plan))

    def _record(self, task: Record) -> Record:
        return Record(task.of, task.before, self.tools.state.applied(task.of))

    def _save(self, task: Save) -> Save:
        from cputune.store import read

        actual = read(task.path)
        if actual != task.text:
            self.conflicts.append(f"{task.path} is another one")
        return Save(task.domain, task.path, task.before, actual)

    def _native(self, task: Native) -> Native:
        """The runtime's own command the other way round."""
        site = self.tools.site
        now = require(task.of).read(site, task.of)
        if not agree(now.change, task.orders.after, task.default_shares):
            self.conflicts.append(f"what {task.of.runtime} remembers of {task.domain}")
        seats = []
        for seat in () if task.domain in self.anew else task.seats:
            actual = site.read_if_used(seat.cgroup)
            goal = self.goals.get(seat.cgroup, actual)
            seats.append(seat._replace(now=actual, goal=goal, tell=self._tell(seat)))
        orders = Orders(task.orders.back, task.orders.forward, task.before)
        return Native(task.of, orders, now.change, stands_for(now), task.default_shares, tuple(seats))
