"""cputune's own files: directories that only their owner can write to, and files that are replaced atomically."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from cputune.core.errors import NoPermission

if TYPE_CHECKING:
    from collections.abc import Callable


def make_trusted_dir(path: str) -> None:
    """Create a directory and its parents, unless it exists. Raises OSError; NoPermission as `require_trusted`."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        _make_dirs(path)
        status = os.stat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    require_trusted(path, status)


def _make_dirs(path: str) -> None:
    """Create a directory and its parents, each synced to the disk. Raises OSError."""
    parent = os.path.dirname(path)
    if parent and not os.path.isdir(parent):
        _make_dirs(parent)
    _refuse_foreign(parent)
    with suppress(FileExistsError):
        os.mkdir(path, 0o755)
        sync_dir(parent or ".")


def require_trusted_path(path: str, depth: int) -> None:
    """Raise NoPermission if another user could replace the file at this path by way of a directory above it.

    The nearest `depth` directories must not be symbolic links. The one above them is checked too, but may be a link:
    it is the directory that was configured.
    """
    directory = os.path.dirname(path)
    for level in range(depth + 1):
        try:
            status = os.stat(directory) if level == depth else os.lstat(directory)
        except FileNotFoundError:
            status = None
        if status and stat.S_ISLNK(status.st_mode):
            raise NoPermission(f"{directory} is a symbolic link, which is not followed", f"ls -ld {directory}")
        if status:
            require_trusted(directory, status)
        directory = os.path.dirname(directory)


def _refuse_foreign(directory: str) -> None:
    """Raise PermissionError for a directory where an ordinary user could write only thanks to a capability.

    A file made there would belong to that user, and root's cputune would then refuse to read it.
    """
    me = os.geteuid()
    status = os.stat(directory or ".") if me != 0 else None
    if status is None or status.st_uid == me or status.st_mode & 0o002:
        return
    if not (status.st_mode & 0o020 and status.st_gid in os.getgroups()):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def require_trusted(path: str, status: os.stat_result) -> None:
    """Raise NoPermission for a file or directory that another user could change: its content cannot be trusted."""
    if status.st_uid not in (0, os.geteuid()):
        raise NoPermission(f"{path} belongs to user {status.st_uid}, who can change it", f"chown root {path}")
    if status.st_mode & 0o002 or (status.st_mode & 0o020 and status.st_gid not in (0, os.getegid())):
        raise NoPermission(
            f"{path} can be written by others (mode {stat.S_IMODE(status.st_mode):04o})", f"chmod go-w {path}"
        )


def read_trusted(path: str, limit: int, depth: int = 0) -> str:
    """Return the text of a file, at most `limit` bytes, that no other user could have changed or replaced.

    Raises OSError, EFBIG if the file is larger; NoPermission as `require_trusted` and `require_trusted_path`.
    """
    require_trusted_path(path, depth)
    return read_checked(path, limit, require_trusted)[0]


def read_checked(path: str, limit: int, require: Callable[[str, os.stat_result], None]) -> tuple[str, os.stat_result]:
    """Return text and status of a regular file, which is no symbolic link, once `require` has not raised for it.

    Bytes other than UTF-8 are surrogates. Raises OSError, EFBIG if the file has more than `limit` bytes.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        require(path, status)
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return data.decode("utf-8", "surrogateescape"), status


def scratch_of(path: str, pid: int) -> str:
    """Return the temporary file that a process writes before renaming it to `path`; one of a dead process is waste."""
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)[:200]}.{pid}")


def write_atomically(
    path: str, text: str, *, sync: bool, mode: int = 0o644, like: os.stat_result | None = None
) -> None:
    """Replace a file atomically: write a temporary file beside it and rename that; with `sync`, fsync both.

    The file gets this mode, or the mode and the owner of `like`. Raises OSError.
    """
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        _make_dirs(directory)
    _refuse_foreign(directory)
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
        sync_dir(directory)


def _create(scratch: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(scratch, flags, 0o600)
    except FileExistsError:  # left by a killed process that had our process id
        os.unlink(scratch)
        return os.open(scratch, flags, 0o600)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`, in as many write() calls as it takes. Raises OSError."""
    while data:
        data = data[os.write(fd, data) :]


def sync_dir(directory: str) -> None:
    """Sync a directory, so that renames and removals in it survive a power failure. Raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
