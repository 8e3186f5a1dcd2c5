"""The core: what a domain has, and changing it. Returns data; neither prints nor exits.

A change goes: find the domains, resolve live / config / current, read every cgroup, compute its goal (`goal`), plan
the tasks (`planner`), and carry them out as one (`transaction`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cputune import runtimes
from cputune.cgroup import Cgroups
from cputune.cgroup.support import require, support
from cputune.errors import CpuTuneError, WrongState
from cputune.goal import Where, saved_tune, source_of
from cputune.host import Host
from cputune.model import (
    DEFAULT_SHARES,
    DEFAULT_WEIGHT,
    OCI_SCALES,
    WEIGHT,
    Change,
    CpuTune,
    Domain,
    Request,
    Source,
)
from cputune.transaction import Tools, perform
from cputune.units import nearest_weight, shares_of_weight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cputune.planner import Outcome
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
        return SchedInfo(domain, source, support(state).bandwidth, self.shown(domain, state))

    def shown(self, domain: Domain, state: CpuTune, remembered: Change | None = None) -> CpuTune:
        """A state with both shares and weight, in the numbers that whoever set them gave.

        `remembered` is what the runtime remembers, where that has been read already.
        """
        given = self.tools.state.applied(domain)
        shares = [given.change.shares] if given else []
        if domain.scale in OCI_SCALES:
            remembered = self.remembered(domain) if remembered is None else remembered
            shares += [remembered.shares, DEFAULT_SHARES if state.weight == DEFAULT_WEIGHT else None]
        return shown(domain, state, shares)

    def remembered(self, domain: Domain) -> Change:
        """What the domain's runtime remembers, as far as files tell; nothing where they cannot be read."""
        from cputune import memory

        module = memory.of(domain)
        try:
            return (module.read(self.site, domain).change if module else None) or Change()
        except CpuTuneError:
            return Change()

    def read(self, domain: Domain) -> CpuTune:
        """What is in force, collected from the domain's cgroups. Raises Unsupported without even a weight."""
        state = domain.state({seat.cgroup: self.site.read_if_used(seat.cgroup) for seat in domain.seats()})
        if domain.weight is not None and not support(state).weight:
            require(self.site, domain.weight, state, frozenset(WEIGHT), domain.qualified)
        return state

    def change(
        self,
        names: list[str] | list[Domain],
        request: Request,
        where: Where = "current",
        *,
        dry_run: bool = False,
        native: bool = False,
        announce: Callable[[list[Outcome]], None] | None = None,
    ) -> list[Outcome]:
        """Change domains, live or config or both, and with `native` what their runtimes remember, as one transaction.

        `announce` is given what will be done before anything is. Raises CpuTuneError with nothing changed.
        """
        from cputune.planner import plan

        found = [name if isinstance(name, Domain) else self.find(name) for name in names]
        domains = list({domain.qualified: domain for domain in found}.values())
        announce = announce or (lambda _: None)
        if dry_run:
            outcomes = plan(self.tools, domains, request, where, native=native)
            announce(outcomes)
            return outcomes
        with self.tools.state.locked():
            outcomes = plan(self.tools, domains, request, where, native=native)
            announce(outcomes)
            tasks = [task for outcome in outcomes for task in outcome.tasks]
            perform(self.tools, tasks + [task for outcome in outcomes for task in outcome.natives])
        return outcomes

    def apply(
        self, domain: Domain, *, dry_run: bool = False, announce: Callable[[list[Outcome]], None] | None = None
    ) -> Outcome:
        """Put the saved configuration of a running domain into force, as `change` does. Raises CpuTuneError."""
        saved = self.store().load(domain)
        if not saved.change.named():
            raise WrongState(
                f"nothing is saved for {domain.qualified}", f"cputune set {domain.qualified} --cpus 1 --config"
            )
        return self.change([domain], Request(saved.change), "live", dry_run=dry_run, announce=announce)[0]


def shown(domain: Domain, state: CpuTune, given: Iterable[int | None]) -> CpuTune:
    """A state with shares and weight both: the one that is not in force as it was given, else converted. Pure.

    Of the shares in `given`, the first counts that the weight in force can stand for; of an unset weight, the default.
    """
    if state.shares is not None:
        return state._replace(weight=nearest_weight(state.shares))
    if state.weight is None:
        return state
    unset = domain.scale in OCI_SCALES and state.weight == DEFAULT_WEIGHT
    fitting = (
        number
        for number in given
        if number is not None
        and not state.idle
        and (nearest_weight(number, domain.scale) == state.weight or (unset and number == DEFAULT_SHARES))
    )
    return state._replace(shares=next(fitting, None) or shares_of_weight(state.weight, domain.scale))
