"""The tasks of each transaction, on disk while they are carried out: the next cputune can undo what a killed one began.

Each transaction has a page, one JSON document, that is written and synced before the first change and removed after
the last. Where a transaction changes files that outlive a reboot, so does its page.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from cputune.core.errors import CpuTuneError, NotPutBack, Refused, from_os_error
from cputune.host.files import read_trusted, require_trusted_path, sync_dir, write_atomically
from cputune.transaction.checksum import sealed, set_aside, unsealed
from cputune.transaction.codec import Undecodable, decode, dump, encode, load
from cputune.transaction.history import Entry

if TYPE_CHECKING:
    from cputune.host.system import Host
    from cputune.transaction.tasks import Task

_VERSION = 1
_LARGEST = 256 << 20
"""Bytes of a page."""


class Page(NamedTuple):
    """The page of one transaction, by its file."""

    path: str
    durable: bool

    @property
    def id(self) -> str:
        """The id of the transaction."""
        return os.path.basename(self.path)

    @property
    def key(self) -> str:
        """The name of the lock that the cputune process working on it holds."""
        return f"journal:{self.id}"

    def remove(self) -> None:
        """Remove the page at the end of its transaction. Raises CpuTuneError."""
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise from_os_error(error, f"remove {self.path}") from error
        if self.durable:
            # The transaction is complete. If this fails and the power does too, the page is back after the boot, and
            # all of the transaction is rolled back.
            with suppress(OSError):
                sync_dir(os.path.dirname(self.path))


class Unreadable(Refused):
    """A page that is damaged, or was written by another version of cputune."""


class Damaged(Unreadable):
    """A page that is not as it was written."""


class Lost(NotPutBack):
    """A damaged page was set aside: nobody knows any longer what its transaction had begun."""


class PageContent(NamedTuple):
    """What a page says: a transaction, and the tasks that may have been done."""

    entry: Entry
    tasks: tuple[Task, ...]


class Journal:
    """The pages of one host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.folders = {durable: os.path.join(folder, "journal") for durable, folder in
                        ((False, host.state_dir), (True, host.data_dir))}  # fmt: skip

    def page(self, entry: Entry, tasks: Iterable[Task]) -> Page:
        """The page of a transaction, written or not."""
        durable = any(task.durable for task in tasks)
        return Page(os.path.join(self.folders[durable], entry.id), durable)

    def keep(self, page: Page, entry: Entry, tasks: list[Task]) -> None:
        """Keep a page with the tasks that still have to be undone; without any, remove it. Raises CpuTuneError."""
        if not tasks:
            page.remove()
            return
        try:
            write_atomically(page.path, _text(entry, [dump(task) for task in tasks]), sync=True, mode=0o600)
        except OSError as error:
            raise from_os_error(error, f"write {page.path}") from error

    def begin(self, page: Page, entry: Entry, dumped: list[Any]) -> None:
        """Write a page, with the tasks as `codec.dump` makes them, and sync it to the disk.

        Raises Refused (disk full), NoPermission: then nothing has been done.
        """
        try:
            require_trusted_path(page.path, 1)
            write_atomically(page.path, _text(entry, dumped), sync=True, mode=0o600)
        except BaseException as error:
            with suppress(OSError):  # it may be there, but not synced
                os.unlink(page.path)
            if isinstance(error, OSError):
                raise from_os_error(error, f"write {page.path}") from error
            raise

    def sweep(self) -> None:
        """Remove the pages that processes were writing when they were killed: these had changed nothing yet."""
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
        """All pages, the oldest first, of finished and of running processes."""
        found = []
        for durable, folder in self.folders.items():
            try:
                names = os.listdir(folder)
                found += [Page(os.path.join(folder, name), durable) for name in names if not name.startswith(".")]
            except OSError:
                continue
        return sorted(found, key=lambda page: page.id)

    def read(self, page: Page) -> PageContent:
        """The content of a page. Raises Unreadable, Damaged, NoPermission; Gone if its transaction has ended."""
        import json

        try:
            text = read_trusted(page.path, _LARGEST, depth=1)
        except OSError as error:
            raise from_os_error(error, f"read {page.path}") from error
        content = unsealed(text)
        if content is None:
            raise Damaged(f"{page.path} is damaged")
        try:
            document = json.loads(content)
            if document["version"] != _VERSION:
                raise Undecodable(f"version {document['version']}")
            tasks = [load(name, value) for name, value in document["tasks"]]
            return PageContent(decode(Entry, document["entry"]), tuple(tasks))
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            why = str(error) if isinstance(error, Undecodable) else "its content makes no sense"
            raise Unreadable(
                f"{page.path} is not a journal that this cputune can read: {why}",
                f"look at it: head -c 300 {page.path}; to forget it: cputune recover --discard",
            ) from error

    def set_aside(self, page: Page) -> Lost:
        """Set a damaged page aside, and return what to tell about it. Raises CpuTuneError."""
        said = set_aside(page.path, os.path.dirname(self.folders[page.durable]))
        return Lost(CpuTuneError(said, "cputune diff"), ["what this change had begun is not known"])


def _text(entry: Entry, dumped: list[Any]) -> str:
    import json

    return sealed(json.dumps({"version": _VERSION, "entry": encode(entry), "tasks": dumped}) + "\n")
