"""What a request means for a state, and for a saved configuration. Pure."""

from __future__ import annotations

from typing import Literal

from cputune.core.errors import Refused, Unsupported, UsageError, WrongState
from cputune.core.knobs import DEFAULT_PERIOD, DEFAULT_SHARES, DEFAULT_WEIGHT
from cputune.core.model import Change, CpuTune, Domain, Request, Scale, Source
from cputune.core.names import is_pattern
from cputune.core.units import nearest_weight, quota_for, shares_of_weight, weight_of_shares

Where = Literal["live", "config", "both", "current"]


def targets(where: Where, domain: Domain) -> tuple[bool, bool]:
    """Whether a change goes to live, and to config: current is live where the domain runs, else config."""
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
    """Raise WrongState for a domain that does not run, Unsupported for one without a cgroup of its own."""
    if domain.obstacle:
        raise Unsupported(
            f"domain {domain.qualified} runs, but {domain.obstacle}", "limit what it is in: cputune status cgroup:/..."
        )
    if is_pattern(domain.name) and not domain.running:
        raise WrongState(
            f"{domain.qualified} is a pattern, for which something can be saved and no more",
            "name the domains; for all of them: cputune set --config",
        )
    if not domain.running:
        raise WrongState(
            f"domain {domain.qualified} is not running", "start it first, or use --config instead of --live"
        )


def touched(request: Request) -> set[str]:
    """The knobs that a request would change live."""
    keys = set(request.change.named())
    return keys | {"quota"} if request.microcpus is not None else keys


def goal_of(
    now: CpuTune, request: Request, version: int, scale: Scale, remembered: int | None, carries: tuple[str, ...]
) -> CpuTune:
    """The state that `request` means for a cgroup in state `now`. What it does not name stays.

    `remembered` is the shares (v1) or weight (v2) from before the group became idle. Raises UsageError, Refused.
    """
    change = request.change.only(carries)
    goal = now
    if "quota" in carries:
        period = change.period if change.period is not None else now.period
        quota = change.quota if change.quota is not None else now.quota
        if request.microcpus is not None:
            quota = quota_for(request.microcpus, period or DEFAULT_PERIOD)
        goal = goal.replace(period=period, quota=quota, burst=change.burst if change.burst is not None else now.burst)
    weight = _weight_of(change, version, scale)
    if change.idle is not None:
        goal = goal.replace(idle=change.idle)
    if change.idle:
        weight = None  # a configuration may keep the weight to come back to; the command line may not name both
    if weight is not None and goal.idle:
        raise Refused(
            "the group is idle (cpu.idle is 1), and the kernel refuses shares and weight then", "add --no-idle"
        )
    if weight is not None:
        goal = _weighed(goal, version, weight)
    elif now.idle and change.idle is False:
        default = DEFAULT_SHARES if version == 1 else DEFAULT_WEIGHT
        goal = _weighed(goal, version, remembered or default)
    return goal


def _weighed(state: CpuTune, version: int, number: int) -> CpuTune:
    return state.replace(**{"shares" if version == 1 else "weight": number})


def _weight_of(change: Change, version: int, scale: Scale) -> int | None:
    if change.shares is not None:
        return change.shares if version == 1 else weight_of_shares(change.shares, scale)
    if change.weight is not None:
        return shares_of_weight(change.weight) if version == 1 else change.weight
    return None


def merged(saved: Change, request: Request, period: int) -> Change:
    """The configuration after a request: what it names replaces, 0 removes, the rest stays.

    `period` (microseconds) is the one in force, for --cpus where neither the request nor the configuration has one.
    """
    change = saved.replace(**request.change.named()).replace(**dict.fromkeys(request.zeros))
    if request.change.shares is not None:
        change = change.replace(weight=None)
    if request.change.weight is not None:
        change = change.replace(shares=None)
    if request.microcpus is not None:
        change = change.replace(period=change.period or period)
        change = change.replace(quota=quota_for(request.microcpus, change.period or period))
    return change


def saved_tune(change: Change, scale: Scale) -> CpuTune:
    """A saved configuration in the terms of schedinfo: both shares and weight where one of them is there."""
    shares, weight = change.shares, change.weight
    if shares is not None:
        weight = nearest_weight(shares, scale)
    elif weight is not None:
        shares = shares_of_weight(weight, scale)
    return CpuTune(**{**change.named(), "shares": shares, "weight": weight})
