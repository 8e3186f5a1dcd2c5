"""Who a process is, by what the kernel tells of it. Its name and its command line are its own to choose."""

from __future__ import annotations

import os
import select
import stat
from typing import TYPE_CHECKING, NamedTuple

from cputune.core.units import parse_integer

if TYPE_CHECKING:
    from cputune.host.system import Host


class Process(NamedTuple):
    """A process, as it was at one moment."""

    pid: int
    owner: int | None
    """The user that it belongs to; None for one with the rights of several, as a setuid program has them. Root's (0) is
    only one whose executable is root's own and not setuid: others do for root what a user tells them to do. Who may
    not look at executables, for lack of CAP_SYS_PTRACE, has to believe the user ids."""
    executable: str
    """The path of its program, as the process sees it; its name (comm) for whoever may not look at it."""
    command: tuple[str, ...]
    """Its command line. Believe it only as far as `owner` may say so."""

    def is_roots(self, program: str) -> bool:
        """Whether it is root's, and runs a program of this file name, or one that begins with it and a dash."""
        name = self.executable.rpartition("/")[2]
        return self.owner == 0 and (name == program or name.startswith(f"{program}-"))


def identify(host: Host, pid: int) -> Process | None:
    """Return a process; None if there is none, or it ended while it was looked at."""
    handle = _handle(host, pid)
    if handle is None:
        return None
    try:
        directory = f"/proc/{pid}"
        uids = _uids(host.read_or_none(f"{directory}/status") or "")
        executable = (host.link(f"{directory}/exe") or "").removesuffix(" (deleted)")
        may_look = bool(executable)
        if not may_look:
            executable = (host.read_or_none(f"{directory}/comm") or "").strip()
        text = host.read_or_none(f"{directory}/cmdline") or ""
        owner = uids[0] if len(uids) == 4 and len(set(uids)) == 1 else None
        if owner == 0 and may_look and not _is_roots_program(host, pid):
            owner = None
        if not uids or (handle >= 0 and select.select([handle], [], [], 0)[0]):
            return None
        return Process(pid, owner, executable, tuple(text.removesuffix("\0").split("\0")))
    finally:
        if handle >= 0:
            os.close(handle)


def _handle(host: Host, pid: int) -> int | None:
    """Return a pidfd, so that all that is read is of one process; -1 for another host's, None if there is none."""
    if host.root:
        return -1 if host.is_dir(f"/proc/{pid}") else None
    try:
        return os.pidfd_open(pid)
    except (OSError, OverflowError):
        return None


def _uids(status: str) -> list[int]:
    """Return the real, effective, saved and file system uid: proc_pid_status(5)."""
    line = status.partition("\nUid:")[2].partition("\n")[0]
    found = [parse_integer(word) for word in line.split()]
    return [uid for uid in found if uid is not None]


def _is_roots_program(host: Host, pid: int) -> bool:
    """Whether only root can have changed the executable, and it gives nobody root's rights."""
    status = host.status(f"/proc/{pid}/exe")
    if status is None:
        return False
    return status.st_uid == 0 and not status.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWGRP | stat.S_IWOTH)


def is_on_hosts_mounts(host: Host, pid: int) -> bool:
    """Return whether a process sees the files of the host's init by the same names; one in a container does not."""
    mounts = host.link("/proc/1/ns/mnt")
    return mounts is not None and host.link(f"/proc/{pid}/ns/mnt") == mounts
