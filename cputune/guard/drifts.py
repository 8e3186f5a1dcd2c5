"""What the guard does where something else is in force than cputune put there: reports it, or puts it back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cputune.core.errors import CpuTuneError
from cputune.core.model import Change, Domain, Request
from cputune.core.units import words
from cputune.drift.compare import SOMEBODY, Facts, explain, text
from cputune.drift.evidence import facts_of
from cputune.drift.records import AppliedIndex
from cputune.guard import service
from cputune.guard.startup import LAST_LOOK
from cputune.planning.plan import Job
from cputune.runtimes.native import memory
from cputune.transaction.locks import Busy, keys_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cputune.app.tuner import Tuner
    from cputune.drift.compare import Difference
    from cputune.guard.registry import Registry
    from cputune.guard.service import Log
    from cputune.guard.startup import Starts

KNOB_FILES = frozenset(
    (
        "cpu.max", "cpu.max.burst", "cpu.weight", "cpu.weight.nice", "cpu.idle",
        "cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us",
    )
)  # fmt: skip
_SETTLED = 0.05
"""Seconds after a write: whoever changes several knobs has done so by then."""
_REMEMBERED = 1.0
"""Seconds after which a runtime has taken down what it changed."""
_AT_START = "set while it started, as by its runtime"
_BUSY = 1.0
"""Seconds until one that another cputune works on is looked at again."""


class Drifts:
    """Of all domains in the book; with `enforce` they are put back."""

    def __init__(self, tuner: Tuner, starts: Starts, registry: Registry, log: Log, *, enforce: bool) -> None:
        self.tuner = tuner
        self.cgroups = tuner.cgroups
        self.starts = starts
        self.registry = registry
        self.log = log
        self.enforce = enforce

    def written(self, cgroup: str, file: str) -> None:
        """Somebody, perhaps cputune itself, has written a file of a cgroup."""
        domain = self.registry.known.get(cgroup) if file in KNOB_FILES else None
        if domain:
            now = time.monotonic()
            wait = 0.0 if self.registry.is_starting(domain.qualified, now) else _SETTLED
            self.registry.suspects[domain.qualified] = now + wait

    def go_on(self, is_called: Callable[[], bool]) -> None:
        """Compare those that are due, one at least, until one takes longer, or others come first: what starts."""
        begun = time.monotonic()
        for name in [name for name, due in self.registry.suspects.items() if due <= begun]:
            self._examine(name)
            if is_called() or time.monotonic() - begun > _SETTLED:
                return

    def _examine(self, name: str) -> None:
        """Compare a domain with what cputune put there, while no other cputune works on it."""
        self.registry.suspects.pop(name, None)
        domain, now = self.registry.domain(name), time.monotonic()
        if domain is None:
            return
        try:
            with self.tuner.serialised(lambda _: keys_of(self.cgroups, [domain])):
                found, change = self._differences(domain)
        except CpuTuneError as error:
            if self.cgroups.exists(domain.limit or ""):  # else its end is an event, too
                self.registry.suspects[name] = now + (_BUSY if isinstance(error, Busy) else LAST_LOOK)
            return
        last_look = self.registry.started.get(name, now - LAST_LOOK) + LAST_LOOK
        if now < last_look:
            self.registry.suspects[name] = last_look
        if not found:
            self.registry.reported.pop(name, None)
            self.registry.doubtful.discard(name)
        elif self.registry.is_starting(name, now):
            at_start = [one._replace(cause=_AT_START) for one in found]
            self._put_back(domain, change, at_start, service.INFO, theirs=frozenset(one.key for one in found))
        else:
            self._judge(domain, change, found)

    def _differences(self, domain: Domain) -> tuple[list[Difference], Change]:
        """What differs from what cputune put into force in this very cgroup, and that."""
        applied = self.tuner.put(domain)
        if applied is None:
            return [], Change()
        state = self.tuner.read(domain)
        version = self.cgroups.hierarchy.version
        if not any(one.drift for one in explain(Facts(domain, version, state, applied=applied.change))):
            return [], applied.change
        facts = facts_of(
            self.tuner.context, domain, state, Change(), self.tuner.remembered(domain), AppliedIndex(self.tuner.context)
        )
        return [one for one in explain(facts) if one.drift], applied.change

    def _judge(self, domain: Domain, change: Change, found: list[Difference]) -> None:
        """Report what somebody else has changed, or put it back."""
        name, writer, now = domain.qualified, found[0].cause, time.monotonic()
        if writer.startswith(SOMEBODY) and memory.of(domain) and name not in self.registry.doubtful:
            # A runtime writes to the kernel first, and what it remembers a moment later.
            self.registry.doubtful.add(name)
            self.registry.suspects[name] = now + _REMEMBERED
            return
        self.registry.doubtful.discard(name)
        lines = [text(one) for one in found]
        if self.enforce and self.registry.backoff.may_go_on(name, writer, now):
            self._put_back(domain, change, found, service.WARNING)
        elif lines != self.registry.reported.get(name):
            self.registry.reported[name] = lines
            if self.enforce and self.registry.backoff.is_over(name):
                why = f"left alone, being changed back again and again: cputune apply {name}"
                self._report(domain, found, why, "left-alone", service.ERROR)
            else:
                self._report(domain, found, "not put back", "reported", service.WARNING)

    def _put_back(
        self,
        domain: Domain,
        change: Change,
        found: list[Difference],
        priority: int,
        theirs: frozenset[str] = frozenset(),
    ) -> None:
        if any(one.key == "idle" and one.applied is False for one in found):
            change = change.replace(idle=False)  # it has a weight to get back
        try:
            self.tuner.change([Job(domain, Request(change), "live", theirs=theirs)], enter=False)
        except Busy:
            self.registry.suspects[domain.qualified] = time.monotonic() + _BUSY
            return
        except CpuTuneError as error:
            if self.cgroups.exists(domain.limit or ""):
                self.starts.complain(domain, f"{found[0].cause}; not put back", error)
            return
        self.starts.note(domain)
        self.registry.reported.pop(domain.qualified, None)
        self._report(domain, found, "put back", "repaired", priority)

    def _report(self, domain: Domain, found: list[Difference], what: str, action: str, priority: int) -> None:
        for one in found:
            self.log(
                priority,
                f"{domain.qualified}: {text(one)}: {what}",
                domain=domain.qualified,
                action=action,
                key=one.key,
                applied=words(one.key, one.applied),
                live=words(one.key, one.live),
                cause=one.cause,
            )
