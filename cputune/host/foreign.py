"""Files that somebody else than root may own: read and listed as their owner, and never otherwise. See design: Trust.

Whose a path is follows from the directories on the way alone. As long as only root can change each of them, it is
root's; from the first component that belongs to somebody else, all of it is that user's. Below a directory that several
users can write to, what belongs to root is nobody's, since somebody may have moved it there.

Every component is opened by itself, and not looked at where it is a FUSE mount of a user's, whose daemon need never
answer. What is a user's is opened with that user's ids, and a link of his may only lead to what is his.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from cputune.host.rights import acting_as, may_become_others

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

MAX_BYTES = 1 << 20
"""Bytes of a file that are read at most, unless the caller says otherwise."""
MAX_NAMES = 100_000
"""Names in a directory of a user's that are looked at."""
_MAX_LINKS = 40
"""Symbolic links on the way to a file, as in the kernel (fs/namei.c, MAXSYMLINKS)."""
_CACHE_SECONDS = 1.0
"""For how long it is remembered that a directory is root's, so that thousands of files below it cost one look."""
_CHUNK = 65536
_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class NotTheirs(PermissionError):
    """A path that does not belong to whom it should, or cannot be shown to."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(errno.EPERM, f"{why}: {path}")


class _Found(NamedTuple):
    """An object in the file system, opened with O_PATH."""

    fd: int
    status: os.stat_result
    owner: int | None
    """Whose it is (user id); None for what nobody can vouch for."""


class _Link(NamedTuple):
    """A symbolic link on the way."""

    target: str
    """The whole path that it stands for."""
    owner: int


class Foreign:
    """The files of one host, whose paths are absolute on that host; `root` is where its file system is mounted."""

    def __init__(self, root: str) -> None:
        self._root = root or "/"
        self._known = {"/"}
        """Directories that only root can change; no symbolic link is on the way to them."""
        self._until = 0.0
        """When what is known has to be found out anew."""
        self._mounts: str | None = None

    def owner(self, path: str) -> int | None:
        """Return the user id that a path belongs to, or would belong to if it were made.

        None where that cannot be told: others can put something in its place.
        """
        while True:
            try:
                found = self._open(path)
            except FileNotFoundError:
                if path in ("/", ""):
                    return None
                path = path.rpartition("/")[0] or "/"
                continue
            except OSError:
                return None
            os.close(found.fd)
            is_shared = stat.S_ISDIR(found.status.st_mode) and _others_can_write(found.status)
            return None if found.owner == 0 and is_shared else found.owner

    def read(self, path: str, owner: int = 0, limit: int = MAX_BYTES, *, stray: bool = False) -> str:
        """Return the text of a regular file of this owner's, bytes other than UTF-8 as surrogates. Never blocks.

        With `stray`, a file or directory of root's own counts as root's although it lies in a directory of another
        user's: the file must have no other name, and links on the way must be root's.

        Raises OSError: NotTheirs, EINVAL if it is no regular file, EFBIG if it is longer than `limit` bytes.
        """
        fd = self._open_as(path, owner, os.O_RDONLY | os.O_NONBLOCK, stat.S_ISREG, "not a regular file", stray=stray)
        try:
            return read_bounded(fd, limit).decode("utf-8", "surrogateescape")
        finally:
            os.close(fd)

    def read_or_none(self, path: str, owner: int = 0, limit: int = MAX_BYTES, *, stray: bool = False) -> str | None:
        """As `read`, but None instead of an OSError."""
        try:
            return self.read(path, owner, limit, stray=stray)
        except OSError:
            return None

    def names(self, path: str, owner: int = 0, *, stray: bool = False) -> list[str]:
        """Return the names in a directory of this owner's, sorted; none if it cannot be read. `stray` as for `read`.

        Of a user's directory they are MAX_NAMES at most.
        """
        return sorted(entry.name for entry in self._entries(path, owner, stray=stray))

    def children(self, path: str, owner: int = 0) -> list[str]:
        """Return the names of the subdirectories, as `names`."""
        return sorted(entry.name for entry in self._entries(path, owner) if entry.is_dir(follow_symlinks=False))

    def exists(self, path: str, owner: int = 0, *, stray: bool = False) -> bool:
        """Return whether there is such a path, and it is this owner's; `stray` as for `read`."""
        return self._status(path, owner, stray=stray) is not None

    def is_dir(self, path: str, owner: int = 0) -> bool:
        """Return whether there is such a directory, and it is this owner's."""
        status = self._status(path, owner)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def require(self, path: str, owner: int = 0) -> os.stat_result | None:
        """Raise NotTheirs if a path is not, or would not be, this owner's; return what is there, or None."""
        if self.owner(path) != owner:
            raise NotTheirs(path, f"it is not {_whose(owner)}")
        return self._status(path, owner)

    def _status(self, path: str, owner: int, *, stray: bool = False) -> os.stat_result | None:
        try:
            found = self._open(path, stray=stray)
        except OSError:
            return None
        os.close(found.fd)
        return found.status if self._is_of(found, owner) else None

    def _entries(self, path: str, owner: int, *, stray: bool = False) -> list[os.DirEntry[str]]:
        from itertools import islice

        try:
            fd = self._open_as(path, owner, os.O_RDONLY, stat.S_ISDIR, "not a directory", stray=stray)
        except OSError:
            return []
        try:
            with os.scandir(fd) as entries:
                return list(islice(entries, MAX_NAMES if owner else None))
        except OSError:
            return []
        finally:
            os.close(fd)

    def _open_as(
        self, path: str, owner: int, flags: int, is_kind: Callable[[int], bool], otherwise: str, *, stray: bool
    ) -> int:
        """Open what is at a path with its owner's rights. Raises OSError: NotTheirs, EINVAL for one of another kind."""
        found = self._open(path, stray=stray)
        try:
            self._require(path, found, owner)
            if not is_kind(found.status.st_mode):  # before it is opened, which has an effect on some devices
                raise OSError(errno.EINVAL, otherwise)
            self._require_rights(found, owner)
            with self._as(owner):
                return os.open(f"/proc/self/fd/{found.fd}", flags | os.O_CLOEXEC)
        finally:
            os.close(found.fd)

    @staticmethod
    def _is_of(found: _Found, owner: int) -> bool:
        """Whether it is the owner's. Of an ordinary caller's own he need not ask whose it is."""
        return found.owner == owner or (found.owner == os.geteuid() and found.owner != 0)

    def _require(self, path: str, found: _Found, owner: int) -> None:
        if not self._is_of(found, owner):
            by = "nobody can tell whose it is" if found.owner is None else f"it is {_whose(found.owner)}"
            raise NotTheirs(path, by)

    @cached_property
    def _can_become_others(self) -> bool:
        return may_become_others()

    def _as(self, owner: int | None) -> AbstractContextManager[None]:
        """Act as the owner; without CAP_SETUID and CAP_SETGID, as whoever calls."""
        return acting_as(owner if owner and self._can_become_others else 0)

    def _require_rights(self, found: _Found, owner: int) -> None:
        """Raise PermissionError for a file of another one's in a user's directory, where he cannot be asked for it.

        Root without capabilities still may read what is root's.
        """
        if owner and found.status.st_uid != owner and os.geteuid() == 0 and not self._can_become_others:
            raise PermissionError(errno.EPERM, "that takes CAP_SETUID and CAP_SETGID")

    # --- the way there ------------------------------------------------------------------------------------------------

    def _open(self, path: str, *, stray: bool = False) -> _Found:
        """Open what is at a path. Raises OSError."""
        now = time.monotonic()
        if now > self._until:
            self._known, self._mounts, self._until = {"/"}, None, now + _CACHE_SECONDS
        followed, linked_by = os.path.normpath(path), 0
        for _ in range(_MAX_LINKS):
            found = self._walk(followed, stray=stray)
            if isinstance(found, _Found):
                if linked_by and found.owner != linked_by:
                    os.close(found.fd)
                    raise NotTheirs(path, f"a link of user {linked_by}'s leads to what is not that user's")
                return found
            if linked_by and found.owner != linked_by:
                break
            followed, linked_by = found.target, found.owner
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    def _walk(self, path: str, *, stray: bool) -> _Found | _Link:
        """Open what is at a path, or return what the first symbolic link on the way stands for."""
        directory, rest = self._start(path)
        fd = os.open(self._real(directory), _PATH | os.O_DIRECTORY)
        found = _Found(fd, os.fstat(fd), 0)
        try:
            for index, name in enumerate(rest):
                is_last = index == len(rest) - 1
                inner = self._step(found, name, path, stray=stray and is_last)
                os.close(found.fd)
                found = inner
                if found.owner is None:
                    raise NotTheirs(path, "nobody can tell whose it is")
                if stat.S_ISLNK(found.status.st_mode):
                    target = os.path.join(directory, os.readlink("", dir_fd=found.fd), *rest[index + 1 :])
                    os.close(found.fd)
                    is_roots = stray and found.status.st_uid == 0
                    return _Link(os.path.normpath(target), 0 if is_roots else found.owner)
                directory = f"{directory.rstrip('/')}/{name}"
                if found.owner == 0 and not is_last and not _others_can_write(found.status):
                    self._known.add(directory)
        except BaseException:
            os.close(found.fd)
            raise
        return found

    def _step(self, outer: _Found, name: str, path: str, *, stray: bool) -> _Found:
        """Open one component in a directory, as the user whose that is."""
        with self._as(0 if stray else outer.owner):
            try:
                fd = os.open(name, _PATH, dir_fd=outer.fd)
            except ValueError as error:  # a name that no file can have, such as one with a NUL byte
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
        try:
            self._refuse_mount_of_user(outer.fd, fd, path)
            status = self._status_of(fd)
        except BaseException:
            os.close(fd)
            raise
        return _Found(fd, status, _owner_of(outer, status, stray=stray))

    def _start(self, path: str) -> tuple[str, list[str]]:
        """Return the nearest directory above a path that is known to be root's, and the names from there on."""
        known = path
        while known not in self._known:
            known = known.rpartition("/")[0] or "/"
        return known, [name for name in path[len(known) :].split("/") if name]

    def _status_of(self, fd: int) -> os.stat_result:
        return os.fstat(fd)

    def _real(self, path: str) -> str:
        return path if self._root == "/" else self._root + path

    def _refuse_mount_of_user(self, outer: int, inner: int, path: str) -> None:
        """Raise NotTheirs if the inner one is on another mount, and that is one of FUSE's that a user made."""
        number = _mount_of(inner)
        if number == _mount_of(outer):
            return
        if self._mounts is None:
            with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
                self._mounts = "\n" + file.read()
        # proc_pid_mountinfo(5): the number comes first; behind the dash type, source, and options of the file system.
        line = self._mounts.partition(f"\n{number} ")[2].partition("\n")[0]
        kind, _, options = line.partition(" - ")[2].partition(" ")
        if kind.startswith("fuse") and "user_id=0," not in f"{options.rpartition(' ')[2]},":
            raise NotTheirs(path, "a user's FUSE mount is not looked into")


