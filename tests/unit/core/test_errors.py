"""What the system says -> the error that a user sees."""

from __future__ import annotations

import errno

import pytest

from cputune.core.errors import (
    CpuTuneError,
    Exit,
    Gone,
    Interrupted,
    NoPermission,
    NoSuchDomain,
    NotPutBack,
    Refused,
    Unsupported,
    UsageError,
    WrongState,
    from_os_error,
)

ROOT = "run it as root: sudo cputune ..."
GONE = "it disappeared in the meantime; list what is running: cputune status"


def test_each_error_has_the_exit_status_of_the_manual() -> None:
    found = {
        kind: int(kind.exit)
        for kind in (
            CpuTuneError, UsageError, NoSuchDomain, Unsupported, NoPermission, WrongState, Refused, NotPutBack,
            Interrupted,
        )
    }  # fmt: skip
    assert list(found.values()) == [1, 2, 3, 4, 5, 6, 7, 8, 130]
    assert sorted(Exit) == [0, *found.values()]


@pytest.mark.parametrize(
    ("number", "kind", "said", "hint"),
    [
        (errno.EACCES, NoPermission, "Permission denied", ROOT),
        (errno.EPERM, NoPermission, "Operation not permitted", ROOT),
        (
            errno.EROFS,
            NoPermission,
            "Read-only file system",
            "mounted read-only here: run cputune on the host, or give its unit ReadWritePaths= or RuntimeDirectory=",
        ),
        (errno.ENOENT, Gone, "No such file or directory", GONE),
        (errno.ENODEV, Gone, "No such device", GONE),
        (errno.ESRCH, Gone, "No such process", GONE),
        (errno.EINVAL, Refused, "Invalid argument", None),
        (errno.ERANGE, Refused, "Numerical result out of range", None),
        (errno.ENOSPC, Refused, "No space left on device", "free some disk space: df -h"),
        (errno.EBUSY, Refused, "Device or resource busy", None),
    ],
)
def test_what_the_kernel_said(number: int, kind: type[CpuTuneError], said: str, hint: str | None) -> None:
    error = from_os_error(OSError(number, "the system's own words"), "write 5 to /sys/x")
    assert type(error) is kind
    assert (error.message, error.hint) == (f"cannot write 5 to /sys/x: {said}", hint)


def test_an_error_without_a_number_keeps_its_words() -> None:
    assert from_os_error(OSError("odd"), "go on").message == "cannot go on: odd"


def test_what_is_left_is_told_behind_the_first_error() -> None:
    error = NotPutBack(Refused("the kernel said no", "try this"), ["a is 1, not 2", "b is 3, not 4"])
    assert error.message == "the kernel said no; not everything could be put back: a is 1, not 2; b is 3, not 4"
    assert (error.hint, error.left) == ("try this", ["a is 1, not 2", "b is 3, not 4"])


def test_an_interrupt_names_its_signal() -> None:
    assert Interrupted(15).message == "interrupted by signal 15"
