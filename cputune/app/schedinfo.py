"""What `cputune schedinfo` shows: what a domain has in force or saved, with both shares and weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cputune.core.goals import Where, saved_tune, source_of
from cputune.core.knobs import DEFAULT_SHARES, DEFAULT_WEIGHT
from cputune.core.model import OCI_SCALES, CpuTune, Domain, Source
from cputune.core.units import nearest_weight, shares_of_weight
from cputune.host.cgroup.support import support

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cputune.app.tuner import Tuner
    from cputune.core.model import Change


class SchedInfo(NamedTuple):
    """What `schedinfo` shows. `tune` has both shares and weight: the one in force, and what it stands for."""

    domain: Domain
    source: Source
    bandwidth: bool
    tune: CpuTune


def schedinfo(tuner: Tuner, name: str, where: Where = "current") -> SchedInfo:
    """What a domain has in force (live) or saved (config). Raises WrongState for live where it does not run."""
    domain = tuner.find(name)
    source = source_of(where, domain)
    if source == "config":
        saved = tuner.store().effective(domain).change
        return SchedInfo(domain, source, True, saved_tune(saved, domain.scale))
    state = tuner.read(domain)
    return SchedInfo(domain, source, support(state).bandwidth, as_given(tuner, domain, state))


def as_given(tuner: Tuner, domain: Domain, state: CpuTune, remembered: Change | None = None) -> CpuTune:
    """A state with both shares and weight, in the numbers that were given when they were set.

    `remembered` is what the runtime remembers, where that has been read already.
    """
    applied = tuner.context.records.of(domain)
    shares = [applied.change.shares] if applied else []
    if domain.scale in OCI_SCALES:
        from cputune.runtimes.native import settings

        remembered = settings.remembered(tuner.cgroups, domain) if remembered is None else remembered
        shares += [remembered.shares, DEFAULT_SHARES if state.weight == DEFAULT_WEIGHT else None]
    return with_both_weights(domain, state, shares)


def with_both_weights(domain: Domain, state: CpuTune, given: Iterable[int | None]) -> CpuTune:
    """A state with shares and weight both: the one that is not in force as it was given, else converted. Pure.

    Of the shares in `given`, the first counts that the weight in force can stand for; of an unset weight, the default.
    """
    if state.shares is not None:
        return state.replace(weight=nearest_weight(state.shares))
    if state.weight is None:
        return state
    fitting = (number for number in given if number is not None and _stands_for(domain, state, number))
    return state.replace(shares=next(fitting, None) or shares_of_weight(state.weight, domain.scale))


def _stands_for(domain: Domain, state: CpuTune, shares: int) -> bool:
    """Whether the weight in force may come from these shares; an idle group's comes from none."""
    unset = domain.scale in OCI_SCALES and state.weight == DEFAULT_WEIGHT
    means = nearest_weight(shares, domain.scale) == state.weight or (unset and shares == DEFAULT_SHARES)
    return means and not state.idle
