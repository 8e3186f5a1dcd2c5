"""Which files nobody but root can change, or, for another user who runs cputune, nobody but root and that user."""

from __future__ import annotations

import errno
import os
import stat
from functools import partial

from cputune.core.errors import NoPermission
from cputune.host.files import read_checked, require_trusted

_MOST_LINKS = 40
"""As many symbolic links as the kernel follows in one path: path_resolution(7)."""


class ChangeableByUser(NoPermission):
    """Another user, who owns it, can change a file or replace it by way of a directory above it."""

    def __init__(self, path: str, uid: int) -> None:
        super().__init__(f"{path} belongs to user {uid}, who can change it", f"chown root {path}")
        self.uid = uid


def resolved(path: str, *, lasting: bool = False) -> str:
    """Return an absolute path without symbolic links, each of which is one that nobody else could have made.

    What is there, and every directory on the way, belongs to root or the caller, and cannot be written by others. The
    end of the path may not exist. Directories such as /tmp, where nobody can replace what belongs to another, are good
    enough unless the path is to be used again at any time (`lasting`): old files in them are removed.
    Raises NoPermission, OSError.
    """
    here, rest, links = "/", _parts(path), 0
    _require(here, os.lstat(here), lasting=lasting)
    while rest:
        part = rest.pop()
        if part == "..":
            here = os.path.dirname(here)
            continue
        step = os.path.join(here, part)
        try:
            status = os.lstat(step)
        except FileNotFoundError:
            return os.path.join(step, *reversed(rest))
        _require(step, status, lasting=lasting)
        if not stat.S_ISLNK(status.st_mode):
            here = step
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(step)
        here = "/" if target.startswith("/") else here
        rest += _parts(target)
    return here


def require_tree(directory: str) -> None:
    """Raise NoPermission unless all in a directory, and where its links lead, is as `resolved` has it; OSError."""
    waiting, known = [directory], set[str]()
    while waiting:
        real = resolved(waiting.pop(), lasting=True)
        for folder, folders, files in os.walk(real):
            if folder in known:
                folders.clear()
                continue
            known.add(folder)
            for path in (os.path.join(folder, name) for name in (*folders, *files)):
                status = os.lstat(path)
                _require(path, status, lasting=True)
                if stat.S_ISLNK(status.st_mode):
                    waiting.append(path)


def read_own(path: str, limit: int) -> tuple[str, os.stat_result] | None:
    """Return text and status of a regular file, at a path as from `resolved`; None if there is none.

    Bytes other than UTF-8 are surrogates. Raises NoPermission, OSError; EFBIG if it has more than `limit` bytes.
    """
    try:
        return read_checked(path, limit, partial(_require, lasting=True))
    except FileNotFoundError:
        return None


def _parts(path: str) -> list[str]:
    """Return the components of a path, the last one first."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def _require(path: str, status: os.stat_result, *, lasting: bool) -> None:
    if status.st_uid not in (0, os.geteuid()):
        raise ChangeableByUser(path, status.st_uid)
    if stat.S_ISLNK(status.st_mode):
        return  # a link's own mode means nothing: symlink(7)
    if not lasting and stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX:
        return
    require_trusted(path, status)
