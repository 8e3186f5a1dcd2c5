"""What all domains have, get and are held to: the rows of `cputune status`. Returns data; reads each file once."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import NamedTuple

from cputune.app.tuner import Tuner
from cputune.core.errors import CpuTuneError, NoSuchDomain, Unsupported
from cputune.core.model import Change, CpuTune, Domain, Stats
from cputune.core.names import fits, is_pattern
from cputune.drift.compare import Difference, Facts, differences, explain, text
from cputune.drift.evidence import differing_properties, gather_facts
from cputune.drift.records import AppliedIndex
from cputune.host.cgroup.bandwidth import Limit
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.cgroup.support import Support, support
from cputune.runtimes import lookup
from cputune.runtimes.registry import QUALIFIED_ONLY, RUNTIMES


class HostInfo(NamedTuple):
    """The host: what its kernel offers."""

    layout: str
    version: int
    mount: str
    readonly: bool
    cpus: int
    systemd: bool
    support: Support | None
    """Of the first cgroup below the root that has the controller; None where there is none yet."""


class Sample(NamedTuple):
    """What a domain did during the interval. None = not counted, or the counters began anew."""

    cpus: float | None
    throttled: float | None
    """The share of its periods in which the group was held back; None with no period, which is no limit or no work."""
    by: str | None
    """The cgroup whose limit held it back most: the domain's own, or an ancestor's."""


class Row(NamedTuple):
    """One domain."""

    domain: Domain
    tune: CpuTune | None
    """None for one that does not run, or cannot be read."""
    effective: float | None = None
    """The smallest limit of the domain and its ancestors, in CPUs."""
    bound_by: str | None = None
    """The ancestor that has it, where it is tighter than the domain's own."""
    saved: Change = Change()
    applied: Change | None = None
    """What cputune last put into force in the very cgroup that it has; None for nothing."""
    differences: tuple[Difference, ...] = ()
    """From what is saved, and from what cputune put into force."""
    held: tuple[str, ...] = ()
    """What somebody holds who will write it some time, in words."""
    problem: str | None = None
    sample: Sample | None = None

    @property
    def drift(self) -> tuple[str, ...]:
        """All that is not as it should be or will not stay so, in words."""
        return (*map(text, self.differences), *self.held)


class SavedRow(NamedTuple):
    """One saved configuration."""

    name: str
    state: str
    """Of its domain: running, stopped, not there; of a pattern, how many domains it counts for now."""
    saved: Change
    path: str
    problem: str | None = None


