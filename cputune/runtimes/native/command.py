"""What the commands of docker and podman have in common: the words for a limit, and the weight as shares."""

from __future__ import annotations

from cputune.core.knobs import DEFAULT_SHARES, DEFAULT_WEIGHT, UNLIMITED
from cputune.core.model import Change, Domain, Scale
from cputune.core.units import shares_of_weight
from cputune.host.cgroup.cgroups import Cgroups


def shares_in(cgroups: Cgroups, domain: Domain, change: Change) -> int | None:
    """The shares that the runtime has to be given; None where no weight is named. Every weight has some."""
    if change.weight is None:
        return change.shares
    return shares_of_weight(change.weight, Scale.KERNEL if cgroups.hierarchy.version == 1 else domain.scale)


def default_shares(cgroups: Cgroups, domain: Domain) -> int:
    """The shares that stand for what a new container has."""
    if cgroups.hierarchy.version == 1:
        return DEFAULT_SHARES
    return shares_of_weight(DEFAULT_WEIGHT, domain.scale)


def changed(before: Change, change: Change, shares: int | None) -> Change:
    """What is remembered after a change of quota, period and shares. Pure."""
    return before.replace(
        quota=before.quota if change.quota is None else change.quota,
        period=before.period if change.period is None else change.period,
        shares=before.shares if shares is None else shares,
    )


def band_words(change: Change, no_limit: str) -> list[str]:
    """The options for quota and period; `no_limit` is the number that stands for none."""
    if change.quota is None:
        return []
    quota = no_limit if change.quota is UNLIMITED else str(change.quota)
    return ["--cpu-period", str(change.period), "--cpu-quota", quota]


def shares_words(shares: int | None) -> list[str]:
    """The option for the weight."""
    return [] if shares is None else ["--cpu-shares", str(shares)]
