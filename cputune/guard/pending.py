"""When to look again at a cgroup whose owner is not known yet, or whose limits were refused. Pure."""

from __future__ import annotations

from typing import NamedTuple

IDENTIFY_SECONDS = 3.0
"""Seconds after which a new cgroup without a known owner is looked for in the runtimes' lists, which are slower."""
_FIRST_DELAY, _MAX_DELAY = 0.005, 0.2
"""Seconds between two attempts to identify a cgroup, doubled each time: most runtimes write their record at once."""
_TRANSIENT_DELAY = 0.05
"""Seconds, at least, after an error that may pass: another cputune is busy, or a file does not exist yet."""
_REFUSED_DELAY, _MAX_REFUSED_DELAY = 30.0, 600.0
"""Seconds after limits were refused, doubled each time: a limit above may be raised, or disk space be freed."""


class Pending(NamedTuple):
    """One such cgroup. Times are the guard's clock's, in seconds."""

    since: float
    """When it was first seen."""
    due: float
    """When to look at it next."""
    delay: float
    """How long to wait after that."""
    refused: bool = False
    """Whether its limits were refused, which has been logged."""

    def is_fresh(self, now: float) -> bool:
        """Whether its runtime may still be about to record it."""
        return now - self.since <= IDENTIFY_SECONDS

    def woken(self, now: float) -> Pending:
        """Look at it now: a runtime has written to it."""
        return self._replace(due=now, delay=_FIRST_DELAY)

    def unidentified(self, now: float) -> Pending:
        """Look again: no runtime has recorded it yet."""
        return self._replace(due=now + self.delay, delay=min(self.delay * 2, _MAX_DELAY))

    def failed(self, now: float) -> Pending:
        """Try again soon, after an error that may pass."""
        delay = max(self.delay, _TRANSIENT_DELAY)
        return self._replace(due=now + delay, delay=min(delay * 2, _MAX_DELAY))

    def rejected(self, now: float) -> Pending:
        """Try again later, after its limits were refused."""
        delay = min(self.delay * 2, _MAX_REFUSED_DELAY) if self.refused else _REFUSED_DELAY
        return self._replace(due=now + delay, delay=delay, refused=True)

    def retried(self, now: float) -> Pending:
        """Try refused limits now: a limit above has changed."""
        return self._replace(due=now, delay=_REFUSED_DELAY / 2)


def new(now: float) -> Pending:
    """Return a cgroup to look at right now."""
    return Pending(now, now, _FIRST_DELAY)
