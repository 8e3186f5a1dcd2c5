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
    """Whether a change goes to live, and whether it goes to config. "current" is live where the domain runs, else
    config.
    """
    if where == "current":
        return domain.running, not domain.running
    return where in ("live", "both"), where in ("config", "both")


def source_of(where: Where, domain: Domain) -> Source:
    """Which of the two a query is about. Raises UsageError for both, WrongState for live where it does not run."""
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
    """The knobs of the kernel that a request would change live."""
    return {KNOB[key].kernel_key for key in request.change.named()}


def concrete(change: Change, period: int | None, where: str = "--cpus") -> Change:
    """The change with a quota in place of cpus, for the period that it names, else for `period` (microseconds), else
    for the default. Raises UsageError where the kernel would refuse that quota; `where` says whose CPUs they are.
    """
    cpus = change.cpus
    if cpus is None:
        return change
    quota = UNLIMITED if cpus is UNLIMITED else quota_for(cpus, change.period or period or DEFAULT_PERIOD, where)
    return change.replace(cpus=None, quota=quota)


def goal_of(
    now: CpuTune, request: Request, version: int, scale: Scale, remembered: int | None, carries: tuple[str, ...]
) -> CpuTune:
    """The state that `request` means for a cgroup in state `now` that carries these knobs. What it does not name stays.

    `remembered` is the shares (v1) or weight (v2) from before the group became idle. Raises UsageError, Refused.
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
    """The configuration after a request: what it names replaces what was there, in the other unit too; what it gives
    as 0 is removed, and with a quota of 0 the CPUs, which have no 0 of their own; the rest stays.
    """
    others = (KNOB[key].alternative for key in request.zeros)
    removed = [*request.zeros, *(key for key in others if key and not KNOB[key].zero_is_none)]
    return saved.replace(**dict.fromkeys(removed)).updated(request.change)


def saved_tune(change: Change, scale: Scale) -> CpuTune:
    """A saved configuration in the terms of schedinfo: shares and weight where either is there, cpus as a quota."""
    state = CpuTune(**concrete(change, None).named())
    if change.shares is not None:
        return state.replace(weight=nearest_weight(change.shares, scale))
    if change.weight is not None:
        return state.replace(shares=shares_of_weight(change.weight, scale))
    return state


def beyond_host(change: Change, online: int) -> str | None:
    """What to say of a limit in CPUs that is above the number of CPUs that the host has; None where it is not."""
    cpus = change.cpus
    if not isinstance(cpus, int) or cpus <= online * 1_000_000:
        return None
    return f"{KNOB['cpus'].format(cpus)} CPUs are more than the host has: {online}"
