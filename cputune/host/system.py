"""The host: the only module that reads and writes kernel files and starts processes. Tests pass a `Host` of their own.

Paths are absolute paths on the host; `Host.root` is where the host's file system is mounted, almost always "/".
"""

from __future__ import annotations

import errno
import os
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TextIO

    from cputune.host.foreign import Foreign
    from cputune.host.problems import Problems
    from cputune.host.programs import Completed

CONFIG_DIR = "/etc/cputune"
"""Root's saved configurations."""
STATE_DIR = "/run/cputune"
"""Root's state of this boot: what is in force through cputune, the locks, the journal."""
DATA_DIR = "/var/lib/cputune"
"""What outlives a boot: the history, and the journal of changes to configurations."""
_READ_LIMIT = 64 << 20
"""Bytes of a kernel file that are read at most: users can make some of them long, such as /proc/net/unix."""
_CHUNK = 65536
"""Bytes that one read() asks for. Every cgroup file is shorter, so one read() is enough for it."""


class Host:
    """A Linux system: its files below `root`, its processes, and where cputune keeps its own files."""

    def __init__(
        self,
        root: str = "/",
        config_dir: str | None = None,
        state_dir: str | None = None,
        data_dir: str | None = None,
    ) -> None:
        self.root = root.rstrip("/")
        self.uid = os.geteuid()
        """The caller's user id: a domain name that names no owner may be one of this user's."""
        self.config_dir = config_dir or self.real(CONFIG_DIR)
        run, home = f"/run/user/{os.geteuid()}", os.path.expanduser("~")
        self.own_state_dir = self._own(run, run, STATE_DIR) if os.geteuid() != 0 else None
        """An ordinary user's own state directory; None for root, whose records are everybody's."""
        self.state_dir = state_dir or self.own_state_dir or self.real(STATE_DIR)
        self._pinned: dict[str, int] = {}
        """Directories that `write` uses by their descriptors, by their paths."""
        lasting = os.environ.get("XDG_STATE_HOME") or f"{home}/.local/state"  # XDG Base Directory Specification
        self.data_dir = data_dir or self._own(home, lasting, DATA_DIR)

    def _own(self, mine: str, folder: str, roots: str) -> str:
        """A user's directory below `folder` if `mine` is writable, else root's: users may change their own cgroups."""
        if not self.root and os.geteuid() != 0 and os.access(mine, os.W_OK):
            return f"{folder}/cputune"
        return self.real(roots)

    def real(self, path: str) -> str:
        """The host's absolute `path` as this process sees it."""
        return self.root + path

    @cached_property
    def foreign(self) -> Foreign:
        """The files that somebody else than root may own: records of runtimes, settings, unit files."""
        from cputune.host.foreign import Foreign

        return Foreign(self.root)

    @cached_property
    def problems(self) -> Problems:
        """What was left out while domains were looked for, since it could not be read."""
        from cputune.host.problems import Problems

        return Problems()

    def read(self, path: str, limit: int = _READ_LIMIT) -> str:
        """Return the text of a kernel file, bytes other than UTF-8 as surrogates. Raises OSError.

        EFBIG for one of more than `limit` bytes: part of it would look like all of it.
        """
        fd = _open(self.root + path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(fd, _CHUNK)
            if len(data) == _CHUNK or path.startswith("/proc/"):
                # Files of proc may take several reads; cgroup files never do, and are the hot path.
                while len(data) <= limit and (more := os.read(fd, _CHUNK)):
                    data += more
        finally:
            os.close(fd)
        if len(data) > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        return data.decode("utf-8", "surrogateescape")

    def read_or_none(self, path: str) -> str | None:
        """As `read`, but None if the file cannot be read: it does not exist, or permission is denied."""
        try:
            return self.read(path)
        except OSError:
            return None

    def lines(self, path: str) -> Iterator[str]:
        """Return the lines of a kernel file, however many there are, one after the other. Raises OSError."""
        file = open(self.root + path, encoding="utf-8", errors="surrogateescape", newline="\n")  # noqa: SIM115
        return _lines(file)

    def write(self, path: str, text: str) -> None:
        """Write a kernel file with one write(). Raises OSError.

        Python's open() would not do: its O_CREAT turns a missing cgroup file into EACCES.
        """
        directory, _, name = path.rpartition("/")
        pinned = self._pinned.get(directory)
        flags = os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC
        fd = os.open(self.root + path, flags) if pinned is None else os.open(name, flags, dir_fd=pinned)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)

    def pin(self, directory: str) -> int:
        """Have `write` use this very directory from now on, whatever takes its path; return its inode number.

        Raises OSError.
        """
        self.unpin(directory)
        fd = os.open(self.root + directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._pinned[directory] = fd
        return os.fstat(fd).st_ino

    def unpin(self, directory: str) -> None:
        """Have `write` use whatever is at that path again."""
        if (fd := self._pinned.pop(directory, None)) is not None:
            os.close(fd)

    def exists(self, path: str) -> bool:
        """Whether the path exists."""
        return os.path.exists(self.root + path)

    def is_dir(self, path: str) -> bool:
        """Whether the path is a directory."""
        return os.path.isdir(self.root + path)

    def inode(self, path: str) -> int | None:
        """Return the inode number of a path, or None. A cgroup that was removed and made again has another one.

        kernfs counts them up (fs/kernfs/dir.c, kernfs_new_node; since Linux 4.14), on 64 bits without an end (5.5).
        """
        found = self.status(path)
        return found and found.st_ino

    def owner(self, path: str) -> int | None:
        """Return the user id that owns a path, or None if that cannot be told."""
        found = self.status(path)
        return found and found.st_uid

    def status(self, path: str) -> os.stat_result | None:
        """Return what stat(2) tells of a path of the kernel's, or None."""
        try:
            return os.stat(self.root + path)
        except (OSError, ValueError):
            return None

    def online_cpus(self) -> int:
        """Return how many CPUs the running kernel has online."""
        return os.cpu_count() or 1

    def in_first_user_namespace(self) -> bool:
        """Whether this process is in the initial user namespace, user_namespaces(7); assumed if /proc cannot tell."""
        text = self.read_or_none("/proc/self/uid_map")
        return text is None or text.split() == ["0", "0", "4294967295"]

    def children(self, path: str) -> list[str]:
        """Return the names of a directory's subdirectories, sorted; none if it cannot be read."""
        try:
            with os.scandir(self.root + path) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except (OSError, ValueError):
            return []

    def link(self, path: str) -> str | None:
        """Return the target of a symbolic link, or None if there is no link or it cannot be read."""
        try:
            return os.readlink(self.root + path)
        except OSError:
            return None

    def may_list(self, path: str) -> bool:
        """Whether the caller has permission to list a directory and open what is in it; so of one that is not there."""
        return os.access(self.root + path, os.R_OK | os.X_OK) or not os.path.exists(self.root + path)

    def names(self, path: str) -> list[str]:
        """Return all names in a directory, sorted; none if it cannot be read."""
        try:
            return sorted(os.listdir(self.root + path))
        except (OSError, ValueError):
            return []

    def mkdir(self, path: str) -> None:
        """Create a directory, that is, a cgroup. Raises OSError."""
        os.mkdir(self.root + path, 0o755)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory, that is, a cgroup. Raises OSError."""
        os.rmdir(self.root + path)

    def run(
        self, argv: Sequence[str], user: int | None = None, timeout: float = 30.0, text: str | None = None
    ) -> Completed:
        """Run a program, without a shell, and wait until it ends, at most `timeout` seconds. Its stdin is `text`.

        With `user`, a user id, it runs as that user. Raises OSError, and bounds what it may print, as `programs.run`.
        """
        from cputune.host import programs

        return programs.run(argv, user, timeout, text)


def _lines(file: TextIO) -> Iterator[str]:
    with file:
        for line in file:
            yield line.removesuffix("\n")


def _open(path: str, flags: int) -> int:
    """Do as os.open, but raise FileNotFoundError for a name that no file can have (with a NUL byte)."""
    try:
        return os.open(path, flags)
    except ValueError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
