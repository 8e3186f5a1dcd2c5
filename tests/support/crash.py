"""A command line in a process of its own, in which every single system call that changes something can go wrong.

The child is forked, so that it costs milliseconds, and so that it can be killed for good. Counted are the calls of
`os` that make, write, sync, rename or remove, and each write into a kernel file.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

from cputune.cli.main import catch_signals, run
from cputune.host.system import Host

_CHANGING = ("write", "pwrite", "fsync", "rename", "unlink", "mkdir", "rmdir", "fchmod", "fchown", "ftruncate")
_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT
REACHED, NOT_REACHED = b"r", b"-"

Action = Callable[[], object]


class Outcome(NamedTuple):
    """How the child ended."""

    reached: bool
    """Whether there was such a call."""
    status: int
    """Its exit status; minus the signal's number, where a signal ended it."""
    said: str
    """Its standard error."""


def kill() -> None:
    """End at once: no handler, no `finally`."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail(number: int) -> Action:
    """Have the system call fail."""

    def failing() -> None:
        raise OSError(number, os.strerror(number))

    return failing


def press(signum: int) -> Action:
    """Send the child a signal."""
    return lambda: os.kill(os.getpid(), signum)


ERRORS = (errno.EINVAL, errno.EBUSY, errno.ENODEV, errno.EACCES, errno.ENOSPC, errno.EIO)


def attempt(host: Host, words: tuple[str, ...], at: int, action: Action, *, on: bool = False) -> Outcome:
    """Run a command line, with `action` right before the changing call of that number; `on`: and all that follow."""
    seen, seen_by_child = os.pipe()
    told, told_by_child = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            os.dup2(told_by_child, 2)
            sys.stderr = os.fdopen(os.dup(2), "w")
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(signum, signal.default_int_handler if signum == signal.SIGINT else signal.SIG_DFL)
            catch_signals()
            _instrument(host, at, action, on=on, reached=seen_by_child)
            status = run(list(words))
            sys.stderr.flush()
        finally:
            os._exit(status)
    os.close(seen_by_child)
    os.close(told_by_child)
    with open(told, "rb") as file:
        said = file.read().decode()
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    reached = os.read(seen, 1) == REACHED
    os.close(seen)
    return Outcome(reached, ended, said)


def each_call(host: Host, words: tuple[str, ...], action: Action, *, on: bool = False) -> Iterator[tuple[int, Outcome]]:
    """`attempt` at the first changing call, the second, ... until there is none of that number."""
    for number in range(1, 10000):
        outcome = attempt(host, words, number, action, on=on)
        if not outcome.reached:
            return
        yield number, outcome


def in_child(host: Host, words: tuple[str, ...]) -> NoReturn:
    """Run a command line in a process that was forked for it, its output nowhere; and end it."""
    status = 99
    try:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
        setattr(sys.modules["cputune.host.system"], "Host", lambda *_: host)  # noqa: B010
        status = run(list(words))
    finally:
        os._exit(status)


def _instrument(host: Host, at: int, action: Action, *, on: bool, reached: int) -> None:
    calls = 0
    inside = False
    write, open_ = os.write, os.open

    def happen() -> None:
        nonlocal calls
        if inside:  # what a fake kernel does is one call, as a kernel's is
            return
        calls += 1
        if calls == at or (on and calls > at):
            if calls == at:
                write(reached, REACHED)
            action()

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal inside
            happen()
            before, inside = inside, True
            try:
                return function(*arguments, **options)
            finally:
                inside = before

        return call

    def opening(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & _FLAGS:
            happen()
        return open_(path, flags, *arguments, **options)

    for name in _CHANGING:
        setattr(os, name, counted(getattr(os, name)))
    os.open = opening
    kind = type(host)
    kind.write = counted(kind.write)  # type: ignore[method-assign]
    setattr(sys.modules["cputune.host.system"], "Host", lambda *_: host)  # noqa: B010
