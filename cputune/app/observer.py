"""What domains have, and what they get: the rows of `cputune status`. Returns data; reads each file once."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from cputune.app.listing import all_domains
from cputune.app.sampling import Sample, sample_of
from cputune.app.schedinfo import as_given
from cputune.app.tuner import Tuner
from cputune.core.errors import CpuTuneError, Unsupported
from cputune.core.model import Change, CpuTune, Domain, Stats
from cputune.drift.compare import Difference, Facts, differences, explain, text
from cputune.drift.evidence import differing_properties, gather_facts
from cputune.drift.records import AppliedIndex
from cputune.host.cgroup.cgroups import Limits
from cputune.runtimes.native import settings


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
    """What a runtime or systemd remembers and will write some time, in words."""
    problem: str | None = None
    sample: Sample | None = None

    @property
    def drift(self) -> tuple[str, ...]:
        """All that is not as it should be or will not stay so, in words."""
        return (*map(text, self.differences), *self.held)


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
        self.index = AppliedIndex(tuner.context)
        self._limits = Limits(self.cgroups)
        self._stats: dict[str, Stats] = {}

    def rows(self, names: tuple[str, ...], wanted: tuple[str, ...], interval: float | None) -> list[Row]:
        """The rows of these domains, or of all that the `wanted` runtimes know. Raises CpuTuneError for a name only."""
        self.closely = bool(names)
        domains = [self.tuner.find(name) for name in names]
        if not names:
            domains = all_domains(self.tuner, wanted, self.saved, self.index)
        if interval is None:
            return [self.row(domain) for domain in domains]
        return self._sampled_rows(domains, interval)

    def _sampled_rows(self, domains: list[Domain], interval: float) -> list[Row]:
        before = {domain.qualified: self._counters(domain) for domain in domains}
        start = time.monotonic()
        time.sleep(interval)
        self._stats.clear()
        passed = time.monotonic() - start
        self.index = AppliedIndex(self.tuner.context)  # what cputune has changed meanwhile is no drift
        rows = []
        for domain in domains:
            sample = sample_of(domain.limit_cgroup, before[domain.qualified], self._counters(domain), passed)
            rows.append(self.row(domain)._replace(sample=sample if domain.running else None))
        return rows

    def row(self, domain: Domain) -> Row:
        """One row; what cannot be read is said in it, and does not end the others."""
        saved, problem = self._saved_for(domain)
        if not domain.running or domain.limit_cgroup is None:
            return Row(domain, None, saved=saved, problem=problem or domain.obstacle)
        try:
            state = self.tuner.read(domain)
        except Unsupported as error:
            # The controller is not enabled for it, so that only its ancestors limit it.
            state, problem = CpuTune(), error.message
        except CpuTuneError as error:
            return Row(domain, None, saved=saved, problem=error.message)
        return self._live_row(domain, state, saved, problem)

    def _saved_for(self, domain: Domain) -> tuple[Change, str | None]:
        """What is saved for a domain, and why that cannot be read."""
        try:
            if self.store and (domain.qualified in self.saved or self.store.patterns(domain.runtime)):
                return self.store.effective(domain).change, None
        except CpuTuneError as error:
            return Change(), error.message
        return Change(), None

    def _live_row(self, domain: Domain, state: CpuTune, saved: Change, problem: str | None) -> Row:
        remembered = settings.remembered(self.cgroups, domain)
        facts = gather_facts(self.tuner.context, domain, state, saved, remembered, self.index)
        above = self.cgroups.tightest_limit(domain.limit_cgroup or "", self._limits)
        own = state.limit_cpus
        bound = above if above and (own is None or above.cpus < own) else None
        return Row(
            domain,
            as_given(self.tuner, domain, state, remembered),
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

    def _counters(self, domain: Domain) -> dict[str, Stats]:
        """The counters of the domain's cgroup and of its limited ancestors."""
        if domain.limit_cgroup is None:
            return {}
        limited = [cgroup for cgroup in self.cgroups.ancestors(domain.limit_cgroup) if self._limits[cgroup]]
        cgroups = [domain.limit_cgroup, *limited]
        for cgroup in cgroups:
            if cgroup not in self._stats:
                self._stats[cgroup] = self.cgroups.stats(cgroup)
        return {cgroup: self._stats[cgroup] for cgroup in cgroups}


def _may_be(folder: str) -> bool:
    """Whether a folder is there, or nobody can tell: what is wrong is told where it is read."""
    try:
        os.stat(folder)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True
