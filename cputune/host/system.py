"""The only place that touches kernel files and starts processes. Tests bring a `Host` of their own.

Paths are those of the host; `root` is where the host's file system is mounted ("/" almost always).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import NamedTuple

CONFIG_DIR = "/etc/cputune"
STATE_DIR = "/run/cputune"
DATA_DIR = "/var/lib/cputune"
_READ_LIMIT = 1 << 20
_PIECE = 65536
"""Bytes read at once."""


_OF_A_BUS = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")


class Completed(NamedTuple):
    """How a process ended."""

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
        """Who asks: a name without an owner means one of his."""
        self.config_dir = config_dir or self.real(CONFIG_DIR)
        run, home = f"/run/user/{os.geteuid()}", os.path.expanduser("~")
        self.own_state_dir = self._own(run, run, STATE_DIR) if os.geteuid() != 0 else None
        """Where a user keeps his memory of this boot; None for root, whose counts for all."""
        self.state_dir = state_dir or self.own_state_dir or self.real(STATE_DIR)
        lasting = os.environ.get("XDG_STATE_HOME") or f"{home}/.local/state"  # XDG Base Directory Specification
        self.data_dir = data_dir or self._own(home, lasting, DATA_DIR)

    def _own(self, mine: str, folder: str, roots: str) -> str:
        """Root's place; a user who may change cgroups (his own units) keeps what he did in a place of his own."""
        if not self.root and os.geteuid() != 0 and os.access(mine, os.W_OK):
            return f"{folder}/cputune"
        return self.real(roots)

    def real(self, path: str) -> str:
        """The host's absolute `path` as this process sees it."""
        return self.root + path

    def read(self, path: str, limit: int = _READ_LIMIT) -> str:
        """The text of a file, at most `limit` bytes; bytes that are not UTF-8 survive as surrogates. Raises OSError."""
        fd = _open(self.root + path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(fd, _PIECE)
            if len(data) == _PIECE or path.startswith("/proc/"):
                # Regular and proc files may come in pieces; cgroup files never do, and are the hot path.
                while len(data) < limit and (more := os.read(fd, _PIECE)):
                    data += more
        finally:
            os.close(fd)
        return data.decode("utf-8", "surrogateescape")

    def read_or_none(self, path: str) -> str | None:
        """The text of a file, or None where it cannot be had (not there, gone, no right)."""
        try:
            return self.read(path)
        except OSError:
            return None

    def read_regular(self, path: str, limit: int = _READ_LIMIT) -> str:
        """The text of a regular file that anybody may have put there: never waits for a pipe's other end.

        Raises OSError; EFBIG where it is larger than `limit` bytes.
        """
        # Looked at before it is opened: to open some devices is to set them going.
        handle = _open(self.root + path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            fd = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(handle)
        data = bytearray()
        try:
            while len(data) <= limit and (more := os.read(fd, _PIECE)):
                data += more
        finally:
            os.close(fd)
        if len(data) > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        return data.decode("utf-8", "surrogateescape")

    def read_regular_or_none(self, path: str, limit: int = _READ_LIMIT) -> str | None:
        """The same, or None where it cannot be had."""
        try:
            return self.read_regular(path, limit)
        except OSError:
            return None

    def write(self, path: str, text: str) -> None:
        """Write a kernel file in one call. Raises OSError.

        Not open(): its O_CREAT would turn a missing cgroup file into EACCES.
        """
        fd = os.open(self.root + path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)

    def exists(self, path: str) -> bool:
        """Whether something is there."""
        return os.path.exists(self.root + path)

    def is_dir(self, path: str) -> bool:
        """Whether a directory is there."""
        return os.path.isdir(self.root + path)

    def inode(self, path: str) -> int | None:
        """The inode number of a file or directory: a cgroup that was made anew has another one."""
        try:
            return os.stat(self.root + path).st_ino
        except (OSError, ValueError):
            return None

    def owner(self, path: str) -> int | None:
        """The user id that a file or directory belongs to."""
        try:
            return os.stat(self.root + path).st_uid
        except (OSError, ValueError):
            return None

    def in_first_user_namespace(self) -> bool:
        """Whether our user ids are the host's: user_namespaces(7). Where that cannot be read, they are."""
        text = self.read_or_none("/proc/self/uid_map")
        return text is None or text.split() == ["0", "0", "4294967295"]

    def children(self, path: str) -> list[str]:
        """The names of the directories in a directory, sorted; empty where it cannot be read."""
        try:
            with os.scandir(self.root + path) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except (OSError, ValueError):
            return []

    def link(self, path: str) -> str | None:
        """What a symbolic link says; None where there is none that we may read."""
        try:
            return os.readlink(self.root + path)
        except OSError:
            return None

    def may_list(self, path: str) -> bool:
        """Whether we may see what is in a directory."""
        return os.access(self.root + path, os.R_OK | os.X_OK)

    def names(self, path: str) -> list[str]:
        """All names in a directory, sorted; empty where it cannot be read."""
        try:
            return sorted(os.listdir(self.root + path))
        except (OSError, ValueError):
            return []

    def mkdir(self, path: str) -> None:
        """Make a directory (a cgroup). Raises OSError."""
        os.mkdir(self.root + path, 0o755)

    def rmdir(self, path: str) -> None:
        """Remove a directory (a cgroup). Raises OSError."""
        os.rmdir(self.root + path)

    def run(
        self, argv: Sequence[str], user: int | None = None, timeout: float = 30.0, text: str | None = None
    ) -> Completed:
        """Run a program to its end, without a shell; as another user with that user's bus, and nothing else of ours.

        It reads `text`, or nothing.

        Raises OSError where it cannot be started or does not end.
        """
        import subprocess

        env = {**os.environ, "LC_ALL": "C"}
        if os.geteuid() != 0 and "XDG_RUNTIME_DIR" not in env:  # as behind sudo -u
            env |= {key: value for key, value in _environment_of(os.geteuid()).items() if key in _OF_A_BUS}
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
                start_new_session=True,  # what the terminal sends is for us, and we decide what follows
            )
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(110, f"{argv[0]} did not answer in {timeout:g} s") from error
        return Completed(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def _open(path: str, flags: int) -> int:
    """os.open, for which a name that no file can have is one that is not there."""
    try:
        return os.open(path, flags)
    except ValueError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error


def _environment_of(user: int) -> dict[str, str]:
    """What a program of another user's is given, with the number of his group as GID."""
    import pwd

    run = f"/run/user/{user}"
    env = {"PATH": f"{os.defpath}:/usr/sbin:/sbin", "LC_ALL": "C", "XDG_RUNTIME_DIR": run, "GID": str(user)}
    env["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={run}/bus"
    try:
        entry = pwd.getpwuid(user)
    except KeyError:
        return env
    return env | {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name, "GID": str(entry.pw_gid)}
