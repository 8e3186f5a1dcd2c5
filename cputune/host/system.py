"""The host: the only module that reads and writes kernel files and starts processes. Tests pass a `Host` of their own.

Paths are absolute paths on the host; `Host.root` is where the host's file system is mounted, almost always "/".
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import NamedTuple

CONFIG_DIR = "/etc/cputune"
"""Root's saved configurations."""
STATE_DIR = "/run/cputune"
"""Root's state of this boot: what is in force through cputune, the locks, the journal."""
DATA_DIR = "/var/lib/cputune"
"""What outlives a boot: the history, and the journal of changes to configurations."""
_READ_LIMIT = 1 << 20
"""Bytes of a file that are read at most: nobody can fill our memory with a large one."""
_CHUNK = 65536
"""Bytes that one read() asks for. Every cgroup file is shorter, so one read() is enough for it."""
_BUS_VARIABLES = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
"""The environment variables that tell busctl --user where the user's bus is."""


class Completed(NamedTuple):
    """The exit status and the output of a process."""

    status: int
    stdout: str
    stderr: str


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

    def read(self, path: str, limit: int = _READ_LIMIT) -> str:
        """Return a file's text, at most about `limit` bytes, bytes other than UTF-8 as surrogates. Raises OSError."""
        fd = _open(self.root + path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(fd, _CHUNK)
            if len(data) == _CHUNK or path.startswith("/proc/"):
                # Regular and proc files may take several reads; cgroup files never do, and are the hot path.
                while len(data) < limit and (more := os.read(fd, _CHUNK)):
                    data += more
        finally:
            os.close(fd)
        return data.decode("utf-8", "surrogateescape")

    def read_or_none(self, path: str) -> str | None:
        """As `read`, but None if the file cannot be read: it does not exist, or permission is denied."""
        try:
            return self.read(path)
        except OSError:
            return None

    def read_regular(self, path: str, limit: int = _READ_LIMIT) -> str:
        """Return the text of a regular file in a directory where others may write. Never blocks, as on a FIFO.

        Raises OSError; EINVAL if it is no regular file, EFBIG if it has more than `limit` bytes.
        """
        # The type is checked before opening: opening some devices already has an effect.
        handle = _open(self.root + path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            fd = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(handle)
        data = bytearray()
        try:
            while len(data) <= limit and (more := os.read(fd, _CHUNK)):
                data += more
        finally:
            os.close(fd)
        if len(data) > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        return data.decode("utf-8", "surrogateescape")

    def read_regular_or_none(self, path: str, limit: int = _READ_LIMIT) -> str | None:
        """As `read_regular`, but None instead of an OSError."""
        try:
            return self.read_regular(path, limit)
        except OSError:
            return None

    def write(self, path: str, text: str) -> None:
        """Write a kernel file with one write(). Raises OSError.

        Python's open() would not do: its O_CREAT turns a missing cgroup file into EACCES.
        """
        fd = os.open(self.root + path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
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
        try:
            return os.stat(self.root + path).st_ino
        except (OSError, ValueError):
            return None

    def owner(self, path: str) -> int | None:
        """Return the user id that owns a path, or None if that cannot be told."""
        try:
            return os.stat(self.root + path).st_uid
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
        """Whether the caller has permission to list a directory and open what is in it."""
        return os.access(self.root + path, os.R_OK | os.X_OK)

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

        With `user`, a user id, it runs as that user, with that user's bus, and none of the caller's environment.
        Raises OSError if it cannot be started, TimeoutError if it does not end in time.
        """
        import subprocess

        env = {**os.environ, "LC_ALL": "C"}
        if os.geteuid() != 0 and "XDG_RUNTIME_DIR" not in env:  # as under sudo -u
            env |= {key: value for key, value in _environment_of(os.geteuid()).items() if key in _BUS_VARIABLES}
        if user is not None:
            env = _environment_of(user)
        group = None if user is None else int(env.pop("GID"))
        try:
            done = subprocess.run(
                argv,
                input=(text or "").encode(),
                capture_output=True,
                timeout=timeout,
                check=False,
                env=env,
                user=user,
                group=group,
                extra_groups=None if user is None else (),
                cwd=None if user is None else "/",
                start_new_session=True,  # ^C at the terminal must reach cputune only, which then decides what to do
            )
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(110, f"{argv[0]} did not answer in {timeout:g} s") from error
        return Completed(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def _open(path: str, flags: int) -> int:
    """Do as os.open, but raise FileNotFoundError for a name that no file can have (with a NUL byte)."""
    try:
        return os.open(path, flags)
    except ValueError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error


def _environment_of(user: int) -> dict[str, str]:
    """Return the environment for a program that runs as this user id, plus the user's group id under "GID"."""
    import pwd

    run = f"/run/user/{user}"
    env = {"PATH": f"{os.defpath}:/usr/sbin:/sbin", "LC_ALL": "C", "XDG_RUNTIME_DIR": run, "GID": str(user)}
    env["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={run}/bus"
    try:
        entry = pwd.getpwuid(user)
    except KeyError:
        return env
    return env | {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name, "GID": str(entry.pw_gid)}
