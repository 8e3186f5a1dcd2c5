"""Going back where a cputune was killed, or lost power, in the middle of a transaction."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from cputune.core.errors import ChangedMeanwhile, CpuTuneError, Gone, NotPutBack
from cputune.transaction.codec import dump
from cputune.transaction.history import History
from cputune.transaction.journal import Begun, Journal, Page, Unreadable
from cputune.transaction.locks import Busy, Keys, keys_for
from cputune.transaction.perform import put_back

if TYPE_CHECKING:
    from cputune.transaction.context import Context
    from cputune.transaction.tasks import Task

_NAMED, _WORDS = 5, 200

Stuck = dict[str, CpuTuneError]
"""The transactions that could not be put back, by id, and why."""


def pending(context: Context) -> list[Page]:
    """The pages of the journal: of transactions that were cut off, or are still under way."""
    return Journal(context.cgroups.host).pages()


def seems_cut_off(context: Context) -> bool:
    """Whether the process that wrote a page is gone, as far as one can tell who may not try its lock."""
    return any(not context.cgroups.host.exists(f"/proc/{page.id.rpartition('-')[2]}") for page in pending(context))


def recover(context: Context, *, discard: bool = False, seconds: float = 0) -> Stuck:
    """Put back what was cut off, and say so; what another cputune still works on after some seconds is left to it.

    With `discard`, what cannot be put back is forgotten.
    """
    journal, stuck = Journal(context.cgroups.host), Stuck()
    journal.sweep()
    for page in journal.pages():
        try:
            with context.locks.hold(_key(page), seconds=seconds):
                _recover(context, journal, page, discard=discard)
        except Busy:
            continue
        except CpuTuneError as error:
            stuck[page.id] = error
        except Exception as error:  # of one page: the others are to be put back all the same
            stuck[page.id] = CpuTuneError(f"{page.path}: {type(error).__name__}: {error}", "cputune recover --discard")
    return stuck


def in_the_way(context: Context, keys: Keys, stuck: Stuck) -> bool:
    """Whether something was cut off that has to be put back before these locks, which we hold, are of use.

    Raises the error of what is stuck, where it concerns the same domains, or may.
    """
    journal = Journal(context.cgroups.host)
    for page in journal.pages():
        if page.id in stuck:
            if _overlaps(context, journal, page, keys):
                raise stuck[page.id]
            continue
        try:
            with context.locks.hold(_key(page), seconds=0):
                if os.path.lexists(page.path):  # else it came to its end meanwhile
                    return True
        except Busy:
            # Who wrote it holds what we hold, if it is about that: he cannot, so another one goes back already.
            if _overlaps(context, journal, page, keys):
                return True
    return False


def _key(page: Page) -> Keys:
    return Keys(frozenset((page.key,)))


def keys_of_tasks(context: Context, tasks: Iterable[Task]) -> Keys:
    """What a transaction locks, from its tasks."""
    return keys_for(context.cgroups, ((task.domain, _cgroups(task)) for task in tasks))


def _cgroups(task: Task) -> Iterator[str]:
    from cputune.transaction.cgroup_task import CgroupTask
    from cputune.transaction.native import Native

    if isinstance(task, CgroupTask):
        yield task.cgroup
    elif isinstance(task, Native):
        yield from (hold.cgroup for hold in task.holds)


def _overlaps(context: Context, journal: Journal, page: Page, keys: Keys) -> bool:
    try:
        begun = journal.read(page)
    except Unreadable:
        return True
    except CpuTuneError:
        return False
    return keys_of_tasks(context, begun.tasks).meet(keys)


def _recover(context: Context, journal: Journal, page: Page, *, discard: bool) -> None:
    """Go back by one page, whose key we hold: nobody else works on it."""
    if not os.path.lexists(page.path):
        return
    try:
        begun = journal.read(page)
    except CpuTuneError as error:
        if not discard:
            raise
        _forget(page)
        context.say(f"forgot what cannot be read: {error.message}")
        return
    with context.locks.hold(keys_of_tasks(context, begun.tasks)):
        _go_back(context, journal, page, begun, discard=discard)


def _forget(page: Page) -> None:
    try:
        page.remove()
    except CpuTuneError:
        import shutil

        shutil.rmtree(page.path, ignore_errors=True)  # a folder that somebody made there


def _go_back(context: Context, journal: Journal, page: Page, begun: Begun, *, discard: bool) -> None:
    entry = begun.entry
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.when))
    what = f"what process {entry.pid} ({shortened(entry.command)}) had begun at {when} and not finished"
    tasks = begun.tasks if entry.boot == context.boot else tuple(_outliving(begun.tasks))
    result = put_back(context, (task for task in tasks if _is_ours(context, task)))
    for task in begun.tasks:
        _sweep(context, task, entry.pid)
    for line in result.moot:
        context.say(f"nothing to put back: {line}")
    if result.left and not discard:
        journal.keep(page, entry, result.stuck)
        raise NotPutBack(CpuTuneError(f"{what} is in the way", "cputune recover --discard"), result.left)
    history = History(context)
    history.enter(entry, [dump(task) for task in begun.tasks], sync=page.durable)
    history.take_back(entry)
    page.remove()
    context.say(f"{named(entry.domains)}: {'gave up putting back' if result.left else 'put back'} {what}")
    for line in result.left:
        context.say(f"left: {line}")


def named(domains: tuple[str, ...]) -> str:
    """A few of them, and how many more there are."""
    more = f" and {len(domains) - _NAMED} more" if len(domains) > _NAMED else ""
    return f"{', '.join(domains[:_NAMED])}{more}"


def shortened(text: str) -> str:
    """A command line as it fits into a message."""
    return text if len(text) <= _WORDS else f"{text[:_WORDS]}..."


def _is_ours(context: Context, task: Task) -> bool:
    """Whether there is still to be put back what a task may have done, and not what somebody else did since."""
    from cputune.transaction.cgroup_task import CgroupTask

    if not isinstance(task, CgroupTask):
        return True
    try:
        return task.is_ours(context)
    except Gone:
        return True  # and putting it back will say so
    except ChangedMeanwhile as error:
        context.say(f"left alone: {error.message}")
        return False


def _outliving(tasks: Iterable[Task]) -> Iterator[Task]:
    """What a reboot has not undone by itself."""
    from cputune.transaction.native import Native

    for task in tasks:
        if isinstance(task, Native):
            yield task._replace(holds=())
        elif task.durable:
            yield task


def _sweep(context: Context, task: Task, pid: int) -> None:
    """Remove the file that a killed process was writing, and had not given its name yet."""
    from cputune.host.files import scratch_of
    from cputune.transaction.tasks import Record, Save

    path = task.path if isinstance(task, Save) else context.state.path(task.of) if isinstance(task, Record) else None
    if path is not None:
        with suppress(OSError):  # rubbish that harms nobody
            os.unlink(scratch_of(path, pid))
