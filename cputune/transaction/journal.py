"""The way back, on disk while a transaction is under way: what a killed cputune leaves for the next one.

A page a transaction: one JSON document, written and synced before the first change, removed after the last. One that
changes files that outlive a reboot is kept where it outlives one too.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from cputune.core.errors import Refused, from_os_error
from cputune.host.files import read_trusted, require_trusted_path, sync_dir, write_atomically
from cputune.transaction.codec import Undecodable, decode, dump, encode, load
from cputune.transaction.history import Entry

if TYPE_CHECKING:
    from cputune.host.system import Host
    from cputune.transaction.tasks import Task

_VERSION = 1
_LARGEST = 256 << 20


class Page(NamedTuple):
    """The journal of one transaction, by its file."""

    path: str
    durable: bool

    @property
    def id(self) -> str:
        """Of the transaction."""
        return os.path.basename(self.path)

    @property
    def key(self) -> str:
        """What the cputune that works on it holds locked."""
        return f"journal:{self.id}"

    def remove(self) -> None:
        """The transaction is over. Raises CpuTuneError."""
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise from_os_error(error, f"remove {self.path}") from error
        if self.durable:
            # With the page all of it is done: what a failure here may bring back with the next power failure is the
            # state before, whole.
            with suppress(OSError):
                sync_dir(os.path.dirname(self.path))


class Unreadable(Refused):
    """A page of another cputune's, or none at all."""


class Begun(NamedTuple):
    """What a page says."""

    entry: Entry
    tasks: tuple[Task, ...]


class Journal:
    """The pages of one host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.folders = {durable: os.path.join(folder, "journal") for durable, folder in
                        ((False, host.state_dir), (True, host.data_dir))}  # fmt: skip

    def page(self, entry: Entry, tasks: Iterable[Task]) -> Page:
        """Where the page of a transaction is."""
        durable = any(task.durable for task in tasks)
        return Page(os.path.join(self.folders[durable], entry.id), durable)

    def keep(self, page: Page, entry: Entry, tasks: list[Task]) -> None:
        """Leave on a page what is still to be put back; where that is nothing, remove it. Raises CpuTuneError."""
        if not tasks:
            page.remove()
            return
        try:
            write_atomically(page.path, _text(entry, [dump(task) for task in tasks]), sync=True, mode=0o600)
        except OSError as error:
            raise from_os_error(error, f"write {page.path}") from error

    def begin(self, page: Page, entry: Entry, forms: list[Any]) -> None:
        """Write a page, its tasks as JSON has them, through to the disk.

        Raises Refused (disk full), NoPermission: nothing has been done then.
        """
        try:
            require_trusted_path(page.path, 1)
            write_atomically(page.path, _text(entry, forms), sync=True, mode=0o600)
        except BaseException as error:
            with suppress(OSError):  # it may be there, and not through to the disk
                os.unlink(page.path)
            if isinstance(error, OSError):
                raise from_os_error(error, f"write {page.path}") from error
            raise

    def sweep(self) -> None:
        """Remove the pages that killed processes were writing: nothing had been begun by then."""
        for folder in self.folders.values():
            try:
                names = [name for name in os.listdir(folder) if name.startswith(".")]
            except OSError:
                continue
            for name in names:
                if not os.path.exists(f"/proc/{name.rpartition('.')[2]}"):
                    with suppress(OSError):
                        os.unlink(os.path.join(folder, name))

    def pages(self) -> list[Page]:
        """All there are, oldest first, whether those who wrote them still work on them or not."""
        found = []
        for durable, folder in self.folders.items():
            try:
                names = os.listdir(folder)
                found += [Page(os.path.join(folder, name), durable) for name in names if not name.startswith(".")]
            except OSError:
                continue
        return sorted(found, key=lambda page: page.id)

    def read(self, page: Page) -> Begun:
        """What a page says. Raises Unreadable, NoPermission; Gone where it is over."""
        import json

        try:
            text = read_trusted(page.path, _LARGEST, depth=1)
        except OSError as error:
            raise from_os_error(error, f"read {page.path}") from error
        try:
            document = json.loads(text)
            if document["version"] != _VERSION:
                raise Undecodable(f"version {document['version']}")
            tasks = [load(name, value) for name, value in document["tasks"]]
            return Begun(decode(Entry, document["entry"]), tuple(tasks))
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            why = str(error) if isinstance(error, Undecodable) else "it is damaged"
            raise Unreadable(
                f"{page.path} is not a journal that this cputune can read: {why}",
                f"look at it: head -c 300 {page.path}; to forget it: cputune recover --discard",
            ) from error


def _text(entry: Entry, forms: list[Any]) -> str:
    import json

    return json.dumps({"version": _VERSION, "entry": encode(entry), "tasks": forms})
