"""The history: what was changed, by whom and when, with all that undoing it takes.

A change is made even if the history cannot be written, since a full disk is often the reason for the change; then a
message says that it cannot be undone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from cputune.core.errors import CpuTuneError
from cputune.core.knobs import KNOB
from cputune.core.model import KnobChange
from cputune.transaction.codec import Undecodable, decode, encode
from cputune.transaction.history_files import HistoryFiles

if TYPE_CHECKING:
    from cputune.transaction.context import Context


class Entry(NamedTuple):
    """One transaction."""

    id: str
    """Sorts by time."""
    when: int
    """Seconds since 1970."""
    boot: str
    """The kernel's boot id: live changes end with the boot."""
    pid: int
    who: str
    command: str
    domains: tuple[str, ...]
    changes: tuple[KnobChange, ...] = ()
    undoes: str = ""
    """The id of the transaction that this one takes back in these domains; empty for none."""


class Past(NamedTuple):
    """An entry of the history, and what has become of it since."""

    entry: Entry
    tasks: list[Any]
    """As `codec.dump` makes them."""
    undone: frozenset[str]
    """The domains in which it was taken back, or rolled back because its process was killed."""
    gone: frozenset[str]
    """The domains that have ended since, and with them what was changed."""

    def standing(self) -> tuple[str, ...]:
        """The domains in which it can still be undone."""
        over = self.undone | self.gone
        return () if self.entry.undoes else tuple(name for name in self.entry.domains if name not in over)

    def mark(self, domain: str) -> str:
        """What has become of it in a domain, in words; empty where it can still be undone."""
        return "taken back" if domain in self.undone else "gone" if domain in self.gone else ""


class History:
    """The history of one host."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.files = HistoryFiles(context)
        self._entered = False

    def enter(self, entry: Entry, dumped: list[Any], *, sync: bool) -> None:
        """Add a transaction, with the tasks as `codec.dump` makes them; with `sync`, sync it to the disk."""
        self._entered = True
        self._append({"done": encode(entry), "tasks": dumped}, sync=sync, large=entry.id)

    def take_back(self, entry: Entry) -> None:
        """Note that a transaction was rolled back, if it had been entered."""
        if self._entered:
            self._append({"undone": entry.id})

    def give_up(self, id_: str, domains: list[str]) -> None:
        """Note that a transaction can no longer be undone in some domains, since they have ended."""
        if domains:
            self._append({"gone": id_, "domains": domains})

    def _append(self, line: dict[str, Any], *, sync: bool = False, large: str = "") -> None:
        try:
            self.files.append(line, sync=sync, large=large)
        except (OSError, CpuTuneError) as error:
            said = error.message if isinstance(error, CpuTuneError) else error.strerror or str(error)
            self.context.say(f"not entered in the history, so it cannot be undone: {self.files.path}: {said}")

    def newest_first(self, name: str | None = None) -> Iterator[Past]:
        """All entries (of one domain, RUNTIME:NAME), the newest first, read as they are asked for.

        What has become of one stands behind it, and so has been read before it; of one domain's entries, only what
        has become of them in that domain. Raises NoPermission, Refused.
        """
        import json

        fates = _Fates()
        for line in self.files.newest_first("" if name is None else json.dumps(name)):
            fates.note(line)
            try:
                entry = decode(Entry, line.get("done"))
            except Undecodable:
                continue
            if entry.id in fates.entered or any(change.key not in KNOB for change in entry.changes):
                continue
            tasks = line.get("tasks")
            past = fates.past(entry, tasks if isinstance(tasks, list) else [])
            if name in (None, *entry.domains):
                yield past


class _Fates:
    """What has become of transactions, as the lines behind them say."""

    def __init__(self) -> None:
        self.entered: set[str] = set()
        """The transactions that have been met: one that was rolled back later may have been entered twice."""
        self._undone: dict[str, set[str] | None] = {}
        """The domains in which one was rolled back; None: all of them."""
        self._gone: dict[str, set[str]] = {}
        self._undone_by: dict[str, list[tuple[str, frozenset[str]]]] = {}
        """What has undone it, and in which domains, unless it was rolled back itself."""

    def note(self, line: dict[str, Any]) -> None:
        """Take up what a line says about a transaction before it."""
        domains = frozenset(map(str, line["domains"])) if isinstance(line.get("domains"), list) else None
        gone, undone, by = (
            line.get(key) if isinstance(line.get(key), str) else None for key in ("gone", "undone", "by")
        )
        if gone and domains:
            self._gone.setdefault(gone, set()).update(domains)
        if undone and by:
            self._undone_by.setdefault(undone, []).append((by, domains or frozenset()))
        elif undone and domains is None:
            self._undone[undone] = None
        elif undone and (known := self._undone.setdefault(undone, set())) is not None:
            known.update(domains or ())

    def past(self, entry: Entry, tasks: list[Any]) -> Past:
        """A transaction, and what has become of it."""
        self.entered.add(entry.id)
        if entry.undoes:
            self._undone_by.setdefault(entry.undoes, []).append((entry.id, frozenset(entry.domains)))
        undone = self._undone.get(entry.id, set())
        found = set(entry.domains if undone is None else undone)
        found.update(*(domains for by, domains in self._undone_by.get(entry.id, ()) if not self._is_undone(by)))
        return Past(entry, tasks, frozenset(found), frozenset(self._gone.get(entry.id, ())))

    def _is_undone(self, id_: str) -> bool:
        return self._undone.get(id_, set()) != set()


def new_entry(context: Context, domains: Iterable[str], changes: Iterable[KnobChange] = (), undoes: str = "") -> Entry:
    """Make the entry of a transaction that begins now."""
    pid = os.getpid()
    return Entry(
        f"{time.time_ns():020d}-{pid}",
        int(time.time()),
        context.boot,
        pid,
        context.who,
        context.command,
        tuple(dict.fromkeys(domains)),
        tuple(changes),
        undoes,
    )
