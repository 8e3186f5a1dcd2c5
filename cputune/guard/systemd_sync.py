"""Sets the properties of systemd units to the limits that the guard has already written to their cgroups.

Until then systemd may write its own values back at any time. One unit at a time, since each takes calls over D-Bus.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from cputune.core.errors import CpuTuneError
from cputune.core.model import Change, Domain, Request
from cputune.guard import service
from cputune.host.systemd import unit_of
from cputune.planning.plan import Job
from cputune.transaction.locks import Busy

if TYPE_CHECKING:
    from cputune.app.tuner import Tuner
    from cputune.guard.registry import Registry
    from cputune.guard.service import Log


class SystemdSync:
    """A queue of domains whose limits systemd does not know yet."""

    def __init__(self, tuner: Tuner, registry: Registry, log: Log) -> None:
        self.tuner = tuner
        self.registry = registry
        self.log = log
        self._queue: deque[Domain] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def is_unit(self, domain: Domain) -> bool:
        """Whether a cgroup of the domain is a unit's, so that systemd has to be told its limits."""
        systemd = self.tuner.context.systemd
        return systemd.booted() and any(map(unit_of, domain.cgroups))

    def add(self, domain: Domain) -> None:
        """Queue a domain, if systemd has to be told its limits."""
        if self.is_unit(domain):
            self._queue.append(domain)

    def run_one(self) -> None:
        """Tell systemd the limits of the domain that was queued first; later, if another cputune has locked it."""
        domain = self._queue.popleft()
        applied = self.tuner.context.records.of(domain)
        try:
            change = applied.change if applied else Change()
            self.tuner.change([Job(domain, Request(change), "live")], enter=False)
        except Busy:
            self._queue.append(domain)
        except CpuTuneError as error:
            if self.tuner.cgroups.exists(domain.limit_cgroup or ""):
                service.log_failure(self.log, domain.qualified, "cannot set the properties of its unit", error)
        else:
            self.registry.records[domain.qualified] = self.tuner.context.records.newest(domain)
