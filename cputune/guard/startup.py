"""Applies saved configurations to domains that start.

A new cgroup is first identified: its runtime may not have recorded it yet, so the guard looks again and again. Then the
saved limits are written to the kernel, for domains that start together in one transaction. systemd is told
afterwards (`systemd_sync`), since that takes longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cputune.core.errors import CpuTuneError, Gone, NoSuchDomain, Unsupported, WrongState
from cputune.core.knobs import KNOB
from cputune.core.model import Change, Domain, Request
from cputune.guard import pending, service
from cputune.guard.pending import Pending
from cputune.guard.registry import FINAL_CHECK
from cputune.guard.systemd_sync import SystemdSync
from cputune.planning.plan import Job
from cputune.transaction.locks import Busy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cputune.app.tuner import Tuner
    from cputune.guard.discovery import Discovery
    from cputune.guard.registry import Registry
    from cputune.guard.service import Log

_BATCH = 16
"""Domains in one transaction: more would make the first of many wait for the last."""
_TIME_SLICE = 0.5
"""Seconds of identifying after which other work of the guard is done first."""
_TRANSIENT = (Busy, Unsupported, WrongState, NoSuchDomain, Gone)
"""Errors that may pass while a container is being started."""


class Startup:
    """Identifies new cgroups, and applies what is saved for their domains."""

    def __init__(
        self, tuner: Tuner, discovery: Discovery, registry: Registry, log: Log, clock: Callable[[], float]
    ) -> None:
        self.tuner = tuner
        self.cgroups = tuner.cgroups
        self.discovery = discovery
        self.registry = registry
        self.log = log
        self.clock = clock
        self.pending: dict[str, Pending] = {}
        """New cgroups whose owner is not known, and cgroups whose limits could not be applied yet."""
        self.overdue: set[str] = set()
        """New cgroups that no record identifies: the runtimes' lists have to be searched for them."""
        self.systemd = SystemdSync(tuner, registry, log)

    def cgroups_created(self, cgroups: Iterable[str]) -> None:
        """Identify these cgroups, which are new or have not been looked at."""
        now = self.clock()
        self.pending.update((cgroup, pending.new(now)) for cgroup in cgroups)

    def cgroup_written(self, cgroup: str) -> None:
        """Look at a new cgroup at once: its runtime has written to it, so it may be recorded now."""
        if cgroup in self.pending:
            self.pending[cgroup] = self.pending[cgroup].woken(self.clock())

    def limit_changed(self, cgroup: str) -> None:
        """Try refused limits below a cgroup again, since its own limits have changed."""
        now = self.clock()
        below = [(one, wait) for one, wait in self.pending.items() if wait.refused and one.startswith(f"{cgroup}/")]
        self.pending.update((one, wait.retried(now)) for one, wait in below)

    def cgroup_removed(self, cgroup: str) -> None:
        """Forget a cgroup that does not exist any more."""
        self.pending.pop(cgroup, None)
        self.overdue.discard(cgroup)

    def deadlines(self) -> list[float]:
        """Return the times at which there is something to do."""
        now = [self.clock()] if self.systemd or self.overdue else []
        return [*now, *(wait.due for wait in self.pending.values())]

    def run_due(self) -> None:
        """Do everything that is due: of the slow things, only one."""
        self._identify()
        if self.overdue:
            overdue, self.overdue = self.overdue, set()
            self.start(domain for domain in self.discovery.running() if overdue.intersection(domain.cgroups))
        elif self.systemd:
            self.systemd.run_one()

    def start(self, domains: Iterable[Domain]) -> None:
        """Apply what is saved for these running domains; those that cputune has limited already are only watched."""
        now = self.clock()
        batch: dict[str, tuple[Domain, Pending]] = {}
        for domain in domains:
            batch[domain.qualified] = (domain, pending.new(now))
            if len(batch) == _BATCH:
                self._start_batch(batch)
                batch = {}
                service.notify("WATCHDOG=1")
        self._start_batch(batch)

    def _identify(self) -> None:
        """Find the owners of the pending cgroups that are due, and start those that are found."""
        now = self.clock()
        batch: dict[str, tuple[Domain, Pending]] = {}
        for cgroup, wait in [(cgroup, wait) for cgroup, wait in self.pending.items() if wait.due <= now]:
            domain = self.discovery.owner_of(cgroup)
            if domain or not self.discovery.runtimes:
                del self.pending[cgroup]
            elif wait.is_fresh(now):
                self.pending[cgroup] = wait.unidentified(now)
            else:
                del self.pending[cgroup]
                self.overdue.add(cgroup)
            if domain:
                batch.setdefault(domain.qualified, (domain, wait))
            if len(batch) == _BATCH:
                self._start_batch(batch)
                batch = {}
            if self.clock() - now > _TIME_SLICE:
                break
        self._start_batch(batch)

    def _start_batch(self, batch: dict[str, tuple[Domain, Pending]]) -> None:
        """Apply the saved configurations of these domains as one transaction, or if that fails, of each by itself."""
        jobs = []
        for domain, _ in batch.values():
            if self.tuner.context.current_record(domain):
                self._watch(domain)
            elif (change := self.discovery.configs.effective(domain)).named():
                jobs.append(Job(domain, Request(change), "live"))
        if len(jobs) > 1 and self._apply(jobs) is None:
            return
        for job in jobs:
            if error := self._apply([job]):
                self._retry_later(job, error, batch[job.domain.qualified][1])

    def _watch(self, domain: Domain) -> None:
        """Watch a domain that cputune has limited; of a cgroup with two names, under the one that was used last."""
        records = self.tuner.context.records
        record = records.newest(domain)
        other = self.registry.by_cgroup.get(domain.limit_cgroup or "")
        if other and other.qualified != domain.qualified and self.tuner.context.current_record(other):
            last = records.newest(other)
            if last and record and last[0] > record[0]:
                return
        self.registry.add(domain)
        self.registry.records[domain.qualified] = record
        self.registry.checks.setdefault(domain.qualified, self.clock())

    def _apply(self, jobs: list[Job]) -> CpuTuneError | None:
        """Write all the jobs' limits to the kernel as one transaction, or none and return the error."""
        try:
            self.tuner.change(list(jobs), enter=False, tell=False)
        except CpuTuneError as error:
            return error
        for job in jobs:
            self._has_started(job.domain, job.request.change)
            self.systemd.add(job.domain)
        return None

    def _has_started(self, domain: Domain, change: Change) -> None:
        name, now = domain.qualified, self.clock()
        self.registry.add(domain)
        self.registry.started[name] = now
        self.registry.checks[name] = now + FINAL_CHECK
        self.registry.backoff.reset(name)
        self.registry.records[name] = self.tuner.context.records.newest(domain)
        values = " ".join(f"{key}={KNOB[key].format(value)}" for key, value in change.named().items())
        self.log(service.INFO, f"{name}: started; applied {values}", domain=name, action="started")

    def _retry_later(self, job: Job, error: CpuTuneError, wait: Pending) -> None:
        """Try again: soon after an error that may pass, else later."""
        domain, now = job.domain, self.clock()
        cgroup = domain.limit_cgroup or ""
        if isinstance(error, Unsupported) and self.systemd.is_unit(domain) and self._start_by_systemd(job):
            return
        if not self.cgroups.exists(cgroup):
            return
        if isinstance(error, _TRANSIENT) and wait.is_fresh(now):
            self.pending[cgroup] = wait.failed(now)
            return
        if not wait.refused:
            service.log_failure(self.log, domain.qualified, "cannot apply the saved configuration", error)
        self.pending[cgroup] = wait.rejected(now)

    def _start_by_systemd(self, job: Job) -> bool:
        """Apply the limits through systemd, which enables the cpu controller for its units; returns whether it did."""
        try:
            self.tuner.change([job], enter=False)
        except CpuTuneError:
            return False
        self._has_started(job.domain, job.request.change)
        return True
