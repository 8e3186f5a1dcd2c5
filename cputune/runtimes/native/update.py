"""What `docker update` and `podman update` have in common."""

from __future__ import annotations

from collections.abc import Callable

from cputune.core.knobs import DEFAULT_PERIOD, UNLIMITED
from cputune.core.model import Change, Domain
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes.native.settings import NativePlan, RunCommand, default_shares, shares_for


def plan_update(
    cgroups: Cgroups,
    domain: Domain,
    before: Change,
    change: Change,
    bandwidth: Callable[[Change], list[str]],
    command: Callable[[list[str]], RunCommand],
) -> NativePlan:
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
    return NativePlan(_commands(command, forward), _commands(command, back), after)


def _commands(command: Callable[[list[str]], RunCommand], options: list[str]) -> tuple[RunCommand, ...]:
    return (command(options),) if options else ()


def bandwidth_options(change: Change, no_limit: str) -> list[str]:
    """Return the options for quota and period; `no_limit` is the number that means no quota."""
    if change.quota is None:
        return []
    quota = no_limit if change.quota is UNLIMITED else str(change.quota)
    return ["--cpu-period", str(change.period), "--cpu-quota", quota]


def _shares_options(shares: int | None) -> list[str]:
    return [] if shares is None else ["--cpu-shares", str(shares)]
