"""The core: what a domain has, and changing it. Returns data; neither prints nor exits.

A change goes: find the domains, resolve live / config / current, read every cgroup, compute its goal (`goal`), plan
the tasks (`planner`), and carry them out as one (`transaction`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cputune import runtimes
from cputune.cgroup import Cgroups
from cputune.cgroup.support import require, support
from cputune.errors import WrongState
from cputune.goal import Where, saved_tune, source_of
from cputune.host import Host
from cputune.model import WEIGHT, CpuTune, Domain, Request, Source
from cputune.transaction import Tools, perform
from cputune.units import nearest_weight, shares_of_weight, weight_of_shares

if TYPE_CHECKING:
    from cputune.planner import Outcome
    from cputune.state import Applied
    from cputune.store import Store


class SchedInfo(NamedTuple):
    """What `schedinfo` shows. `tune` has both shares and weight: the one in force, and what it stands for."""

    domain: Domain
    source: Source
    bandwidth: bool
    tune: CpuTune


class Tuner:
    """Everything a command can ask for, on one host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.site = Cgroups(host)
        self.tools = Tools(self.site)

    def find(self, name: str) -> Domain:
        """The domain. Raises NoSuchDomain, UsageError, Unsupported."""
        return runtimes.find(self.site, name)

    def store(self) -> Store:
        """The saved configurations; loads yaml."""
        from cputune.store import Store

        return Store(self.host)

    def schedinfo(self, name: str, where: Where = "current") -> SchedInfo:
        """What a domain has in force (live) or saved (config). Raises WrongState for live where it does not run."""
        domain = self.find(name)
        source = source_of(where, domain)
        if source == "config":
            return SchedInfo(domain, source, True, saved_tune(self.store().load(domain).change, domain.scale))
        state = self.read(domain)
        return SchedInfo(
            domain, source, support(state).bandwidth, shown(domain, state, self.tools.state.applied(domain))
        )

    def read(self, domain: Domain) -> CpuTune:
        """What is in force, collected from the domain's cgroups. Raises Unsupported without even a weight."""
        state = CpuTune()
        for seat in domain.seats():
            found = self.site.read_if_used(seat.cgroup)
            state = state._replace(**{key: getattr(found, key) for key in seat.carries})
        if domain.weight is not None and not support(state).weight:
            require(self.site, domain.weight, state, frozenset(WEIGHT), domain.qualified)
        return state

    def change(
        self, names: list[str], request: Request, where: Where = "current", *, dry_run: bool = False
    ) -> list[Outcome]:
        """Change domains, live or config or both, as one transaction. Raises CpuTuneError with nothing changed."""
        from cputune.planner import plan

        domains = list({domain.qualified: domain for domain in map(self.find, names)}.values())
        if dry_run:
            return plan(self.tools, domains, request, where)
        with self.tools.state.locked():
            outcomes = plan(self.tools, domains, request, where)
            perform(self.tools, [task for outcome in outcomes for task in outcome.tasks])
        return outcomes

    def apply(self, domain: Domain, *, dry_run: bool = False) -> Outcome:
        """Put the saved configuration of a running domain into force. Raises CpuTuneError with nothing changed."""
        saved = self.store().load(domain)
        if not saved.change.named():
            raise WrongState(
                f"nothing is saved for {domain.qualified}", f"cputune set {domain.qualified} --cpus 1 --config"
            )
        return self.change([domain.qualified], Request(saved.change), "live", dry_run=dry_run)[0]


def shown(domain: Domain, state: CpuTune, applied: Applied | None) -> CpuTune:
    """A state with shares and weight both: the one that is not in force as it was given, else converted. Pure."""
    if state.shares is not None:
        return state._replace(weight=nearest_weight(state.shares))
    if state.weight is None:
        return state
    shares = applied.change.shares if applied else None
    if shares is None or state.idle or weight_of_shares(shares, domain.scale) != state.weight:
        shares = shares_of_weight(state.weight, domain.scale)
    return state._replace(shares=shares)
