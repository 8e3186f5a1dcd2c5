"""Locks between the cputunes of one host: a name is a byte of one file, which its holder locks as POSIX has it.

The kernel gives them back when a process ends, however it ends; one file descriptor serves any number of them; and
/proc/locks names who holds one. Two names may share a byte: then one waits for the other without need.
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
_SHORTEST_NAP, _LONGEST_NAP = 0.002, 0.05
_PATIENT = 10
"""One that has waited this many seconds looks once a second."""


class Keys(NamedTuple):
    """What a change locks."""

    exclusive: frozenset[str]
    shared: frozenset[str] = frozenset()

    def meet(self, other: Keys) -> bool:
        """Whether two that lock these could not go on at the same time."""
        return bool(self.exclusive & (other.exclusive | other.shared) or self.shared & other.exclusive)


def keys_of(cgroups: Cgroups, domains: Iterable[Domain]) -> Keys:
    """What a change of these domains must have for itself."""
    return keys_for(cgroups, ((domain.qualified, domain.cgroups) for domain in domains))


def keys_for(cgroups: Cgroups, places: Iterable[tuple[str, Iterable[str]]]) -> Keys:
    """What a change must have for itself, of domains by name, each with its cgroups.

    On v1 a limit has to fit those above it and below it, so the cgroups above must not change meanwhile.
    """
    exclusive: set[str] = set()
    shared: set[str] = set()
    for name, paths in places:
        exclusive.add(name)
        for cgroup in paths:
            exclusive.add(f"cgroup:{cgroup}")
            if cgroups.hierarchy.version == 1:
                shared.update(f"cgroup:{above}" for above in cgroups.ancestors(cgroup))
    return Keys(frozenset(exclusive), frozenset(shared - exclusive))


class Busy(Refused):
    """Another process has held a lock for too long."""


class Locks:
    """The locks of one host, as this process holds them; not for threads, of which POSIX locks know nothing."""

    def __init__(self, host: Host) -> None:
        self.path = os.path.join(host.state_dir, "locks")
        self._fd = -1
        self._held: dict[int, int] = {}

    @contextmanager
    def hold(self, keys: Keys, seconds: float | None = None) -> Iterator[bool]:
        """Hold locks; the value is whether another process had to be waited for.

        Raises Busy when one is not free within `seconds` (default LOCK_SECONDS), NoPermission, Refused.
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
            # In one order for all, so that no two wait for each other.
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
            # Nobody else may open it: a lock for reading would keep us out as well.
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise from_os_error(error, f"lock {self.path}") from error

    def _take(self, byte: int, kind: int, key: str, deadline: float) -> bool:
        nap, begun = _SHORTEST_NAP, time.monotonic()
        while True:
            try:
                fcntl.lockf(self._fd, kind | fcntl.LOCK_NB, 1, byte)
                return nap > _SHORTEST_NAP
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    raise from_os_error(error, f"lock {self.path}") from error
            if time.monotonic() >= deadline:
                raise self._busy(byte, key)
            time.sleep(nap)
            # Who has waited for long can wait longer: hundreds that look all the time leave no CPU to the holder.
            nap = min(nap * 2, max(_LONGEST_NAP, (time.monotonic() - begun) / _PATIENT))

    def _busy(self, byte: int, key: str) -> Busy:
        pid = self._holder(byte)
        if pid is None:
            return Busy(f"another cputune changes {key}, and does not end", "ps -C cputune")
        words = (Host().read_or_none(f"/proc/{pid}/cmdline") or "").replace("\0", " ").strip()
        return Busy(f"process {pid} ({words or 'of another kind'}) changes {key}, and does not end", f"ps -fp {pid}")

    def _holder(self, byte: int) -> int | None:
        """The process that holds a byte: proc(5), /proc/locks."""
        inode = os.fstat(self._fd).st_ino
        # This kernel's, whatever host the locks are about.
        for line in (Host().read_or_none("/proc/locks") or "").splitlines():
            words = line.split()
            if len(words) == 8 and words[5].endswith(f":{inode}") and words[6] == str(byte) and int(words[4]) > 0:
                return int(words[4])
        return None


def _byte(key: str) -> int:
    return zlib.crc32(key.encode(errors="replace"))
