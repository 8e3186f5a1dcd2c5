"""The files of the history: lines of JSON, each with its checksum, in `history` and in older files beside it.

When `history` is large or old enough, it is renamed to `history.TIME`, and the oldest of these are removed. A change of
very many domains is in a file of its own, history.large/ID, and has a line that names it. So no number of other changes
makes it go; what was noted about it later is kept for as long as it is there.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cputune.core.errors import CpuTuneError, from_os_error
from cputune.host.files import make_trusted_dir, read_trusted, sync_dir, write_all, write_atomically
from cputune.transaction.checksum import new_name, sealed, set_aside, unsealed
from cputune.transaction.locks import Keys

if TYPE_CHECKING:
    from cputune.transaction.context import Context

DAYS = 366
"""For which changes are kept; a little longer, since they go a file at a time."""
LARGEST = 64 << 20
"""Bytes of all files but those of large changes; then the oldest is removed."""
LARGEST_OF_LARGE = 256 << 20
"""Bytes of all files of large changes; then the oldest is removed, but never the only one."""
FILE = 2 << 20
"""Bytes after which a file is renamed, and another one is begun: reading the last changes is reading one of them."""
FILE_DAYS = 31
"""The same in days, from its first line."""
LARGE = 64 << 10
"""Bytes of a line that gets a file of its own."""
_TOO_LARGE = 32 << 20
"""Bytes of a file that was not written by cputune: several times what can be in one."""
_TOO_LARGE_OF_LARGE = 512 << 20
"""The same of a large change: more than a journal's page can have."""
_TRANSACTION = '{"done":'
"""How the lines begin that are not about another one."""
_DAY = 86400 * 10**9
_KEYS = Keys(frozenset(("history",)))

Line = dict[str, Any]


