"""The history: what was changed, by whom and when. One JSON line per transaction, with all that undoing it takes.

Its size is limited: the oldest entries are dropped. A change is made even if the history cannot be written, since a
full disk is often the reason for the change; then a message says that it cannot be undone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from cputune.core.errors import CpuTuneError, from_os_error
from cputune.core.knobs import KNOB
from cputune.core.model import KnobChange
from cputune.host.files import make_trusted_dir, read_trusted, write_all, write_atomically
from cputune.transaction.codec import Undecodable, decode, encode
from cputune.transaction.locks import Keys

if TYPE_CHECKING:
    from cputune.transaction.context import Context

LARGEST = 4 << 20
"""Bytes; then the older half is dropped."""
_KEYS = Keys(frozenset(("history",)))


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
        self.path = os.path.join(context.cgroups.host.data_dir, "history")
        self._entered = False

    def enter(self, entry: Entry, dumped: list[Any], *, sync: bool) -> None:
        """Add a transaction, with the tasks as `codec.dump` makes them; with `sync`, sync it to the disk."""
        self._entered = True
        self._append({"done": encode(entry), "tasks": dumped}, sync=sync)

    def take_back(self, entry: Entry) -> None:
        """Note that a transaction was rolled back, if it had been entered."""
        if self._entered:
            self._append({"undone": entry.id, "domains": list(entry.domains)}, sync=False)

    def give_up(self, id_: str, domains: list[str]) -> None:
        """Note that a transaction can no longer be undone in some domains, since they have ended."""
        if domains:
            self._append({"gone": id_, "domains": domains}, sync=False)

    def past(self) -> list[Past]:
        """All entries, the oldest first; lines that make no sense are left out. Raises NoPermission."""
        entries: dict[str, tuple[Entry, list[Any]]] = {}
        over: dict[str, dict[str, set[str]]] = {"undone": {}, "gone": {}}
        for line in self._lines():
            for kind, known in over.items():
                if isinstance(line.get(kind), str) and isinstance(line.get("domains"), list):
                    known.setdefault(line[kind], set()).update(map(str, line["domains"]))
            try:
                entry = decode(Entry, line.get("done"))
            except Undecodable:
                continue
            if any(change.key not in KNOB for change in entry.changes):
                continue
            tasks = line.get("tasks")
            entries[entry.id] = (entry, tasks if isinstance(tasks, list) else [])
        undone, gone = over["undone"], over["gone"]
        for entry, _ in entries.values():
            if entry.undoes and not undone.get(entry.id):
                undone.setdefault(entry.undoes, set()).update(entry.domains)
        return [
            Past(entry, tasks, frozenset(undone.get(entry.id, ())), frozenset(gone.get(entry.id, ())))
            for entry, tasks in entries.values()
        ]

    def _lines(self) -> list[dict[str, Any]]:
        import json

        found = []
        for text in self._read().splitlines():
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(line, dict):
                found.append(line)
        return found

    def _read(self) -> str:
        try:
            return read_trusted(self.path, 16 * LARGEST)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise from_os_error(error, f"read {self.path}") from error

    def _append(self, line: dict[str, Any], *, sync: bool) -> None:
        import json

        try:
            with self.context.locks.hold(_KEYS):
                self._write(json.dumps(line).encode() + b"\n", sync=sync)
        except (OSError, CpuTuneError) as error:
            said = error.message if isinstance(error, CpuTuneError) else error.strerror or str(error)
            self.context.say(f"not entered in the history, so it cannot be undone: {self.path}: {said}")

    def _write(self, data: bytes, *, sync: bool) -> None:
        make_trusted_dir(os.path.dirname(self.path))
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(self.path, flags, 0o600)
        try:
            before = os.fstat(fd).st_size
            if before and os.pread(fd, 1, before - 1) != b"\n":
                data = b"\n" + data  # the last line was cut short
            try:
                write_all(fd, data)
                if sync:
                    os.fsync(fd)
            except OSError:
                os.ftruncate(fd, before)  # half a line would make the next one unreadable
                raise
        finally:
            os.close(fd)
        if before + len(data) > LARGEST:
            self._shorten()

    def _shorten(self) -> None:
        """Keep the newer half."""
        kept: list[str] = []
        size = 0
        for line in reversed(self._read().splitlines(keepends=True)):
            size += len(line)
            if kept and size > LARGEST // 2:
                break
            kept.append(line)
        write_atomically(self.path, "".join(reversed(kept)), sync=False, mode=0o600)


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
