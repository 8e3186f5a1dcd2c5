"""Locks between the cputune processes of one host: each name stands for one byte of a file, locked with fcntl(2).

The kernel releases them when the process ends, in whatever way; one file descriptor serves any number of them; and
/proc/locks tells who holds one. Two names may stand for the same byte: then one waits for the other without need.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from cputune.core.errors import Refused, from_os_error
from cputune.core.model import Domain
from cputune.host.files import make_trusted_dir
from cputune.host.system import Host

if TYPE_CHECKING:
    from cputune.host.cgroup.cgroups import Cgroups

LOCK_SECONDS = 30
"""How long to wait for a lock, unless told otherwise."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.002, 0.05
"""Seconds between two attempts to get a lock."""
_PAUSE_SHARE = 10
"""After a long wait, a process pauses for this fraction of the time that it has waited: 1 s after 10 s."""


class Keys(NamedTuple):
    """The names that a change locks, for itself or shared with others."""

    exclusive: frozenset[str]
    shared: frozenset[str] = frozenset()

    def meet(self, other: Keys) -> bool:
        """Whether two changes that lock these cannot be made at the same time."""
        return bool(self.exclusive & (other.exclusive | other.shared) or self.shared & other.exclusive)


def keys_of(cgroups: Cgroups, domains: Iterable[Domain]) -> Keys:
    """The names that a change of these domains locks."""
    return keys_for(cgroups, ((domain.qualified, domain.cgroups) for domain in domains))


def keys_for(cgroups: Cgroups, domains: Iterable[tuple[str, Iterable[str]]]) -> Keys:
    """The names that a change locks, given the names of its domains, each with its cgroups.

    On v1 a limit has to fit those of the cgroups above it, so that these must not change meanwhile.
    """
    exclusive: set[str] = set()
    shared: set[str] = set()
    for name, cgroup_paths in domains:
        exclusive.add(name)
        for cgroup in cgroup_paths:
            exclusive.add(f"cgroup:{cgroup}")
            if cgroups.hierarchy.version == 1:
                shared.update(f"cgroup:{above}" for above in cgroups.ancestors(cgroup))
    return Keys(frozenset(exclusive), frozenset(shared - exclusive))


class Busy(Refused):
    """Another process has held a lock for too long."""


class Locks:
    """The locks that this process holds on one host. Not for threads: to fcntl(2), they are one process."""

    def __init__(self, host: Host) -> None:
        self.path = os.path.join(host.state_dir, "locks")
        self._fd = -1
        self._held: dict[int, int] = {}

    @contextmanager
    def hold(self, keys: Keys, seconds: float | None = None) -> Iterator[bool]:
        """Hold locks in the block. Yields whether it had to wait for another process.

        Raises Busy if one is not free within `seconds` (default: LOCK_SECONDS), NoPermission, Refused.
        """
        wanted = {_byte(key): (fcntl.LOCK_SH, key) for key in keys.shared}
        wanted |= {_byte(key): (fcntl.LOCK_EX, key) for key in keys.exclusive}
        outermost = self._fd < 0
        if outermost:
            self._fd = self._open()
        taken: list[int] = []
        deadline = time.monotonic() + (LOCK_SECONDS if seconds is None else seconds)
        try:
            waited = False
            # All processes take them in the same order, so that no two wait for each other.
            for byte, (kind, key) in sorted(wanted.items()):
                if byte not in self._held:
                    waited |= self._take(byte, kind, key, deadline)
                    self._held[byte] = kind
                    taken.append(byte)
            yield waited
        finally:
            for byte in taken:
                del self._held[byte]
                fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, byte)
            if outermost:
                os.close(self._fd)
                self._fd = -1

    def _open(self) -> int:
        try:
            make_trusted_dir(os.path.dirname(self.path))
            # No other user may open it: even a lock for reading would keep us out.
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise from_os_error(error, f"lock {self.path}") from error

    def _take(self, byte: int, kind: int, key: str, deadline: float) -> bool:
        pause, start = _SHORTEST_PAUSE, time.monotonic()
        while True:
            try:
                fcntl.lockf(self._fd, kind | fcntl.LOCK_NB, 1, byte)
                return pause > _SHORTEST_PAUSE
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    raise from_os_error(error, f"lock {self.path}") from error
            if time.monotonic() >= deadline:
                raise self._busy(byte, key)
            time.sleep(pause)
            # Longer and longer: hundreds of processes that try all the time would leave no CPU to the holder.
            pause = min(pause * 2, max(_LONGEST_PAUSE, (time.monotonic() - start) / _PAUSE_SHARE))

    def _busy(self, byte: int, key: str) -> Busy:
        pid = self._holder(byte)
        if pid is None:
            return Busy(f"another cputune process holds the lock on {key}", "ps -C cputune")
        words = (Host().read_or_none(f"/proc/{pid}/cmdline") or "").replace("\0", " ").strip()
        return Busy(f"process {pid} ({words or 'command unknown'}) holds the lock on {key}", f"ps -fp {pid}")

    def _holder(self, byte: int) -> int | None:
        """The process that holds a byte: proc(5), /proc/locks."""
        inode = os.fstat(self._fd).st_ino
        # Of the running kernel, even where the locks are about a host mounted elsewhere.
        for line in (Host().read_or_none("/proc/locks") or "").splitlines():
            words = line.split()
            if len(words) == 8 and words[5].endswith(f":{inode}") and words[6] == str(byte) and int(words[4]) > 0:
                return int(words[4])
        return None


def _byte(key: str) -> int:
    return zlib.crc32(key.encode(errors="replace"))
