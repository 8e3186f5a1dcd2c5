"""What `docker update` and `podman update` have in common, and the shares that runtimes are given for a weight."""

from __future__ import annotations

from collections.abc import Callable

from cputune.core.knobs import DEFAULT_PERIOD, DEFAULT_SHARES, DEFAULT_WEIGHT, UNLIMITED
from cputune.core.model import Change, Domain, Scale
from cputune.core.units import shares_of_weight
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes.native.memory import Orders, Run


def shares_for(cgroups: Cgroups, domain: Domain, change: Change) -> int | None:
    """Return the shares to give to the runtime for a change; None if it names neither shares nor weight."""
    if change.weight is None:
        return change.shares
    return shares_of_weight(change.weight, _scale(cgroups, domain))


def default_shares(cgroups: Cgroups, domain: Domain) -> int:
    """Return the shares that stand for the weight of a new container."""
    return DEFAULT_SHARES if cgroups.hierarchy.version == 1 else shares_of_weight(DEFAULT_WEIGHT, domain.scale)


def _scale(cgroups: Cgroups, domain: Domain) -> Scale:
    return Scale.KERNEL if cgroups.hierarchy.version == 1 else domain.scale


def orders_of(
    cgroups: Cgroups,
    domain: Domain,
    before: Change,
    change: Change,
    bandwidth: Callable[[Change], list[str]],
    command: Callable[[list[str]], Run],
) -> Orders:
    """Return the update with the options for a change, and the one that restores what was remembered before.

    `bandwidth` makes the options for quota and period, `command` the program of all options. 0 means "no change" to
    both programs, so that what was not remembered comes back as its default.
    """
    shares = shares_for(cgroups, domain, change)
    old_shares = None if shares is None else before.shares or default_shares(cgroups, domain)
    old = before.replace(quota=before.quota or UNLIMITED, period=before.period or DEFAULT_PERIOD)
    forward = [*bandwidth(change), *_shares_options(shares)]
    back = [*(bandwidth(old) if change.quota else []), *_shares_options(old_shares)]
    after = before.replace(
        quota=before.quota if change.quota is None else change.quota,
        period=before.period if change.period is None else change.period,
        shares=before.shares if shares is None else shares,
    )
    return Orders(_commands(command, forward), _commands(command, back), after)


def _commands(command: Callable[[list[str]], Run], options: list[str]) -> tuple[Run, ...]:
    return (command(options),) if options else ()


def bandwidth_options(change: Change, no_limit: str) -> list[str]:
    """Return the options for quota and period; `no_limit` is the number that means no quota."""
    if change.quota is None:
        return []
    quota = no_limit if change.quota is UNLIMITED else str(change.quota)
    return ["--cpu-period", str(change.period), "--cpu-quota", quota]


def _shares_options(shares: int | None) -> list[str]:
    return [] if shares is None else ["--cpu-shares", str(shares)]
