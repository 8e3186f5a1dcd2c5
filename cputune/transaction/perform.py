"""Transactions over any number of cgroups and saved configurations: either all of the changes, or none.

The planner makes the tasks. Here they are carried out one after the other; if one fails, those done so far are rolled
back in reverse order. The tasks are on disk before the first of them is done (`journal`), so that the next cputune can
roll them back if this one is killed (`recovery`). Each task holds the whole state from before.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from cputune.core.errors import ChangedMeanwhile, CpuTuneError, Gone, NotPutBack
from cputune.transaction.locks import Keys
from cputune.transaction.signals import all_done, uninterrupted

if TYPE_CHECKING:
    from cputune.transaction.context import Context
    from cputune.transaction.history import Entry
    from cputune.transaction.tasks import Task


_PAUSES = (0.01, 0.05, 0.2)
"""Seconds to wait before a failed task is undone once more, for all tasks of a transaction together."""


class Rollback(NamedTuple):
    """The result of rolling tasks back."""

    left: list[str]
    """What could not be put back, a line each."""
    failed: list[Task]
    """The tasks that could not be undone, in the order in which they were done."""
    vanished: list[str]
    """What need not be put back any more, a line each: it is gone, or was changed by somebody else since."""


def perform(context: Context, tasks: list[Task], entry: Entry, *, enter: bool = True) -> None:
    """Do all tasks, or none, and with `enter` add them to the history.

    Raises the first error, when all has been put back; NotPutBack where that failed too: then the journal is kept.
    """
    from cputune.transaction.codec import dump
    from cputune.transaction.history import History
    from cputune.transaction.journal import Journal

    all_done(False)
    if not tasks:
        return
    history, journal = History(context), Journal(context.cgroups.host)
    started: list[Task] = []
    page, dumped = journal.page(entry, tasks), [dump(task) for task in tasks]
    with context.locks.hold(Keys(frozenset((page.key,)))):  # while it is held, no other cputune rolls this back
        journal.begin(page, entry, dumped)
        try:
            for task in tasks:
                started.append(task)
                task.do(context)
            if enter:
                done = [task.done(context) for task in tasks]
                pairs = zip(tasks, done, dumped, strict=True)
                as_done = [old if task is new else dump(new) for task, new, old in pairs]
                history.enter(entry, as_done, sync=page.durable)
            with uninterrupted():  # once the page is removed, the transaction is complete
                page.remove()
                all_done(True)
        except BaseException as error:
            with uninterrupted():
                result = roll_back(context, started)
                history.take_back(entry)
                with suppress(CpuTuneError):  # the next cputune finds the page, and nothing to put back
                    journal.keep(page, entry, result.failed)
            if result.left:
                cause = error if isinstance(error, CpuTuneError) else CpuTuneError(str(error) or type(error).__name__)
                raise NotPutBack(cause, result.left) from error
            raise


def roll_back(context: Context, tasks: Iterable[Task]) -> Rollback:
    """Undo these tasks, the last one first, as far as possible."""
    result = Rollback([], [], [])
    pauses = iter(_PAUSES)
    for task in reversed(list(tasks)):
        try:
            _undo(context, task, pauses)
        except (Gone, ChangedMeanwhile) as error:
            result.vanished.append(error.message)
        except Exception:  # whatever has failed, the other tasks have to be undone
            left = _left(context, task)
            if left:  # otherwise all is as it was, in spite of the error
                result.failed.insert(0, task)
                result.left.extend(left)
    return result


def _left(context: Context, task: Task) -> list[str]:
    try:
        return task.left(context)
    except CpuTuneError as error:
        return [error.message]
    except Exception as error:
        return [f"{task.domain}: {type(error).__name__}: {error}"]


def _undo(context: Context, task: Task, pauses: Iterator[float]) -> None:
    """Undo a task, in several attempts: on v1 the limit of a child that was just removed counts a moment longer."""
    while True:
        try:
            task.undo(context)
            return
        except (Gone, ChangedMeanwhile):
            raise
        except CpuTuneError:
            pause = next(pauses, None)
            if pause is None:
                raise
            time.sleep(pause)
