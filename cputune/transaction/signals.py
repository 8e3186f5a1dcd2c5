"""Delaying the signals that end a command while something must not be interrupted."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_all_done = False
_keep_pending = False


def keep_pending() -> None:
    """From now on, drop no signal: this process goes on after a transaction, and its handlers only note the signal."""
    global _keep_pending
    _keep_pending = True


def all_done(done: bool) -> None:
    """Set whether all that was asked for is in force, so that a signal from now on comes too late to stop it."""
    global _all_done
    _all_done = done


def came_too_late() -> bool:
    """Whether a signal that ends cputune now finds everything done."""
    return _all_done


@contextmanager
def deferred() -> Iterator[None]:
    """Delay the signals that end a command until the block is over."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay them as `deferred` does, and then drop those that came meanwhile."""
    with deferred():
        try:
            yield
        finally:
            # They ask for what has happened already (the end, or the rollback), and must not hide its result.
            while not _keep_pending and (pending := signal.sigpending() & set(_SIGNALS)):
                signal.sigwait(pending)
