"""Exit codes and the tree of errors: what failed, on what, what the kernel said, and what to run next.

This module imports nothing of cputune. The core raises; only `cputune.cli` exits.
"""

from __future__ import annotations

import errno
import os
from enum import IntEnum, unique


@unique
class Exit(IntEnum):
    """The exit status of `cputune`, one meaning each; 128 + N after signal N (so 130 after an interrupt)."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    NO_DOMAIN = 3
    UNSUPPORTED = 4
    PERMISSION = 5
    WRONG_STATE = 6
    REFUSED = 7
    NOT_PUT_BACK = 8
    INTERRUPTED = 130


class CpuTuneError(Exception):
    """Anything cputune can explain. `hint`, where there is one, is a command to run or a thing to do."""

    exit = Exit.UNEXPECTED

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(CpuTuneError):
    """The command line or a file asks for something that cannot be meant."""

    exit = Exit.USAGE


class NoSuchDomain(CpuTuneError):
    """No runtime knows the domain, or more than one does."""

    exit = Exit.NO_DOMAIN


class Ambiguous(NoSuchDomain):
    """More than one domain has the name."""


class Unsupported(CpuTuneError):
    """The kernel, the mount or this cgroup has not got what was asked for."""

    exit = Exit.UNSUPPORTED


class NoPermission(CpuTuneError):
    """The rights are missing, or the file system is read-only."""

    exit = Exit.PERMISSION


class WrongState(CpuTuneError):
    """The domain is not running, is transient, or went away."""

    exit = Exit.WRONG_STATE


class Gone(WrongState):
    """A cgroup or a container that went away: there is nothing left of it to put back."""


class SomebodyElses(WrongState):
    """Somebody else has changed it since: what we would put back is no longer what was there before."""


class Refused(CpuTuneError):
    """The kernel, systemd, a runtime or the disk said no; everything is as it was before."""

    exit = Exit.REFUSED


class NotPutBack(CpuTuneError):
    """A change failed and could not be taken back whole; `left` says what is left, a line each."""

    exit = Exit.NOT_PUT_BACK

    def __init__(self, cause: CpuTuneError, left: list[str]) -> None:
        super().__init__(f"{cause.message}; and it could not be put back: {'; '.join(left)}", cause.hint)
        self.left = left


class Interrupted(BaseException):
    """A signal ends the command; what had been changed is put back. Not an error that one domain of many can have."""

    exit = Exit.INTERRUPTED
    hint = None

    def __init__(self, signum: int) -> None:
        super().__init__(f"interrupted by signal {signum}")
        self.message = f"interrupted by signal {signum}"
        self.signum = signum


def from_os_error(error: OSError, action: str) -> CpuTuneError:
    """The error to show for `error`, which the system gave for `action` ("write 5 to /sys/...")."""
    said = os.strerror(error.errno) if error.errno else str(error)
    message = f"cannot {action}: {said}"
    if error.errno == errno.EROFS:
        return NoPermission(
            message,
            "mounted read-only here: run cputune on the host, or give its unit ReadWritePaths= or RuntimeDirectory=",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return NoPermission(message, "run it as root: sudo cputune ...")
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ESRCH):
        return Gone(message, "it went away while it was being used; list what runs: cputune status")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Refused(message, "make room first: df -h")
    return Refused(message)