class Observer:
    """Collects rows; ancestors' limits and counters are read once each."""

    def __init__(self, tuner: Tuner) -> None:
        self.tuner = tuner
        self.cgroups = tuner.cgroups
        self.saved: dict[str, str] = {}
        self.closely = False
        """Whether systemd, too, is asked what it holds: a call a unit."""
        self.problem: str | None = None
        """Why the saved configurations cannot be read at all."""
        self.store = tuner.store() if _may_be(os.path.join(tuner.host.config_dir, "domains")) else None
        if self.store:
            try:
                self.saved = dict(self.store.names())
            except CpuTuneError as error:
                self.problem = error.message
        self.in_force = AppliedIndex(tuner.context)
        self._limits: dict[str, Limit | None] = {}
        self._stats: dict[str, Stats] = {}

    def host(self) -> HostInfo:
        """The host's line."""
        hierarchy = self.cgroups.hierarchy
        below = (f"{hierarchy.root.rstrip('/')}/{name}" for name in self.cgroups.children(hierarchy.root))
        offered = next((have for have in map(self._support, below) if have and have.weight), None)
        return HostInfo(
            hierarchy.layout,
            hierarchy.version,
            hierarchy.mount,
            hierarchy.readonly,
            os.cpu_count() or 1,
            self.tuner.context.systemd.booted(),
            offered,
        )

    def _support(self, cgroup: str) -> Support | None:
        try:
            return support(self.cgroups.read(cgroup))
        except CpuTuneError:  # gone meanwhile, or not ours to read
            return None

    def rows(self, names: tuple[str, ...], wanted: tuple[str, ...], interval: float | None) -> list[Row]:
        """The rows of these domains, or of all that the `wanted` runtimes know. Raises CpuTuneError for a name only."""
        if names:
            domains = [self.tuner.find(name) for name in names]
        else:
            domains = list(lookup.domains(self.cgroups, wanted or RUNTIMES))
            domains += self._saved_besides({domain.qualified for domain in domains}, wanted)
            domains += self._limited_besides(domains, wanted)
        self.closely = bool(names)
        if interval is None:
            return [self.row(domain) for domain in domains]
        before = {domain.qualified: self._counters(domain) for domain in domains}
        start = time.monotonic()
        time.sleep(interval)
        self._stats.clear()
        passed = time.monotonic() - start
        self.in_force = AppliedIndex(self.tuner.context)  # what cputune has changed meanwhile is no drift
        rows = []
        for domain in domains:
            sample = sample_of(domain.limit, before[domain.qualified], self._counters(domain), passed)
            rows.append(self.row(domain)._replace(sample=sample if domain.running else None))
        return rows

    def saved_rows(self, wanted: tuple[str, ...]) -> list[SavedRow]:
        """All that is saved, with what is known of the domains that it is for. Raises CpuTuneError."""
        if self.store is None:
            return []
        rows = []
        for name, path in self.store.names():
            runtime, _, own = name.partition(":")
            if not wanted or runtime in wanted:
                from cputune.config.schema import parse
                from cputune.config.store import read

                try:
                    change, problem = parse(path, read(path) or "").change, None
                except CpuTuneError as error:
                    change, problem = Change(), error.message
                rows.append(SavedRow(name, self._state_of(runtime, own), change, path, problem))
        return rows

    def _state_of(self, runtime: str, name: str) -> str:
        if is_pattern(name) and self.store:
            listed = lookup.domains(self.cgroups, (runtime,))
            fitting = [domain for domain in listed if domain.qualified not in self.saved and fits(name, domain.name)]
            return f"fits {len([one for one in fitting if self.store.pattern_of(one) == name])}"
        try:
            domain = self.tuner.find(f"{runtime}:{name}")
        except NoSuchDomain:
            return "not there"
        except CpuTuneError as error:
            return f"unknown: {error.message}"
        return "running" if domain.running else "stopped"

    def _saved_besides(self, listed: set[str], wanted: tuple[str, ...]) -> list[Domain]:
        """Domains that something is saved for, and that no list has: units that do not run."""
        found = []
        for name in self.saved:
            if name not in listed and not is_pattern(name) and (not wanted or name.partition(":")[0] in wanted):
                with suppress(CpuTuneError):
                    found.append(self.tuner.find(name))
        return [domain for domain in found if domain.qualified not in listed]

    def _limited_besides(self, domains: list[Domain], wanted: tuple[str, ...]) -> list[Domain]:
        """Cgroups that cputune has put something into force in, and that none of these domains has."""
        found: dict[str, Domain] = {}
        for runtime, name in self.in_force.names():
            if runtime in QUALIFIED_ONLY and (not wanted or runtime in wanted):
                with suppress(CpuTuneError):
                    domain = self.tuner.find(f"{runtime}:{name}")
                    if domain.limit and self.in_force.current(domain):
                        found.setdefault(domain.limit, domain)
        listed = {seat.cgroup for domain in domains for seat in domain.seats()} if found else set()
        return [domain for cgroup, domain in found.items() if cgroup not in listed]

    def row(self, domain: Domain) -> Row:
        """One row; what cannot be read is said in it, and does not end the others."""
        saved, problem = Change(), None
        try:
            if self.store and (domain.qualified in self.saved or self.store.patterns(domain.runtime)):
                saved = self.store.effective(domain).change
        except CpuTuneError as error:
            problem = error.message
        if not domain.running or domain.limit is None:
            return Row(domain, None, saved=saved, problem=problem or domain.obstacle)
        try:
            state = self.tuner.read(domain)
        except Unsupported as error:
            # The controller is not enabled for it: so nothing but its ancestors limits it.
            state, problem = CpuTune(), error.message
        except CpuTuneError as error:
            return Row(domain, None, saved=saved, problem=error.message)
        remembered = self.tuner.remembered(domain)
        facts = gather_facts(self.tuner.context, domain, state, saved, remembered, self.in_force)
        above = self._tightest(domain.limit)
        own = state.limit_cpus
        bound = above if above and (own is None or above.cpus < own) else None
        return Row(
            domain,
            self.tuner.shown(domain, state, remembered),
            bound.cpus if bound else own,
            bound.cgroup if bound else None,
            saved,
            facts.applied,
            tuple(explain(facts)),
            tuple(self._held_elsewhere(facts)),
            problem,
        )

    def _held_elsewhere(self, facts: Facts) -> list[str]:
        found = differences(facts.domain.runtime, facts.remembered, facts.live, facts.domain, facts.version)
        return found + (differing_properties(self.tuner.context, facts.domain) if self.closely else [])

    def _tightest(self, cgroup: str) -> Limit | None:
        limits = [limit for ancestor in self.cgroups.ancestors(cgroup) if (limit := self._limit(ancestor))]
        return min(limits, key=lambda limit: limit.cpus, default=None)

    def _limit(self, cgroup: str) -> Limit | None:
        if cgroup not in self._limits:
            self._limits[cgroup] = self.cgroups.limit(cgroup)
        return self._limits[cgroup]

    def _counters(self, domain: Domain) -> dict[str, Stats]:
        """The counters of the domain's cgroup and of its limited ancestors."""
        if domain.limit is None:
            return {}
        cgroups = [
            domain.limit,
            *(ancestor for ancestor in self.cgroups.ancestors(domain.limit) if self._limit(ancestor)),
        ]
        for cgroup in cgroups:
            if cgroup not in self._stats:
                self._stats[cgroup] = self.cgroups.stats(cgroup)
        return {cgroup: self._stats[cgroup] for cgroup in cgroups}


def not_looked_into(cgroups: Cgroups, command: str) -> str | None:
    """What a list lacks, since we may not read it; None for nothing."""
    hidden = lookup.unreadable(cgroups)
    if not hidden:
        return None
    return f"skipped, permission denied: {', '.join(hidden)}; as root: sudo cputune {command}"


def _may_be(folder: str) -> bool:
    """Whether a folder is there, or nobody can tell: what is wrong is told where it is read."""
    try:
        os.stat(folder)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def sample_of(cgroup: str | None, before: dict[str, Stats], after: dict[str, Stats], seconds: float) -> Sample:
    """Two readings of the counters -> use and throttling in between. Pure."""
    shares = {
        name: share
        for name in after
        if name in before and (share := throttled_share(before[name], after[name])) is not None
    }
    worst = max(shares, key=lambda name: shares[name], default=None)
    used = _delta(before[cgroup].usage, after[cgroup].usage) if cgroup in before and cgroup in after else None
    cpus = None if used is None or seconds <= 0 else used / 1e6 / seconds
    return Sample(cpus, shares[worst] if worst else None, worst if worst and shares[worst] > 0 else None)


def throttled_share(before: Stats, after: Stats) -> float | None:
    """Throttled periods / periods; None with no period in between, or where the counters began anew. Pure."""
    periods, throttled = _delta(before.periods, after.periods), _delta(before.throttled, after.throttled)
    return None if not periods or throttled is None else throttled / periods


def _delta(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None or after < before else after - before
