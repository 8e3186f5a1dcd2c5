"""cputune's own files: folders that nobody else can write in, files that are replaced whole and through to the disk."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from cputune.core.errors import NoPermission


def make_own_folder(path: str) -> None:
    """Make a folder, with those above it, where it is not there. Raises OSError; NoPermission as `require_own`."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        _make_folders(path)
        found = os.stat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    require_own(path, found)


def _make_folders(path: str) -> None:
    """Make a folder and those above it, so that they last. Raises OSError."""
    parent = os.path.dirname(path)
    if parent and not os.path.isdir(parent):
        _make_folders(parent)
    _refuse_anothers(parent)
    with suppress(FileExistsError):
        os.mkdir(path, 0o755)
        sync_folder(parent or ".")


def require_own_place(path: str, depth: int) -> None:
    """Raise NoPermission where somebody else could put another file at this path: by one of the folders above it.

    The nearest `depth` of them must not be symbolic links; the one above these is what was configured.
    """
    folder = os.path.dirname(path)
    for level in range(depth + 1):
        try:
            found = os.stat(folder) if level == depth else os.lstat(folder)
        except FileNotFoundError:
            found = None
        if found and stat.S_ISLNK(found.st_mode):
            raise NoPermission(f"{folder} is a symbolic link, which is not followed", f"ls -ld {folder}")
        if found:
            require_own(folder, found)
        folder = os.path.dirname(folder)


def _refuse_anothers(folder: str) -> None:
    """Raise PermissionError for a folder where only a capability would let us write: ours there, root refuses it."""
    me = os.geteuid()
    found = os.stat(folder or ".") if me != 0 else None
    if found is None or found.st_uid == me or found.st_mode & 0o002:
        return
    if not (found.st_mode & 0o020 and found.st_gid in os.getgroups()):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def require_own(path: str, found: os.stat_result) -> None:
    """Raise NoPermission for a file or folder that somebody else could change: what is in it is not to be trusted."""
    if found.st_uid not in (0, os.geteuid()):
        raise NoPermission(f"{path} belongs to user {found.st_uid}, who can change it", f"chown root {path}")
    if found.st_mode & 0o002 or (found.st_mode & 0o020 and found.st_gid not in (0, os.getegid())):
        raise NoPermission(
            f"{path} can be written by others (mode {stat.S_IMODE(found.st_mode):04o})", f"chmod go-w {path}"
        )


def read_own(path: str, limit: int, depth: int = 0) -> str:
    """The text of a file of ours in a place of ours, of at most `limit` bytes.

    Raises OSError; NoPermission as `require_own_place`.
    """
    require_own_place(path, depth)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        require_own(path, found)
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return data.decode("utf-8", "surrogateescape")


def scratch_of(path: str, pid: int) -> str:
    """Where a process writes a file before it gets its name: what is left there of a killed one is rubbish."""
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)[:200]}.{pid}")


def write_atomically(
    path: str, text: str, *, sync: bool, mode: int = 0o644, like: os.stat_result | None = None
) -> None:
    """Replace a file as a whole: write beside it, rename, with `sync` through to the disk. Raises OSError.

    It gets this mode, or the mode and the owner of the file `like`.
    """
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        _make_folders(folder)
    _refuse_anothers(folder)
    scratch = scratch_of(path, os.getpid())
    try:
        fd = _create(scratch)
        try:
            write_all(fd, text.encode("utf-8", "surrogateescape"))
            if like is not None:
                os.fchown(fd, like.st_uid, like.st_gid)
            os.fchmod(fd, like.st_mode & 0o777 if like else mode)
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(scratch, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(scratch)
        raise
    if sync:
        sync_folder(folder)


def _create(scratch: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(scratch, flags, 0o600)
    except FileExistsError:  # of a process with our number, which was killed
        os.unlink(scratch)
        return os.open(scratch, flags, 0o600)


def write_all(fd: int, data: bytes) -> None:
    """Write all of it. Raises OSError."""
    while data:
        data = data[os.write(fd, data) :]


def sync_folder(folder: str) -> None:
    """Make renames and removals in a directory last. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
