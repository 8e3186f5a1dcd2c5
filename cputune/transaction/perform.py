"""One transaction over any number of cgroups and saved configurations: all of it, or the state before.

The planner makes tasks; here they are carried out one after the other, and on any failure put back in reverse. The way
back is on disk before the first of them is done (`journal`), so that the next cputune can go it where this one is
killed (`recovery`). A task holds the state from before, whole, so putting back is the same as going forward.
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


_NAPS = (0.01, 0.05, 0.2)
"""Seconds, for all tasks of a transaction together."""


class PutBack(NamedTuple):
    """How going back went."""

    left: list[str]
    """What could not be put back, a line each."""
    stuck: list[Task]
    """The tasks that this is about, in the order in which they were done."""
    moot: list[str]
    """What need not be put back any more, a line each: it is gone, or somebody else's by now."""


def perform(context: Context, tasks: list[Task], entry: Entry, *, enter: bool = True) -> None:
    """Do all tasks, or none, and enter them in the history where they are to be.

    Raises the first error, with all put back; NotPutBack where that failed too: then the journal stays.
    """
    from cputune.transaction.codec import dump
    from cputune.transaction.history import History
    from cputune.transaction.journal import Journal

    all_done(False)
    if not tasks:
        return
    history, journal = History(context), Journal(context.cgroups.host)
    begun: list[Task] = []
    page, forms = journal.page(entry, tasks), [dump(task) for task in tasks]
    with context.locks.hold(Keys(frozenset((page.key,)))):  # as long as it is ours to go back
        journal.begin(page, entry, forms)
        try:
            for task in tasks:
                begun.append(task)
                task.do(context)
            if enter:
                done = [task.done(context) for task in tasks]
                as_done = [old if task is new else dump(new) for task, new, old in zip(tasks, done, forms, strict=True)]
                history.enter(entry, as_done, sync=page.durable)
            with uninterrupted():  # with the page it is done: what comes then comes too late
                page.remove()
                all_done(True)
        except BaseException as error:
            with uninterrupted():
                result = put_back(context, begun)
                history.take_back(entry)
                with suppress(CpuTuneError):  # the next cputune finds it, and nothing to put back
                    journal.keep(page, entry, result.stuck)
            if result.left:
                cause = error if isinstance(error, CpuTuneError) else CpuTuneError(str(error) or type(error).__name__)
                raise NotPutBack(cause, result.left) from error
            raise


def put_back(context: Context, begun: Iterable[Task]) -> PutBack:
    """Undo, last first, as much as can be."""
    result = PutBack([], [], [])
    naps = iter(_NAPS)
    for task in reversed(list(begun)):
        try:
            _undo(context, task, naps)
        except (Gone, ChangedMeanwhile) as error:
            result.moot.append(error.message)
        except Exception:  # whatever it is, the other tasks are to be put back all the same
            left = _left(context, task)
            if left:  # else it is as it was, whatever failed
                result.stuck.insert(0, task)
                result.left.extend(left)
    return result


def _left(context: Context, task: Task) -> list[str]:
    try:
        return task.left(context)
    except CpuTuneError as error:
        return [error.message]
    except Exception as error:
        return [f"{task.domain}: {type(error).__name__}: {error}"]


def _undo(context: Context, task: Task, naps: Iterator[float]) -> None:
    """Undo, more than once: for a moment v1's kernel counts the limit of a group below that was just removed."""
    while True:
        try:
            task.undo(context)
            return
        except (Gone, ChangedMeanwhile):
            raise
        except CpuTuneError:
            nap = next(naps, None)
            if nap is None:
                raise
            time.sleep(nap)
