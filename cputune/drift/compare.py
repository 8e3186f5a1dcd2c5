"""Where what is in force differs from what was saved or from what cputune set, and who has likely changed it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cputune.core.errors import CpuTuneError
from cputune.core.goals import goal_of, touched
from cputune.core.knobs import KNOB, MAX_QUOTA, SHARES_AND_WEIGHT, UNLIMITED, Value, with_pair
from cputune.core.model import Change, CpuTune, Domain, Request, Scale
from cputune.core.units import nearest_weight
from cputune.host.systemd import kept

if TYPE_CHECKING:
    from cputune.drift.records import OtherName

_NOTHING, _NO_STATE = Change(), CpuTune()
SOMEBODY = "somebody else"
"""How a cause begins that none of the facts explains."""


class Held(NamedTuple):
    """What systemd holds for the unit that a cgroup is."""

    unit: str
    state: CpuTune
    """As systemd would write it; None for what it does not hold."""
    grain: int
    """To what it truncates a quota, in microseconds per second."""


class Facts(NamedTuple):
    """What is known of a running domain."""

    domain: Domain
    version: int
    live: CpuTune
    saved: Change = Change()
    applied: Change | None = None
    """What cputune last put into force in this very cgroup; None for nothing."""
    restarted: bool = False
    """Whether cputune put something into force in a cgroup that this one replaced."""
    given_back: bool = False
    """Whether cputune has taken back what it had put into this very cgroup."""
    remembered: Change = Change()
    """What the runtime itself remembers."""
    held: tuple[Held, ...] = ()
    elsewhere: tuple[OtherName, ...] = ()
    """What cputune put into force in the same cgroup under other names."""


class Difference(NamedTuple):
    """One knob whose value is not what is saved, or not what cputune set; in the terms of the kernel."""

    key: str
    """The knob; or "config" where what is saved cannot be put into force at all."""
    saved: Value
    applied: Value
    live: Value
    cause: str
    drift: bool
    """Whether somebody else than cputune has made it so."""


def explain(facts: Facts) -> list[Difference]:
    """Return all differences, each with its likely cause."""
    live = comparable(facts.live)
    saved, problem = wish(facts.saved, live, facts.domain, facts.version)
    applied, _ = wish(facts.applied or _NOTHING, live, facts.domain, facts.version)
    found = [Difference("config", None, None, None, problem, True)] if problem else []
    if saved == applied == _NO_STATE:  # as on most hosts: of thousands of cgroups few have anything
        return found
    if _period_means_nothing(saved if applied.period is None else applied, live):
        saved, applied = saved.replace(period=None), applied.replace(period=None)
    for key in CpuTune.KEYS:
        wanted, put, has = saved[key], applied[key], live[key]
        if any(value is not None and value != has for value in (wanted, put)):
            found.append(Difference(key, wanted, put, has, *_cause(facts, key, put, has)))
    return found


def _cause(facts: Facts, key: str, put: Value, has: Value) -> tuple[str, bool]:
    """Who has likely made a knob what it is, and whether that is drift."""
    if put is not None and put == has:
        return "set so by cputune itself", False
    for other in facts.elsewhere:
        if has is not None and has in [meaning[key] for meaning in _meanings(other.change)]:
            return f"set so by cputune itself, as {other.name}", False
    if put is None and facts.given_back:
        return "taken back by cputune; from its next start on, or cputune apply", False
    if put is None:
        return "restarted since" if facts.restarted else "not put into force since it started, or was saved", True
    remembered, _ = wish(facts.remembered, comparable(facts.live), facts.domain, facts.version)
    if has is not None and remembered[key] == has:
        return f"{facts.domain.runtime} put back what it remembers", True
    for held in facts.held:
        if has is not None and put != has == _rounded(facts, held.grain)[key]:
            return f"systemd rounded it, as it keeps it for {held.unit}", True
        if has is not None and held.state[key] == has:
            return f"systemd put back what it holds for {held.unit}", True
    if has == KNOB[key].default:
        return f"{SOMEBODY} put back the kernel's default", True
    return f"{SOMEBODY} changed it", True


def _meanings(change: Change) -> list[Change]:
    """Return what a change can mean for a domain with another name: shares may be converted in another way there."""
    if change.shares is None:
        return [change]
    return [change, *(change.replace(weight=nearest_weight(change.shares, scale)) for scale in Scale)]


def _rounded(facts: Facts, grain: int) -> Change:
    """Return what cputune put into force, with the quota that systemd makes of it with the period that is in force."""
    put, period = facts.applied or Change(), facts.live.period
    return put.replace(quota=kept(put.quota, period, grain)) if isinstance(put.quota, int) and period else put


def comparable(state: CpuTune) -> CpuTune:
    """Return a state of a cgroup, with the largest quota for no limit: libvirt and podman write it so."""
    return state.replace(quota=UNLIMITED) if state.quota == MAX_QUOTA else state


def wish(change: Change, live: CpuTune, domain: Domain, version: int) -> tuple[CpuTune, str | None]:
    """Return the values that a change means for a domain, and why it cannot be put into force, if so.

    Knobs that the change does not name have no value.
    """
    if change == _NOTHING:
        return _NO_STATE, None
    if change.idle and live.idle:
        change = change.replace(shares=None, weight=None)  # an idle group has none
    if live.idle and change.idle is None and (change.shares or change.weight):
        change = change.replace(idle=False)  # to have a weight is not to be idle
    if change.quota == MAX_QUOTA:
        change = change.replace(quota=UNLIMITED)
    awake = live.replace(idle=False) if change.idle is False else live
    try:
        goal = goal_of(awake, Request(change.replace(idle=None)), version, domain.scale, None, CpuTune.KEYS)
    except CpuTuneError as error:
        return CpuTune(idle=change.idle), error.message
    named = with_pair(touched(Request(change)), SHARES_AND_WEIGHT)
    return goal.replace(idle=change.idle).only(named), None


def text(difference: Difference) -> str:
    """One difference in words."""
    knob = KNOB.get(difference.key)
    if knob is None:
        return f"{difference.key}: {difference.cause}"
    parts = (("config", difference.saved), ("applied", difference.applied), ("live", difference.live))
    values = ", ".join(f"{name} {knob.format(value)}" for name, value in parts if value is not None)
    return f"{difference.key}: {values} ({difference.cause})"


def differences(what: str, wanted: Change, state: CpuTune, domain: Domain, version: int) -> list[str]:
    """Return the knobs that somebody wants (`what`: "docker", "config") and that are not in force, in words."""
    live = comparable(state)
    goal, problem = wish(wanted, live, domain, version)
    if problem:
        return [f"{what}: {problem}"]
    if goal == _NO_STATE:
        return []
    if _period_means_nothing(goal, live):
        goal = goal.replace(period=None)
    return [
        f"{key}: {what} {KNOB[key].format(value)}, live {KNOB[key].format(live[key])}"
        for key, value in goal.named().items()
        if value != live[key]
    ]


def _period_means_nothing(wanted: CpuTune, live: CpuTune) -> bool:
    """Return whether there is no limit and none is wanted: then the period has no effect, and systemd resets it."""
    return live.quota is UNLIMITED and wanted.quota in (UNLIMITED, None)
