"""Going back where a cputune was killed, or lost power, in the middle of a transaction."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cputune.errors import CpuTuneError, NotPutBack
from cputune.locks import Busy, Keys
from cputune.transaction import put_back
from cputune.transaction.history import History, boot_of
from cputune.transaction.journal import Begun, Journal, Page

if TYPE_CHECKING:
    from cputune.transaction import Tools
    from cputune.transaction.tasks import Task

Stuck = dict[str, CpuTuneError]
"""The transactions that could not be put back, by id, and why."""


def pending(tools: Tools) -> list[Page]:
    """The pages of the journal: of transactions that were cut off, or are still under way."""
    return Journal(tools.site.host).pages()


def seems_cut_off(tools: Tools) -> bool:
    """Whether the process that wrote a page is gone, as far as one can tell who may not try its lock."""
    return any(not tools.site.host.exists(f"/proc/{page.id.rpartition('-')[2]}") for page in pending(tools))


def recover(tools: Tools, *, discard: bool = False) -> Stuck:
    """Put back what was cut off, and say so; what another cputune still works on is left to it.

    With `discard`, what cannot be put back is forgotten. Raises NoPermission.
    """
    journal, stuck = Journal(tools.site.host), Stuck()
    for page in journal.pages():
        try:
            with tools.locks.hold(Keys(frozenset((page.key,))), seconds=0):
                if os.path.lexists(page.path):
                    _recover(tools, journal, page, discard=discard)
        except Busy:
            continue
        except CpuTuneError as error:
            stuck[page.id] = error
    return stuck


def in_the_way(tools: Tools, keys: Keys, stuck: Stuck) -> bool:
    """Whether something was cut off that has to be put back before these locks, which we hold, are of use.

    Raises the error of what is stuck, where it concerns the same domains.
    """
    journal = Journal(tools.site.host)
    for page in journal.pages():
        ours = _overlaps(tools, journal, page, keys)
        if page.id in stuck:
            if ours:
                raise stuck[page.id]
            continue
        if ours:
            return True  # whoever wrote it held what we hold now: he is gone, whether or not somebody goes back already
        try:
            with tools.locks.hold(Keys(frozenset((page.key,))), seconds=0):
                return True
        except Busy:
            continue
    return False


def keys_of_tasks(tools: Tools, tasks: Iterable[Task]) -> Keys:
    """What a transaction locks, from its tasks."""
    exclusive: set[str] = set()
    shared: set[str] = set()
    for task in tasks:
        exclusive.add(task.domain)
        for cgroup in _cgroups(task):
            exclusive.add(f"cgroup:{cgroup}")
            shared.update(f"cgroup:{above}" for above in tools.site.ancestors(cgroup))
    return Keys(frozenset(exclusive), frozenset(shared - exclusive))


def _cgroups(task: Task) -> Iterator[str]:
    from cputune.transaction.native import Native
    from cputune.transaction.tasks import Tune

    if isinstance(task, Tune):
        yield task.cgroup
    elif isinstance(task, Native):
        yield from (seat.cgroup for seat in task.seats)


def _overlaps(tools: Tools, journal: Journal, page: Page, keys: Keys) -> bool:
    try:
        begun = journal.read(page)
    except CpuTuneError:
        return False
    if begun is None:
        return False
    theirs = keys_of_tasks(tools, begun.tasks)
    return bool(theirs.exclusive & (keys.exclusive | keys.shared) or theirs.shared & keys.exclusive)


def _recover(tools: Tools, journal: Journal, page: Page, *, discard: bool) -> None:
    try:
        begun = journal.read(page)
    except CpuTuneError:
        if not discard:
            raise
        begun = None
    if begun is None:
        page.remove()
        return
    with tools.locks.hold(keys_of_tasks(tools, begun.tasks)):
        _go_back(tools, page, begun, discard=discard)


def _go_back(tools: Tools, page: Page, begun: Begun, *, discard: bool) -> None:
    entry = begun.entry
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.when))
    what = f"what process {entry.pid} ({entry.command}) had begun at {when} and not finished"
    tasks = begun.tasks if entry.boot == boot_of(tools.site.host) else tuple(_outliving(begun.tasks))
    result = put_back(tools, tasks)
    for task in tasks:
        _sweep(tools, task, entry.pid)
    for name in result.gone:
        tools.say(f"{name}: gone, or started anew, since it was changed: nothing to put back there")
    if result.left and not discard:
        cause = CpuTuneError(f"{what} is still in the way", "cputune recover --discard")
        raise NotPutBack(cause, result.left)
    history = History(tools)
    history.enter(entry, begun.tasks)
    history.take_back(entry)
    page.remove()
    names = ", ".join(entry.domains)
    tools.say(f"{names}: {'gave up putting back' if result.left else 'put back'} {what}")
    for line in result.left:
        tools.say(f"left: {line}")


def _outliving(tasks: Iterable[Task]) -> Iterator[Task]:
    """What a reboot has not undone by itself."""
    from cputune.transaction.native import Native

    for task in tasks:
        if isinstance(task, Native):
            yield task._replace(seats=())
        elif task.durable:
            yield task


def _sweep(tools: Tools, task: Task, pid: int) -> None:
    """Remove the file that a killed process was writing, and had not given its name yet."""
    from cputune.files import scratch_of
    from cputune.transaction.tasks import Record, Save

    path = task.path if isinstance(task, Save) else tools.state.path(task.of) if isinstance(task, Record) else None
    if path is not None and os.path.lexists(scratch_of(path, pid)):
        os.unlink(scratch_of(path, pid))
