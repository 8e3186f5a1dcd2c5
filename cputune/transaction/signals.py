"""Holding back the signals that end a command, where something must not stay half-done."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_done = False
_kept = False


def keep_pending() -> None:
    """From now on no signal is dropped: this process goes on after a transaction, and its handlers only take note."""
    global _kept
    _kept = True


def all_done(done: bool) -> None:
    """Whether from now on a signal comes too late to stop anything: what was asked for is in force."""
    global _done
    _done = done


def came_too_late() -> bool:
    """Whether a signal that ends us now finds everything done."""
    return _done


@contextmanager
def deferred() -> Iterator[None]:
    """Let the signals that end a command wait until the step that runs is over, and its result known."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """The same, and drop them then: until what must not stay half-done is done."""
    with deferred():
        try:
            yield
        finally:
            # What came meanwhile asks for what is happening already, and must not hide how it ended.
            while not _kept and (pending := signal.sigpending() & set(_SIGNALS)):
                signal.sigwait(pending)