def _mount_of(fd: int) -> str:
    """Return the number of the mount that a descriptor is on: proc_pid_fdinfo(5). Asks no file system."""
    with open(f"/proc/self/fdinfo/{fd}", "rb", buffering=0) as file:
        return file.read(4096).partition(b"mnt_id:")[2].partition(b"\n")[0].strip().decode()


def _owner_of(outer: _Found, status: os.stat_result, *, stray: bool) -> int | None:
    """Return whose an object is that lies in the directory `outer`; None where nobody can tell. Pure."""
    if outer.owner != 0:
        has_one_place = status.st_nlink == 1 or stat.S_ISDIR(status.st_mode)
        is_stray = stray and status.st_uid == 0 and has_one_place and not _others_can_write(status)
        return 0 if is_stray else outer.owner
    if status.st_uid != 0:
        return status.st_uid
    if _others_can_write(outer.status):  # somebody may have moved it there
        return None
    anybody_s = _others_can_write(status) and stat.S_ISREG(status.st_mode)
    return None if anybody_s else 0


def _others_can_write(status: os.stat_result) -> bool:
    """Whether somebody else than the owner and root can change a file, or what is in a directory."""
    return bool(status.st_mode & 0o002 or (status.st_mode & 0o020 and status.st_gid != 0))


def _whose(owner: int) -> str:
    return "root's" if owner == 0 else f"user {owner}'s"


def read_bounded(fd: int, limit: int) -> bytes:
    """Return all that can be read. Raises OSError, EFBIG if that is more than `limit` bytes."""
    data = bytearray()
    while len(data) <= limit and (more := os.read(fd, _CHUNK)):
        data += more
    if len(data) > limit:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return bytes(data)
