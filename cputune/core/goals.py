"""What a request means for the state of a cgroup, and for a saved configuration. Pure."""

from __future__ import annotations

from typing import Literal

from cputune.core.errors import Refused, Unsupported, UsageError, WrongState
from cputune.core.knobs import DEFAULT_PERIOD, DEFAULT_SHARES, DEFAULT_WEIGHT, KNOB, UNLIMITED
from cputune.core.model import Change, CpuTune, Domain, Request, Scale, Source
from cputune.core.names import is_pattern
from cputune.core.units import nearest_weight, quota_for, shares_of_weight, weight_of_shares

Where = Literal["live", "config", "both", "current"]


def targets(where: Where, domain: Domain) -> tuple[bool, bool]:
    """Return whether a change goes to live, and whether it goes to config.

    "current" is live if the domain runs, else config.
    """
    if where == "current":
        return domain.running, not domain.running
    return where in ("live", "both"), where in ("config", "both")


def source_of(where: Where, domain: Domain) -> Source:
    """Return what a query is about. Raises UsageError for both, WrongState for live if the domain does not run."""
    if where == "both":
        raise UsageError("--live and --config cannot both be asked", "cputune schedinfo DOMAIN --live")
    live, _ = targets(where, domain)
    if live:
        refuse_not_running(domain)
    return "live" if live else "config"


def refuse_not_running(domain: Domain) -> None:
    """Raise WrongState for a domain that does not run, Unsupported for one that has no cgroup of its own."""
    if domain.obstacle:
        raise Unsupported(
            f"domain {domain.qualified} runs, but {domain.obstacle}", "limit what it is in: cputune status cgroup:/..."
        )
    if is_pattern(domain.name) and not domain.running:
        raise WrongState(
            f"{domain.qualified} is a pattern, for which a configuration can be saved and nothing else",
            "name the domains; for all of them: cputune set --config",
        )
    if not domain.running:
        raise WrongState(
            f"domain {domain.qualified} is not running", "start it first, or use --config instead of --live"
        )


def touched(request: Request) -> set[str]:
    """Return the knobs of the kernel that a request would change live."""
    return {KNOB[key].kernel_key for key in request.change.named()}


def concrete(change: Change, period: int | None, where: str = "--cpus") -> Change:
    """Return the change with a quota in place of a number of CPUs.

    The quota is for the period of the change, else for `period` (microseconds), else for the default one. Raises
    UsageError if the kernel would refuse it; `where` says in the error where the number of CPUs was given.
    """
    cpus = change.cpus
    if cpus is None:
        return change
    quota = UNLIMITED if cpus is UNLIMITED else quota_for(cpus, change.period or period or DEFAULT_PERIOD, where)
    return change.replace(cpus=None, quota=quota)


def goal_of(
    now: CpuTune, request: Request, version: int, scale: Scale, remembered: int | None, carries: tuple[str, ...]
) -> CpuTune:
    """Return the state in which a request brings a cgroup that is in state `now` and carries these knobs.

    Knobs that the request does not name keep their values. `remembered` is the shares (v1) or the weight (v2) from
    before the group became idle. Raises UsageError, Refused.
    """
    change = concrete(request.change, now.period) if "quota" in carries else request.change
    change = change.only(carries)
    goal = now.replace(**change.replace(shares=None, weight=None).named())
    weight = None if change.idle else _weight_of(change, version, scale)
    # With idle, a configuration may keep the weight to come back to; the command line may not name both.
    if weight is not None and goal.idle:
        raise Refused(
            "the group is idle (cpu.idle is 1), and the kernel refuses shares and weight then", "add --no-idle"
        )
    if weight is not None:
        return _weighed(goal, version, weight)
    if now.idle and change.idle is False:
        default = DEFAULT_SHARES if version == 1 else DEFAULT_WEIGHT
        return _weighed(goal, version, remembered or default)
    return goal


def _weighed(state: CpuTune, version: int, number: int) -> CpuTune:
    return state.replace(shares=number) if version == 1 else state.replace(weight=number)


def _weight_of(change: Change, version: int, scale: Scale) -> int | None:
    if change.shares is not None:
        return change.shares if version == 1 else weight_of_shares(change.shares, scale)
    if change.weight is not None:
        return shares_of_weight(change.weight) if version == 1 else change.weight
    return None


def merged(saved: Change, request: Request) -> Change:
    """Return the configuration after a request.

    A value of the request replaces the saved one, also one in the knob's other unit. A knob given as 0 is removed, and
    with a quota of 0 also the number of CPUs, which has no 0 of its own. All others stay.
    """
    others = (KNOB[key].alternative for key in request.zeros)
    removed = [*request.zeros, *(key for key in others if key and not KNOB[key].zero_is_none)]
    return saved.replace(**dict.fromkeys(removed)).updated(request.change)


def saved_tune(change: Change, scale: Scale) -> CpuTune:
    """Return a saved configuration as schedinfo shows it: with both shares and weight, and a quota for CPUs."""
    state = CpuTune(**concrete(change, None).named())
    if change.shares is not None:
        return state.replace(weight=nearest_weight(change.shares, scale))
    if change.weight is not None:
        return state.replace(shares=shares_of_weight(change.weight, scale))
    return state


def beyond_host(change: Change, online: int) -> str | None:
    """Return a message about a limit of more CPUs than the host has online; None for any other change."""
    cpus = change.cpus
    if not isinstance(cpus, int) or cpus <= online * 1_000_000:
        return None
    return f"{KNOB['cpus'].format(cpus)} CPUs are more than the host has: {online}"
