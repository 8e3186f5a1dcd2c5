"""Exit codes, and the exceptions that stand for them: what failed, on what, what the kernel said, what to run next.

This module imports nothing from cputune. The core raises these exceptions; only `cputune.cli` exits.
"""

from __future__ import annotations

import errno
import os
from enum import IntEnum, unique


@unique
class Exit(IntEnum):
    """The exit statuses of `cputune`. A command that signal N interrupted exits with 128 + N, so 130 for SIGINT."""

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
    """An error that cputune can explain. `hint`, if there is one, is a command to run or a thing to do."""

    exit = Exit.UNEXPECTED

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(CpuTuneError):
    """The command line or a configuration file asks for something invalid."""

    exit = Exit.USAGE


class NoSuchDomain(CpuTuneError):
    """No runtime knows the domain; or several do, which is `Ambiguous`."""

    exit = Exit.NO_DOMAIN


class Ambiguous(NoSuchDomain):
    """Several domains have this name."""


class Unsupported(CpuTuneError):
    """The kernel, the mounted hierarchy or this cgroup does not support what was asked for."""

    exit = Exit.UNSUPPORTED


class NoPermission(CpuTuneError):
    """The caller lacks a permission, or the file system is mounted read-only."""

    exit = Exit.PERMISSION


class WrongState(CpuTuneError):
    """The domain is not running, is transient, or has disappeared."""

    exit = Exit.WRONG_STATE


class Gone(WrongState):
    """A cgroup or container has disappeared, so there is nothing left to restore in it."""


class ChangedMeanwhile(WrongState):
    """Another program has changed the value since: restoring the old one would overwrite its change."""


class Refused(CpuTuneError):
    """The kernel, systemd, a runtime or the disk refused the change; everything has been rolled back."""

    exit = Exit.REFUSED


class NotPutBack(CpuTuneError):
    """A change failed and could not be rolled back completely; `left` describes each remaining change in one line."""

    exit = Exit.NOT_PUT_BACK

    def __init__(self, cause: CpuTuneError, left: list[str]) -> None:
        super().__init__(f"{cause.message}; not everything could be put back: {'; '.join(left)}", cause.hint)
        self.left = left


class Interrupted(BaseException):
    """A signal interrupts the command, and its changes are rolled back.

    It is no `CpuTuneError`, so that it ends the command, even where the errors of single domains do not.
    """

    exit = Exit.INTERRUPTED
    hint = None

    def __init__(self, signum: int) -> None:
        super().__init__(f"interrupted by signal {signum}")
        self.message = f"interrupted by signal {signum}"
        self.signum = signum


def from_os_error(error: OSError, action: str) -> CpuTuneError:
    """Convert an OSError raised by `action`, a phrase such as "write 5 to /sys/...", into the error to show."""
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
        return Gone(message, "it disappeared in the meantime; list what is running: cputune status")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Refused(message, "free some disk space: df -h")
    return Refused(message)


def without_text(error: BaseException) -> str:
    """Return the type of an unexpected exception, and the last line of cputune's that it came from.

    Its text is left out: it may repeat what a file contains, which the caller may have no permission to read.
    """
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    place, trace = "cputune", error.__traceback__
    while trace is not None:
        file = os.path.abspath(trace.tb_frame.f_code.co_filename)
        if file.startswith(f"{package}/"):
            place = f"{os.path.relpath(file, os.path.dirname(package))}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__} in {place}"