class HistoryFiles:
    """The files of the history of one host."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.folder = context.cgroups.host.data_dir
        self.path = os.path.join(self.folder, "history")
        self.large = f"{self.path}.large"

    def append(self, line: Line, *, sync: bool, large: str = "") -> None:
        """Add a line; a long one as the large change of that id. With `sync`, sync it. Raises OSError, CpuTuneError."""
        with self.context.locks.hold(_KEYS):
            make_trusted_dir(self.folder)
            text = _text(line)
            own = os.path.join(self.large, large) if large and len(text) > LARGE else None
            self._make_room(len(text) if own else 0)
            if own is None:
                self._write(text, sync=sync)
                return
            write_atomically(own, text, sync=sync, mode=0o600)
            try:
                self._write(_text({"large": large}), sync=sync)
            except BaseException:
                with suppress(OSError):
                    os.unlink(own)
                raise

    def newest_first(self, word: str = "") -> Iterator[Line]:
        """All lines, the newest first; for a large change, what is in its file. Damaged ones are named and set aside.

        Left out are transactions in whose JSON the word is not: to read 64 MiB of them takes seconds. Raises
        NoPermission, Refused.
        """
        met = set()
        for path in self._paths():
            for line in self._lines(path, word):
                if "large" not in line:
                    yield line
                elif (id_ := str(line["large"])) not in met:
                    met.add(id_)
                    yield from self._lines_of_large(id_)
        for id_ in reversed(self._large_ids()):
            if id_ not in met:  # the line that names it has been dropped
                yield from self._lines_of_large(id_)

    # --- reading

    def _paths(self) -> Iterator[str]:
        """The newest first. What is renamed meanwhile is there twice, rather than not at all."""
        yield self.path
        yield from reversed(self._renamed())

    def _renamed(self) -> list[str]:
        """The older files, the oldest first."""
        prefix = f"{os.path.basename(self.path)}."
        names = sorted(name for name in _names(self.folder) if name.startswith(prefix))
        return [os.path.join(self.folder, name) for name in names if _time_of(name[len(prefix) :])]

    def _large_ids(self) -> list[str]:
        return sorted(name for name in _names(self.large) if _time_of(name))

    def _lines(self, path: str, word: str = "") -> Iterator[Line]:
        """The lines of a file, the newest first, without transactions in which the word is not."""
        import json

        texts = [unsealed(f"{text}\n") for text in self._read(path)]
        if None in texts:
            texts = [unsealed(f"{text}\n") for text in self._without_damaged(path)]
        for text in filter(None, reversed(texts)):
            if word not in text and text.startswith(_TRANSACTION):
                continue
            with suppress(ValueError, RecursionError):
                line = json.loads(text)
                if isinstance(line, dict):
                    yield line

    def _read(self, path: str) -> list[str]:
        try:
            return [text for text in read_trusted(path, _TOO_LARGE).split("\n") if text]
        except FileNotFoundError:
            return []
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise from_os_error(error, f"read {path}") from error
        with self.context.locks.hold(_KEYS):
            self.context.say(set_aside(path, self.folder))
        return []

    def _without_damaged(self, path: str) -> list[str]:
        """Read a file again, when nobody writes to it, and set aside the lines in it that are damaged."""
        texts = self._read(path)
        try:
            with self.context.locks.hold(_KEYS):
                texts = self._read(path)
                whole = [text for text in texts if unsealed(f"{text}\n") is not None]
                damaged = [text for text in texts if unsealed(f"{text}\n") is None]
                if damaged:
                    aside = new_name(path, os.path.join(self.folder, "damaged"))
                    make_trusted_dir(os.path.dirname(aside))
                    write_atomically(aside, _joined(damaged), sync=True, mode=0o600)
                    write_atomically(path, _joined(whole), sync=True, mode=0o600)
                    self.context.say(f"{path} has damaged lines, which are not used: they are now in {aside}")
        except (OSError, CpuTuneError) as error:
            self.context.say(f"{path} has damaged lines, which are not used; {_words(error, 'move them aside')}")
        return texts

    def _lines_of_large(self, id_: str) -> Iterator[Line]:
        """What is in the file of a large change, unless it has been dropped or is damaged."""
        import json

        path = os.path.join(self.large, id_)
        try:
            text = unsealed(read_trusted(path, _TOO_LARGE_OF_LARGE, depth=1)) if _time_of(id_) else ""
        except FileNotFoundError:
            return
        except OSError as error:
            raise from_os_error(error, f"read {path}") from error
        if text is None:
            try:
                self.context.say(set_aside(path, self.folder))
            except CpuTuneError as error:
                self.context.say(error.message)
            return
        with suppress(ValueError, RecursionError):
            line = json.loads(text)
            if isinstance(line, dict):
                yield line

    # --- writing

    def _write(self, text: str, *, sync: bool) -> None:
        data = text.encode()
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
        if sync and not before:
            sync_dir(self.folder)

    def _make_room(self, large: int) -> None:
        """Begin another file if it is time to, and remove what is too old or too much; with that many bytes to come."""
        try:
            due = self._is_due()
            if due:
                last = max((_time_of(path.rpartition(".")[2]) for path in self._renamed()), default=0)
                os.rename(self.path, f"{self.path}.{max(time.time_ns(), last + 1):020d}")
            if due or large:
                self._drop(large)
        except (OSError, CpuTuneError) as error:  # the change is entered all the same
            self.context.say(_words(error, f"shorten {self.path}"))

    def _is_due(self) -> bool:
        """Whether the file is so large or so old that another one has to be begun."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return False
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or not found.st_size:
                return False
            # The first line begins with the id of a transaction, as in {"done":{"id":"01795572235706755657-4711".
            begun = next(filter(None, map(_time_of, os.pread(fd, 80, 0).decode(errors="replace").split('"'))), None)
            old = begun is not None and begun < time.time_ns() - FILE_DAYS * _DAY
            return old or found.st_size >= FILE
        finally:
            os.close(fd)

    def _drop(self, large: int) -> None:
        """Remove the oldest files, and say so."""
        oldest, dropped = time.time_ns() - DAYS * _DAY, []
        ids, sizes = self._large_ids(), _sizes(self.large)
        total = sum(sizes.get(id_, 0) for id_ in ids) + large
        for id_ in ids:
            if total <= LARGEST_OF_LARGE and _time_of(id_) >= oldest:
                break
            total -= sizes.get(id_, 0)
            os.unlink(os.path.join(self.large, id_))
            dropped.append(id_)
        paths, sizes = self._renamed(), _sizes(self.folder)
        total = sum(sizes.get(os.path.basename(path), 0) for path in paths) + FILE
        for path in paths:
            if total <= LARGEST and _time_of(path.rpartition(".")[2]) >= oldest:
                break
            total -= sizes.get(os.path.basename(path), 0)
            dropped += self._drop_file(path)
        if dropped:
            until = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(_time_of(max(dropped)) // 10**9))
            self.context.say(
                f"the history is full: dropped its {len(dropped)} oldest changes, until {until}, "
                "which cannot be undone any more"
            )

    def _drop_file(self, path: str) -> list[str]:
        """Remove a file; what it says about large changes that are still there is entered anew. Returns its ids."""
        lines = list(self._lines(path))
        for line in _about(lines, frozenset(self._large_ids())):
            self._write(_text(line), sync=True)
        os.unlink(path)
        entries = [line["done"] for line in lines if isinstance(line.get("done"), dict)]
        return [entry["id"] for entry in entries if isinstance(entry.get("id"), str) and _time_of(entry["id"])]


def _about(lines: Iterable[Line], large: frozenset[str]) -> Iterator[Line]:
    """What these lines say about large changes, in lines that need no others."""
    undone = {line.get("undone") for line in lines if isinstance(line.get("undone"), str)}
    for line in lines:
        if any(isinstance(line.get(kind), str) and line[kind] in large for kind in ("undone", "gone")):
            yield line
        entry = line.get("done")
        if isinstance(entry, dict) and entry.get("undoes") in large and entry.get("id") not in undone:
            yield {"undone": entry["undoes"], "domains": entry.get("domains", []), "by": entry.get("id")}


def _text(line: Line) -> str:
    import json

    return sealed(json.dumps(line, separators=(",", ":")) + " ")


def _joined(texts: list[str]) -> str:
    return "".join(f"{text}\n" for text in texts)


def _time_of(id_: str) -> int:
    """When a transaction or file with this id began, in nanoseconds since 1970; 0 if it is no such id."""
    time_, _, pid = id_.partition("-")
    is_id = len(time_) == 20 and id_.isascii() and time_.isdigit() and (pid.isdigit() or id_ == time_)
    return int(time_) if is_id else 0


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _sizes(folder: str) -> dict[str, int]:
    """The bytes of the files in a folder."""
    found = {}
    for name in _names(folder):
        with suppress(OSError):
            found[name] = os.lstat(os.path.join(folder, name)).st_size
    return found


def _words(error: OSError | CpuTuneError, action: str) -> str:
    return error.message if isinstance(error, CpuTuneError) else from_os_error(error, action).message
