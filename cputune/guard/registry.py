"""What the guard knows of the domains that it keeps. Nothing here is read from anywhere or written."""

from __future__ import annotations

from cputune.core.model import Domain
from cputune.guard.backoff import Backoff

STARTING = 5.0
"""Seconds for which what a runtime writes is a part of the start: it sets its own values last."""


class Registry:
    """By domain, RUNTIME:NAME; what went away is forgotten. Times are seconds of the monotonic clock."""

    def __init__(self) -> None:
        self.known: dict[str, Domain] = {}
        """What is kept, by each of its cgroups."""
        self._cgroups: dict[str, dict[str, None]] = {}
        """The cgroups of each, the newest last."""
        self.records: dict[str, object] = {}
        """The newest record of what cputune put into force that the guard knows of: another one is somebody else's."""
        self.started: dict[str, float] = {}
        self.suspects: dict[str, float] = {}
        """What is to be compared, and when."""
        self.doubtful: set[str] = set()
        """What a runtime may have changed which has not taken it down so far."""
        self.reported: dict[str, list[str]] = {}
        self.backoff = Backoff()

    def keep(self, domain: Domain) -> None:
        """Know the domain's cgroups as its own."""
        for seat in domain.seats():
            before = self.known.get(seat.cgroup)
            self.known[seat.cgroup] = domain
            own = self._cgroups.setdefault(domain.qualified, {})
            own.pop(seat.cgroup, None)
            own[seat.cgroup] = None
            if before and before.qualified != domain.qualified:
                for memory in (self.started, self.suspects):
                    if before.qualified in memory:
                        memory.setdefault(domain.qualified, memory[before.qualified])
                self._leave(before, seat.cgroup)

    def domain(self, name: str) -> Domain | None:
        """A domain that is kept."""
        cgroups = self.cgroups(name)
        return self.known[cgroups[-1]] if cgroups else None

    def cgroups(self, name: str) -> list[str]:
        """The cgroups of a domain that is kept."""
        return list(self._cgroups.get(name, ()))

    def names(self) -> list[str]:
        """All that are kept."""
        return list(self._cgroups)

    def forget(self, cgroup: str) -> Domain | None:
        """A cgroup is gone; the domain, where that was its last one."""
        domain = self.known.pop(cgroup, None)
        return domain if domain and self._leave(domain, cgroup) else None

    def _leave(self, domain: Domain, cgroup: str) -> bool:
        name = domain.qualified
        self._cgroups[name].pop(cgroup, None)
        if self._cgroups[name]:
            return False
        for memory in (self._cgroups, self.records, self.started, self.suspects, self.reported):
            memory.pop(name, None)
        self.doubtful.discard(name)
        self.backoff.forget(name)
        return True

    def is_starting(self, name: str, now: float) -> bool:
        """Whether it started so recently that its runtime may still be at work."""
        return now - self.started.get(name, -STARTING) < STARTING

    def peace(self) -> None:
        """Begin anew with all: what was left alone, and what was reported."""
        self.backoff = Backoff()
        self.reported.clear()

    def suspect_all(self, now: float) -> None:
        """Let all be compared."""
        self.suspects.update(dict.fromkeys(self.names(), now))
