"""The domains that the guard watches, and what it has to remember about each. In memory only; nothing here does I/O."""

from __future__ import annotations

from cputune.core.model import Domain
from cputune.guard.backoff import Backoff

STARTUP_SECONDS = 5.0
"""Seconds after a start in which other programs' writes count as part of it: runtimes set their own values last."""
FINAL_CHECK = STARTUP_SECONDS - 0.5
"""Seconds after a start at which a domain is checked in any case, while a difference still counts as part of it."""


class Registry:
    """The watched domains, found by cgroup or by qualified name (RUNTIME:NAME). Times are the guard's clock's."""

    def __init__(self) -> None:
        self.by_cgroup: dict[str, Domain] = {}
        """The watched domain that each cgroup belongs to."""
        self._cgroups: dict[str, dict[str, None]] = {}
        """The cgroups of each domain by its name, as an ordered set: the one added last is at the end."""
        self.records: dict[str, object] = {}
        """The newest record of each domain that the guard knows. Any other was made by another cputune process."""
        self.started: dict[str, float] = {}
        """When the saved configuration of a domain was applied at its start."""
        self.checks: dict[str, float] = {}
        """When to compare a domain's limits with those that cputune has set."""
        self.rechecked: set[str] = set()
        """Domains with a drift of unknown cause: they get a second check, when their runtime may have recorded it."""
        self.reported: dict[str, list[str]] = {}
        """The drift last reported for a domain, so that the same is reported only once."""
        self.backoff = Backoff()

    def add(self, domain: Domain) -> None:
        """Watch a domain. Cgroups that were watched under another name now belong to it, with their pending checks."""
        for cgroup in domain.cgroups:
            before = self.by_cgroup.get(cgroup)
            self.by_cgroup[cgroup] = domain
            cgroups = self._cgroups.setdefault(domain.qualified, {})
            cgroups.pop(cgroup, None)
            cgroups[cgroup] = None
            if before and before.qualified != domain.qualified:
                for times in (self.started, self.checks):
                    if before.qualified in times:
                        times.setdefault(domain.qualified, times[before.qualified])
                self._detach(before, cgroup)

    def get(self, name: str) -> Domain | None:
        """Return the watched domain of this qualified name, or None."""
        cgroups = self.cgroups_of(name)
        return self.by_cgroup[cgroups[-1]] if cgroups else None

    def cgroups_of(self, name: str) -> list[str]:
        """Return the cgroups of a watched domain; none if the domain is not watched."""
        return list(self._cgroups.get(name, ()))

    def names(self) -> list[str]:
        """Return the qualified names of all watched domains."""
        return list(self._cgroups)

    def remove(self, cgroup: str) -> Domain | None:
        """Stop watching a cgroup. Returns its domain if that has no other cgroup, and so is no longer watched."""
        domain = self.by_cgroup.pop(cgroup, None)
        return domain if domain and self._detach(domain, cgroup) else None

    def _detach(self, domain: Domain, cgroup: str) -> bool:
        """Take a cgroup from a domain, and forget the domain if that was its last; returns whether it was."""
        name = domain.qualified
        self._cgroups[name].pop(cgroup, None)
        if self._cgroups[name]:
            return False
        for memory in (self._cgroups, self.records, self.started, self.checks, self.reported):
            memory.pop(name, None)
        self.rechecked.discard(name)
        self.backoff.reset(name)
        return True

    def is_starting(self, name: str, now: float) -> bool:
        """Whether a domain started so recently that its runtime may still be setting its limits."""
        return now - self.started.get(name, -STARTUP_SECONDS) < STARTUP_SECONDS

    def forget_reports(self) -> None:
        """Treat every domain as if nothing had been reported or repaired so far."""
        self.backoff = Backoff()
        self.reported.clear()

    def check_all(self, now: float) -> None:
        """Have every watched domain checked at `now`."""
        self.checks.update(dict.fromkeys(self.names(), now))
