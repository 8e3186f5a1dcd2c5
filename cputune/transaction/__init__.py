"""One transaction over any number of cgroups and saved configurations: all of it, or the state before.

The planner makes tasks; here they are carried out one after the other, and on any failure put back in reverse. The way
back is on disk before the first of them is done (`journal`), so that the next cputune can go it where this one is
killed (`recovery`). A task holds the state from before, whole, so putting back is the same as going forward.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from cputune.cgroup import Cgroups
from cputune.errors import CpuTuneError, Gone, NotPutBack
from cputune.locks import Locks
from cputune.state import State
from cputune.systemd import Systemd
from cputune.transaction.signals import uninterrupted

if TYPE_CHECKING:
    from cputune.transaction.history import Entry
    from cputune.transaction.tasks import Task


_NAPS = (0.01, 0.05, 0.2)
"""Seconds, for all tasks of a transaction together."""


class Tools:
    """What tasks act on, and who hears of what they meet."""

    def __init__(self, site: Cgroups, say: Callable[[str], None], command: str) -> None:
        self.site = site
        self.systemd = Systemd(site.host)
        self.state = State(site.host)
        self.locks = Locks(site.host)
        self.say = say
        """Told what a person should know besides the result."""
        self.command = command
        """What was typed, for the history."""


class PutBack(NamedTuple):
    """How going back went."""

    left: list[str]
    """What could not be put back, a line each."""
    gone: list[str]
    """The domains of which something went away meanwhile, with its values."""


def perform(tools: Tools, tasks: list[Task], entry: Entry) -> None:
    """Do all tasks, or none, and enter them in the history.

    Raises the first error, with all put back; NotPutBack where that failed too: then the journal stays.
    """
    from cputune.transaction.history import History
    from cputune.transaction.journal import Journal

    if not tasks:
        return
    history, journal = History(tools), Journal(tools.site.host)
    begun: list[Task] = []
    page = journal.begin(entry, tasks)
    try:
        for task in tasks:
            begun.append(task)
            task.do(tools)
        history.enter(entry, tasks)
        page.remove()
    except BaseException as error:
        with uninterrupted():
            left = put_back(tools, begun).left
            history.take_back(entry)
            if not left:
                with suppress(CpuTuneError):  # then the next cputune finds nothing to put back, and removes it
                    page.remove()
        if left:
            cause = error if isinstance(error, CpuTuneError) else CpuTuneError(str(error) or type(error).__name__)
            raise NotPutBack(cause, left) from error
        raise


def put_back(tools: Tools, begun: Iterable[Task]) -> PutBack:
    """Undo, last first, as much as can be."""
    left: list[str] = []
    gone: dict[str, None] = {}
    naps = iter(_NAPS)
    for task in reversed(list(begun)):
        try:
            _undo(tools, task, naps)
        except Gone:
            gone[task.domain] = None  # the cgroup is gone, and its values with it
        except CpuTuneError:
            try:
                left += task.left(tools)
            except CpuTuneError as error:
                left.append(error.message)
    return PutBack(left, list(gone))


def _undo(tools: Tools, task: Task, naps: Iterator[float]) -> None:
    """Undo, more than once: for a moment v1's kernel counts the limit of a group below that was just removed."""
    while True:
        try:
            task.undo(tools)
            return
        except Gone:
            raise
        except CpuTuneError:
            nap = next(naps, None)
            if nap is None:
                raise
            time.sleep(nap)
