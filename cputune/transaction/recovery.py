"""Rolling back what a cputune process had begun when it was killed, or when the power failed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from cputune.core.errors import ChangedMeanwhile, CpuTuneError, Gone, NotPutBack
from cputune.transaction.codec import dump
from cputune.transaction.history import History
from cputune.transaction.journal import Damaged, Journal, Page, PageContent, Unreadable
from cputune.transaction.locks import Busy, Keys, keys_for
from cputune.transaction.perform import roll_back

if TYPE_CHECKING:
    from cputune.transaction.context import Context
    from cputune.transaction.history import Entry
    from cputune.transaction.tasks import Task

_MOST_NAMES, _LONGEST_COMMAND = 5, 200
"""In a message: the number of domains that are named, and the characters of a command line."""

Stuck = dict[str, CpuTuneError]
"""The transactions that could not be rolled back, by id, and why."""


def pending(context: Context) -> list[Page]:
    """The pages of the journal: of transactions that were cut off, or are still being carried out."""
    return Journal(context.cgroups.host).pages()


def seems_cut_off(context: Context) -> bool:
    """Whether the process that wrote some page is gone: all that can be told without the right to try its lock."""
    return any(not context.cgroups.host.exists(f"/proc/{page.id.rpartition('-')[2]}") for page in pending(context))


def recover(context: Context, *, discard: bool = False, seconds: float = 0) -> Stuck:
    """Roll back what was cut off, and say so. Returns what could not be rolled back.

    What another process works on is left to it if that has not ended after `seconds`. With `discard`, what cannot be
    rolled back is forgotten.
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
        except Exception as error:  # whatever one page causes, the others have to be rolled back
            stuck[page.id] = CpuTuneError(f"{page.path}: {type(error).__name__}: {error}", "cputune recover --discard")
    return stuck


def in_the_way(context: Context, keys: Keys, stuck: Stuck) -> bool:
    """Whether a transaction has to be rolled back first, although we hold these locks.

    Raises the error of a transaction that could not be, if it is, or may be, about the same domains.
    """
    journal = Journal(context.cgroups.host)
    for page in journal.pages():
        if page.id in stuck:
            if _overlaps(context, journal, page, keys):
                raise stuck[page.id]
            continue
        try:
            with context.locks.hold(_key(page), seconds=0):
                if os.path.lexists(page.path):  # otherwise the transaction has ended meanwhile
                    return True
        except Busy:
            # Its writer would hold the locks that we hold, if it were about these domains: so another process is
            # rolling it back already.
            if _overlaps(context, journal, page, keys):
                return True
    return False


def _key(page: Page) -> Keys:
    return Keys(frozenset((page.key,)))


def keys_of_tasks(context: Context, tasks: Iterable[Task]) -> Keys:
    """The names that a transaction locks, from its tasks."""
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
        content = journal.read(page)
    except Unreadable:
        return True
    except CpuTuneError:
        return False
    return keys_of_tasks(context, content.tasks).meet(keys)


def _recover(context: Context, journal: Journal, page: Page, *, discard: bool) -> None:
    """Roll back the transaction of one page, whose lock we hold: no other process works on it."""
    if not os.path.lexists(page.path):
        return
    try:
        content = journal.read(page)
    except Damaged:
        lost = journal.set_aside(page)
        if not discard:
            raise lost from None
        context.say(lost.message)
        return
    except CpuTuneError as error:
        if not discard:
            raise
        _forget(page)
        context.say(f"forgot what cannot be read: {error.message}")
        return
    with context.locks.hold(keys_of_tasks(context, content.tasks)):
        _roll_back_page(context, journal, page, content, discard=discard)


def _forget(page: Page) -> None:
    try:
        page.remove()
    except CpuTuneError:
        import shutil

        shutil.rmtree(page.path, ignore_errors=True)  # a folder that somebody made there


def _roll_back_page(context: Context, journal: Journal, page: Page, content: PageContent, *, discard: bool) -> None:
    entry = content.entry
    tasks = content.tasks if entry.boot == context.boot else tuple(_durable(content.tasks))
    result = roll_back(context, (task for task in tasks if _is_to_be_undone(context, task)))
    for task in content.tasks:
        _remove_scratch_file(context, task, entry.pid)
    for line in result.vanished:
        context.say(f"nothing to put back: {line}")
    what = _in_words(entry)
    if result.left and not discard:
        journal.keep(page, entry, result.failed)
        raise NotPutBack(CpuTuneError(f"{what} is in the way", "cputune recover --discard"), result.left)
    _enter_as_undone(context, page, content)
    context.say(f"{named(entry.domains)}: {'gave up putting back' if result.left else 'put back'} {what}")
    for line in result.left:
        context.say(f"left: {line}")


def _in_words(entry: Entry) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.when))
    return f"what process {entry.pid} ({shortened(entry.command)}) had begun at {when} and not finished"


def _enter_as_undone(context: Context, page: Page, content: PageContent) -> None:
    """Enter a transaction in the history as one that was rolled back, and remove its page."""
    history = History(context)
    history.enter(content.entry, [dump(task) for task in content.tasks], sync=page.durable)
    history.take_back(content.entry)
    page.remove()


def named(domains: tuple[str, ...]) -> str:
    """The names of some domains: the first few, and how many more there are."""
    more = f" and {len(domains) - _MOST_NAMES} more" if len(domains) > _MOST_NAMES else ""
    return f"{', '.join(domains[:_MOST_NAMES])}{more}"


def shortened(text: str) -> str:
    """A command line that is short enough for a message."""
    return text if len(text) <= _LONGEST_COMMAND else f"{text[:_LONGEST_COMMAND]}..."


def _is_to_be_undone(context: Context, task: Task) -> bool:
    """Whether a task has done something that is still there; what somebody else has changed since is left alone."""
    from cputune.transaction.cgroup_task import CgroupTask

    if not isinstance(task, CgroupTask):
        return True
    try:
        return task.is_done_in_part(context)
    except Gone:
        return True  # undoing it says so
    except ChangedMeanwhile as error:
        context.say(f"left alone: {error.message}")
        return False


def _durable(tasks: Iterable[Task]) -> Iterator[Task]:
    """The tasks, or parts of them, whose changes are still there after a reboot."""
    from cputune.transaction.native import Native

    for task in tasks:
        if isinstance(task, Native):
            yield task._replace(holds=())
        elif task.durable:
            yield task


def _remove_scratch_file(context: Context, task: Task, pid: int) -> None:
    """Remove the file that a killed process was writing, and had not renamed yet."""
    from cputune.host.files import scratch_of
    from cputune.transaction.tasks import Record, Save

    path = task.path if isinstance(task, Save) else context.records.path(task.of) if isinstance(task, Record) else None
    if path is not None:
        with suppress(OSError):  # it does no harm
            os.unlink(scratch_of(path, pid))
