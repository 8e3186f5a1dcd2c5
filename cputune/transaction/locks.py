"""Locks between the cputune processes of one host: each name stands for one byte of a file, locked with fcntl(2).

The kernel releases them when the process ends, in whatever way; one file descriptor serves any number of them; and it
tells who holds one. Two names may stand for the same byte: then one waits for the other without need.

Whoever has to wait sleeps in the kernel, which wakes those who wait for a byte in the order in which they came. Each
byte has a second one behind it, its gate: who waits for the byte holds the gate meanwhile, and shared locks are taken
through it, so that a process that wants a byte for itself is not passed for ever by those who share it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
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
"""How long one and the same process may hold a lock before those who wait give up, unless told otherwise."""
_GATE = 1 << 32
"""From a byte to its gate: names stand for bytes below this."""


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

        Raises Busy if they are not free within `seconds`; without that, if one process has held one of them for
        LOCK_SECONDS: any number of processes that follow each other are waited for. Raises NoPermission, Refused.
        """
        wanted = {_byte(key): (fcntl.LOCK_SH, key) for key in keys.shared}
        wanted |= {_byte(key): (fcntl.LOCK_EX, key) for key in keys.exclusive}
        outermost = self._fd < 0
        if outermost:
            self._fd = self._open()
        taken: list[int] = []
        deadline = None if seconds is None else time.monotonic() + seconds
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
                self._unlock(byte)
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

    def _take(self, byte: int, kind: int, key: str, deadline: float | None) -> bool:
        """Lock a byte; returns whether it had to wait. Raises Busy, Refused."""
        patient = deadline is None or time.monotonic() < deadline
        if (kind == fcntl.LOCK_EX or not patient) and self._try(byte, kind):
            return False
        if not patient:
            raise self._busy(key, self._holder(byte))
        try:
            waited = self._wait(byte + _GATE, fcntl.LOCK_EX, byte, key, deadline)
            return self._wait(byte, kind, byte, key, deadline) or waited
        finally:
            self._unlock(byte + _GATE)

    def _wait(self, at: int, kind: int, byte: int, key: str, deadline: float | None) -> bool:
        """Lock a byte, or its gate; returns whether it had to wait. Raises Busy, Refused."""
        if self._try(at, kind):
            return False
        holder, since = self._holder(byte), time.monotonic()
        while not self._lock_within(at, kind, LOCK_SECONDS / 2 if deadline is None else deadline - time.monotonic()):
            now, before = time.monotonic(), holder
            holder = self._holder(byte)
            if deadline is None and (holder is None or holder != before):
                since = now
            elif now >= (since + LOCK_SECONDS if deadline is None else deadline):
                self._unlock(at)  # it may have come with the end of the time
                raise self._busy(key, holder)
        return True

    def _lock_within(self, at: int, kind: int, seconds: float) -> bool:
        """Lock a byte or gate, asleep until it is free; False if the time is over, though it may be locked then.

        Whoever comes back after that stands at the end of the line.
        """
        try:
            with _alarm(seconds):
                fcntl.lockf(self._fd, kind, 1, at)
            return True
        except _TimeIsOver:
            return False
        except OSError as error:
            raise from_os_error(error, f"lock {self.path}") from error

    def _try(self, at: int, kind: int) -> bool:
        """Lock a byte or gate if it is free. Raises Refused."""
        try:
            fcntl.lockf(self._fd, kind | fcntl.LOCK_NB, 1, at)
            return True
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise from_os_error(error, f"lock {self.path}") from error

    def _unlock(self, at: int) -> None:
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, at)

    def _busy(self, key: str, pid: int | None) -> Busy:
        if not pid:
            return Busy(f"another cputune process holds the lock on {key}", "ps -C cputune")
        words = (Host().read_or_none(f"/proc/{pid}/cmdline") or "").replace("\0", " ").strip()
        return Busy(f"process {pid} ({words or 'command unknown'}) holds the lock on {key}", f"ps -fp {pid}")

    def _holder(self, byte: int) -> int | None:
        """The process that holds a byte, or else the one that is next: its id, 0 if it has none here; None for none."""
        import struct

        for at in (byte, byte + _GATE):
            # struct flock, fcntl(2): type, whence, start, length, pid. The last is 0 in another pid namespace.
            asked = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, at, 1, 0)
            kind, _, _, _, pid = struct.unpack("hhqqi", fcntl.fcntl(self._fd, fcntl.F_GETLK, asked))
            if kind != fcntl.F_UNLCK:
                return max(int(pid), 0)
        return None


class _TimeIsOver(BaseException):
    """No error: the alarm that ends a system call."""


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Have a system call in the block end with _TimeIsOver after some seconds; or earlier, for a timer that is set."""
    left, interval = signal.getitimer(signal.ITIMER_REAL)
    seconds = max(min(seconds, left or seconds), 0.001)
    armed, start = True, time.monotonic()

    def ring(*_: object) -> None:
        nonlocal armed
        if armed:
            armed = False
            raise _TimeIsOver

    handler = signal.signal(signal.SIGALRM, ring)
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGALRM,))
    try:
        # Again and again: the first may come before the system call is made, and so not end it.
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if handler is None else handler)
        if left > (passed := time.monotonic() - start):
            signal.setitimer(signal.ITIMER_REAL, left - passed, interval)
        elif left:
            signal.setitimer(signal.ITIMER_REAL, interval, interval)
            signal.raise_signal(signal.SIGALRM)


def _byte(key: str) -> int:
    return zlib.crc32(key.encode(errors="replace"))
