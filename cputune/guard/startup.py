"""What the guard does where a domain starts: finds out whose a new cgroup is, and puts what is saved into force there.

At first nobody may be able to tell, so it is looked at again until the runtime's records do. What is saved then goes
straight into the kernel, for some that start at once in one transaction; after that systemd is told, where the cgroup
is a unit's, which takes longer.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from cputune.core.errors import CpuTuneError, Gone, NoSuchDomain, Unsupported, WrongState
from cputune.core.model import Change, Domain, Request
from cputune.core.units import words
from cputune.guard import service
from cputune.guard.registry import STARTING
from cputune.host.systemd import unit_of
from cputune.planning.plan import Job
from cputune.transaction.locks import Busy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cputune.app.tuner import Tuner
    from cputune.guard.registry import Registry
    from cputune.guard.service import Log
    from cputune.guard.sources import Sources

LAST_LOOK = STARTING - 0.5
"""Seconds after which one that starts is compared in any case."""
_RECOGNIZED = 3.0
"""Seconds for which a new cgroup is looked at, until its runtime has to be asked for a list."""
_FIRST_NAP, _LONGEST_NAP = 0.005, 0.2
_PASSING_NAP = 0.05
_REFUSED_NAP, _LONGEST_REFUSED_NAP = 30.0, 600.0
"""Seconds until what was refused is tried again: a limit above it may have been raised, a disk may have room."""
_AT_ONCE = 16
"""Domains in one transaction: the first of many need not wait for the last."""
_TURN = 0.5
"""Seconds after which others have their turn."""


class Unidentified(NamedTuple):
    """A cgroup of which nobody can tell so far whose it is, or that could not have what is saved so far."""

    since: float
    due: float
    nap: float
    refused: bool = False
    """Whether that was told already."""


class Starts:
    """All that start, or have started and are still to be told of."""

    def __init__(self, tuner: Tuner, sources: Sources, registry: Registry, log: Log) -> None:
        self.tuner = tuner
        self.cgroups = tuner.cgroups
        self.sources = sources
        self.registry = registry
        self.log = log
        self.unknown: dict[str, Unidentified] = {}
        self.late: set[str] = set()
        self._untold: deque[Domain] = deque()

    def made(self, cgroups: Iterable[str]) -> None:
        """These have just been made, or nobody has looked at them so far."""
        now = time.monotonic()
        self.unknown.update((cgroup, Unidentified(now, now, _FIRST_NAP)) for cgroup in cgroups)

    def written(self, cgroup: str) -> None:
        """A runtime is at work there: it may be known soon."""
        if cgroup in self.unknown:
            self.unknown[cgroup] = self.unknown[cgroup]._replace(due=time.monotonic(), nap=_FIRST_NAP)

    def changed(self, cgroup: str) -> None:
        """A limit was changed there: what was refused below it may fit by now."""
        now = time.monotonic()
        below = [one for one, unknown in self.unknown.items() if unknown.refused and one.startswith(f"{cgroup}/")]
        self.unknown.update((one, self.unknown[one]._replace(due=now, nap=_REFUSED_NAP / 2)) for one in below)

    def gone(self, cgroup: str) -> None:
        """It is not there any more."""
        self.unknown.pop(cgroup, None)
        self.late.discard(cgroup)

    def due(self) -> list[float]:
        """When there is something to do."""
        soon = [time.monotonic()] if self._untold or self.late else []
        return [*soon, *(unknown.due for unknown in self.unknown.values())]

    def go_on(self) -> None:
        """Do what is due by now; of what is slow, one thing."""
        self._recognize()
        if self.late:
            late, self.late = self.late, set()
            self.begin(domain for domain in self.sources.listed() if late & {domain.limit, domain.weight})
        elif self._untold:
            self._tell(self._untold.popleft())

    def begin(self, domains: Iterable[Domain]) -> None:
        """These run: keep what cputune has put into force in them, and put there what is saved, where it has not."""
        now = time.monotonic()
        some: dict[str, tuple[Domain, Unidentified]] = {}
        for domain in domains:
            some[domain.qualified] = (domain, Unidentified(now, now, _FIRST_NAP))
            if len(some) == _AT_ONCE:
                self._start(some)
                some = {}
                service.notify("WATCHDOG=1")
        self._start(some)

    def _recognize(self) -> None:
        """Find out whose the new cgroups are, and start those that are known by now."""
        begun = now = time.monotonic()
        some: dict[str, tuple[Domain, Unidentified]] = {}
        for cgroup, unknown in [(cgroup, one) for cgroup, one in self.unknown.items() if one.due <= now]:
            domain = self.sources.owner(cgroup)
            if domain or not self.sources.wanted:
                del self.unknown[cgroup]
            elif now - unknown.since > _RECOGNIZED:
                del self.unknown[cgroup]
                self.late.add(cgroup)
            else:
                nap = min(unknown.nap * 2, _LONGEST_NAP)
                self.unknown[cgroup] = unknown._replace(due=now + unknown.nap, nap=nap)
            if domain:
                some.setdefault(domain.qualified, (domain, unknown))
            if len(some) == _AT_ONCE:
                self._start(some)
                some = {}
            if time.monotonic() - begun > _TURN:
                break
        self._start(some)

    def _start(self, some: dict[str, tuple[Domain, Unidentified]]) -> None:
        jobs = []
        for domain, _ in some.values():
            if self.tuner.has_put(domain):
                self._keep(domain)
            elif (change := self.sources.saved.of(domain)).named():
                jobs.append(Job(domain, Request(change), "live"))
        if len(jobs) > 1 and self._put(jobs) is None:
            return
        for job in jobs:
            if error := self._put([job]):
                self._not_yet(job, error, some[job.domain.qualified][1])

    def _keep(self, domain: Domain) -> None:
        """Keep what cputune has in force; of a cgroup with two names, under the one that was used last."""
        state = self.tuner.context.state
        record = state.newest(domain)
        other = self.registry.known.get(domain.limit or "")
        if other and other.qualified != domain.qualified and self.tuner.has_put(other):
            last = state.newest(other)
            if last and record and last[0] > record[0]:
                return
        self.registry.keep(domain)
        self.registry.records[domain.qualified] = record
        self.registry.suspects.setdefault(domain.qualified, time.monotonic())

    def _put(self, jobs: list[Job]) -> CpuTuneError | None:
        """Put all of it into force as one transaction, or nothing; why not."""
        try:
            self.tuner.change(list(jobs), enter=False, tell=False)
        except CpuTuneError as error:
            return error
        for job in jobs:
            self._has_started(job.domain, job.request.change)
            if self._is_unit(job.domain):
                self._untold.append(job.domain)
        return None

    def _has_started(self, domain: Domain, change: Change) -> None:
        name, now = domain.qualified, time.monotonic()
        self.registry.keep(domain)
        self.registry.started[name] = now
        self.registry.suspects[name] = now + LAST_LOOK
        self.registry.backoff.forget(name)
        self.note(domain)
        values = " ".join(f"{key}={words(key, value)}" for key, value in change.named().items())
        self.log(service.INFO, f"{name}: started; put into force: {values}", domain=name, action="started")

    def note(self, domain: Domain) -> None:
        """Know the record that is there now as the guard's own."""
        self.registry.records[domain.qualified] = self.tuner.context.state.newest(domain)

    def _not_yet(self, job: Job, error: CpuTuneError, unknown: Unidentified) -> None:
        """Try again: soon what may pass, later what was refused."""
        domain, now = job.domain, time.monotonic()
        cgroup = domain.limit or ""
        if isinstance(error, Unsupported) and self._is_unit(domain) and self._tell(domain, job.request.change):
            return  # systemd has enabled the controller
        if not self.cgroups.exists(cgroup):
            return
        passing = isinstance(error, (Busy, Unsupported, WrongState, NoSuchDomain, Gone))
        if passing and now - unknown.since < _RECOGNIZED:
            nap = max(unknown.nap, _PASSING_NAP)
            self.unknown[cgroup] = unknown._replace(due=now + nap, nap=min(nap * 2, _LONGEST_NAP))
            return
        if not unknown.refused:
            self.complain(domain, "not put into force", error)
        nap = min(unknown.nap * 2, _LONGEST_REFUSED_NAP) if unknown.refused else _REFUSED_NAP
        self.unknown[cgroup] = unknown._replace(due=now + nap, nap=nap, refused=True)

    def complain(self, domain: Domain, what: str, error: CpuTuneError) -> None:
        """Something could not be done."""
        hint = f" (hint: {error.hint})" if error.hint else ""
        name = domain.qualified
        self.log(service.ERROR, f"{name}: {what}: {error.message}{hint}", domain=name, action="failed")

    def _is_unit(self, domain: Domain) -> bool:
        return self.tuner.context.systemd.booted() and any(unit_of(seat.cgroup) for seat in domain.seats())

    def _tell(self, domain: Domain, starting: Change | None = None) -> bool:
        """Have systemd hold what was put into force, or, with `starting`, do all of it by systemd; whether it does."""
        applied = self.tuner.context.state.applied(domain)
        change = starting or (applied.change if applied else Change())
        try:
            self.tuner.change([Job(domain, Request(change), "live")], enter=False)
        except Busy:
            if starting is None:
                self._untold.append(domain)
            return False
        except CpuTuneError as error:
            if starting is None and self.cgroups.exists(domain.limit or ""):
                self.complain(domain, "systemd was not told", error)
            return False
        if starting:
            self._has_started(domain, change)
        else:
            self.note(domain)
        return True
