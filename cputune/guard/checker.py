"""Compares the watched domains with what cputune has put into force, and reports or undoes what others have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cputune.core.errors import CpuTuneError
from cputune.core.knobs import KNOB
from cputune.core.model import Change, Domain, Request
from cputune.drift.compare import SOMEBODY, Facts, explain, text
from cputune.drift.evidence import gather_facts
from cputune.drift.records import AppliedIndex
from cputune.guard import service
from cputune.guard.registry import FINAL_CHECK
from cputune.planning.plan import Job
from cputune.runtimes.native.settings import module_of, remembered
from cputune.transaction.locks import Busy, keys_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cputune.app.tuner import Tuner
    from cputune.drift.compare import Difference
    from cputune.guard.registry import Registry
    from cputune.guard.service import Log

_SETTLE_SECONDS = 0.05
"""Seconds after a write until the domain is checked: a program that sets several knobs has set all of them by then."""
_TIME_SLICE = 0.05
"""Seconds of checking after which other work of the guard is done first."""
_RUNTIME_SECONDS = 1.0
"""Seconds after which a runtime has recorded a limit: it writes the limit to the kernel first."""
_BUSY_SECONDS = 1.0
"""Seconds until a domain that another cputune process has locked is checked again."""
_STARTUP_CAUSE = "set during the start, probably by the runtime"
"""The cause that is logged for changes within STARTUP_SECONDS."""


class DriftChecker:
    """Checks the domains in the registry when their time has come; with `enforce`, it undoes the changes of others."""

    def __init__(
        self, tuner: Tuner, registry: Registry, log: Log, clock: Callable[[], float], *, enforce: bool
    ) -> None:
        self.tuner = tuner
        self.cgroups = tuner.cgroups
        self.registry = registry
        self.log = log
        self.clock = clock
        self.enforce = enforce

    def limit_changed(self, cgroup: str) -> None:
        """Schedule a check of the domain whose cgroup was written to, maybe by cputune itself."""
        domain = self.registry.by_cgroup.get(cgroup)
        if domain:
            now = self.clock()
            wait = 0.0 if self.registry.is_starting(domain.qualified, now) else _SETTLE_SECONDS
            self.registry.checks[domain.qualified] = now + wait

    def run_due(self, has_events: Callable[[], bool]) -> None:
        """Check the domains that are due, at least one of them; events come first, since a domain may be starting."""
        begun = self.clock()
        for name in [name for name, due in self.registry.checks.items() if due <= begun]:
            self._check(name)
            if has_events() or self.clock() - begun > _TIME_SLICE:
                return

    def _check(self, name: str) -> None:
        """Compare one domain, with its lock held: no cputune process is changing it meanwhile."""
        self.registry.checks.pop(name, None)
        domain, now = self.registry.get(name), self.clock()
        if domain is None:
            return
        try:
            with self.tuner.serialised(lambda _: keys_of(self.cgroups, [domain])):
                drift, change = self._drift_of(domain)
        except CpuTuneError as error:
            if self.cgroups.exists(domain.limit_cgroup or ""):  # if not, the event of its removal follows
                self.registry.checks[name] = now + (_BUSY_SECONDS if isinstance(error, Busy) else FINAL_CHECK)
            return
        self._schedule_final_check(name, now)
        if not drift:
            self.registry.reported.pop(name, None)
            self.registry.rechecked.discard(name)
        elif self.registry.is_starting(name, now):
            drift = [difference._replace(cause=_STARTUP_CAUSE) for difference in drift]
            by_runtime = frozenset(difference.key for difference in drift)
            self._undo(domain, change, drift, service.INFO, by_runtime)
        else:
            self._handle(domain, change, drift)

    def _schedule_final_check(self, name: str, now: float) -> None:
        """Check a domain that is starting once more, when its runtime has done all that belongs to the start."""
        due = self.registry.started.get(name, now - FINAL_CHECK) + FINAL_CHECK
        if now < due:
            self.registry.checks[name] = due

    def _drift_of(self, domain: Domain) -> tuple[list[Difference], Change]:
        """Return what others have changed since cputune limited this cgroup, and what cputune has put into force."""
        applied = self.tuner.context.current_record(domain)
        if applied is None:
            return [], Change()
        state = self.tuner.read(domain)
        facts = Facts(domain, self.cgroups.hierarchy.version, state, applied=applied.change)
        if not any(difference.drift for difference in explain(facts)):
            return [], applied.change
        context = self.tuner.context
        known = remembered(context.cgroups, domain)
        facts = gather_facts(context, domain, state, Change(), known, AppliedIndex(context))
        return [difference for difference in explain(facts) if difference.drift], applied.change

    def _handle(self, domain: Domain, change: Change, drift: list[Difference]) -> None:
        """Undo or report what others have changed."""
        name, writer, now = domain.qualified, drift[0].cause, self.clock()
        if writer.startswith(SOMEBODY) and module_of(domain) and name not in self.registry.rechecked:
            self.registry.rechecked.add(name)
            self.registry.checks[name] = now + _RUNTIME_SECONDS
            return
        self.registry.rechecked.discard(name)
        lines = [text(difference) for difference in drift]
        if self.enforce and self.registry.backoff.allows_repair(name, writer, now):
            self._undo(domain, change, drift, service.WARNING)
        elif lines != self.registry.reported.get(name):
            self.registry.reported[name] = lines
            if self.enforce and self.registry.backoff.is_left_alone(name):
                result = f"left alone, since it is changed back again and again; to resume: cputune apply {name}"
                self._report(domain, drift, result, "left-alone", service.ERROR)
            else:
                self._report(domain, drift, "not put back", "reported", service.WARNING)

    def _undo(
        self,
        domain: Domain,
        change: Change,
        drift: list[Difference],
        priority: int,
        set_by_runtime: frozenset[str] = frozenset(),
    ) -> None:
        """Put what cputune had set back into force, and log that with this priority.

        The keys in `set_by_runtime` have the runtime's own values now: those are what `forget --live` will restore.
        """
        # Where a group is idle and should not be, naming the flag also restores the weight.
        change = change.replace(**{difference.key: False for difference in drift if difference.applied is False})
        try:
            self.tuner.change([Job(domain, Request(change), "live", set_by_runtime=set_by_runtime)], enter=False)
        except Busy:
            self.registry.checks[domain.qualified] = self.clock() + _BUSY_SECONDS
            return
        except CpuTuneError as error:
            if self.cgroups.exists(domain.limit_cgroup or ""):
                service.log_failure(self.log, domain.qualified, f"{drift[0].cause}; cannot put it back", error)
            return
        self.registry.records[domain.qualified] = self.tuner.context.records.newest(domain)
        self.registry.reported.pop(domain.qualified, None)
        self._report(domain, drift, "put back", "repaired", priority)

    def _report(self, domain: Domain, drift: list[Difference], result: str, action: str, priority: int) -> None:
        for difference in drift:
            self.log(
                priority,
                f"{domain.qualified}: {text(difference)}: {result}",
                domain=domain.qualified,
                action=action,
                key=difference.key,
                applied=KNOB[difference.key].format(difference.applied),
                live=KNOB[difference.key].format(difference.live),
                cause=difference.cause,
            )
