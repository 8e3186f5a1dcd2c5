"""Taking back what the history knows: `cputune undo`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cputune.core.errors import Ambiguous, NoSuchDomain, WrongState
from cputune.planning.plan import Plan
from cputune.planning.undo import UndoPlanner
from cputune.transaction.codec import Undecodable, load
from cputune.transaction.history import History, Past
from cputune.transaction.recovery import keys_of_tasks

if TYPE_CHECKING:
    from cputune.app.tuner import Tuner
    from cputune.transaction.context import Context
    from cputune.transaction.tasks import Task


def undo(tuner: Tuner, name: str | None, *, force: bool = False, dry_run: bool = False) -> Plan:
    """Take back the last transaction, or the last one of a domain in that domain; with `force` whatever came since.

    Transactions of which nothing is there any more are passed over, and that is said. Raises WrongState where somebody
    else has changed something since, or there is nothing to take back; otherwise as `Tuner.change`.
    """
    name = None if name is None else name_in_history(tuner, name)
    passed: dict[str, list[str]] = {}
    """By the transaction: why there is nothing left of it."""
    if dry_run:
        tuner.mention_pending()
    while True:
        past = _latest_but(tuner.context, name, passed)
        undone = _undo_one(tuner, past, name, frozenset(passed), force=force, dry_run=dry_run)
        if undone is None:
            continue
        passed[past.entry.id] = [*undone.vanished]
        if undone.plan.tasks:
            for text in (text for texts in passed.values() for text in texts):
                tuner.context.say(text)
            return undone.plan


class _Undone(NamedTuple):
    plan: Plan
    vanished: tuple[str, ...]
    """Why some of the transaction need not be taken back, a line each."""


def _undo_one(
    tuner: Tuner, past: Past, name: str | None, passed: frozenset[str], *, force: bool, dry_run: bool
) -> _Undone | None:
    """Take back one transaction; None where another cputune has done so meanwhile."""
    tasks = tasks_of(past, name)
    planner = UndoPlanner(tuner.context, past, force=force)
    if dry_run:
        return _Undone(planner.plan(tasks), tuple(planner.vanished.values()))
    with tuner.serialised(lambda _: keys_of_tasks(tuner.context, tasks)):
        if latest(tuner.context, name, passed) != past:
            return None
        plan = planner.plan(tasks)
        tuner.perform(plan, undoes=past.entry.id)
        History(tuner.context).give_up(past.entry.id, [*planner.vanished])
    return _Undone(plan, tuple(planner.vanished.values()))


def _latest_but(context: Context, name: str | None, passed: dict[str, list[str]]) -> Past:
    """The last transaction but those. Raises WrongState with why nothing is left of them, where they were the last."""
    try:
        return latest(context, name, frozenset(passed))
    except WrongState as error:
        reasons = [text for texts in passed.values() for text in texts]
        if not reasons:
            raise
        raise WrongState("; ".join(reasons), error.hint) from error


def latest(context: Context, name: str | None, without: frozenset[str] = frozenset()) -> Past:
    """The last transaction that still stands (of a domain, RUNTIME:NAME), but for some. Raises WrongState for none."""
    for past in History(context).newest_first(name):
        standing = past.standing()
        if standing and name in (None, *standing) and past.entry.id not in without:
            return past
    what = f"no change of {name}" if name else "no change"
    raise WrongState(f"{what} that could be undone is known", f"cputune history {name or ''}".strip())


def tasks_of(past: Past, name: str | None) -> list[Task]:
    """The tasks of what still stands of a transaction, or of one domain's part of it. Raises WrongState."""
    wanted = past.standing() if name is None else (name,)
    try:
        tasks = [load(*task) for task in past.tasks]
    except (TypeError, Undecodable) as error:
        raise WrongState(f"the history of {past.entry.id} cannot be read: {error}") from error
    return [task for task in tasks if task.domain in wanted]


def name_in_history(tuner: Tuner, name: str) -> str:
    """RUNTIME:NAME of a domain that may be gone by now. Raises NoSuchDomain, UsageError."""
    try:
        return tuner.find(name).qualified
    except Ambiguous:
        raise
    except NoSuchDomain:
        known = {domain for past in History(tuner.context).newest_first() for domain in past.entry.domains}
        fitting = [domain for domain in known if name in (domain, domain.partition(":")[2])]
        if len(fitting) != 1:
            raise
        return fitting[0]
