"""Where what is in force is not what was saved, or not what cputune put there, and who has likely done that. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cputune.core.errors import CpuTuneError
from cputune.core.goals import goal_of
from cputune.core.knobs import MAX_QUOTA, UNLIMITED, Value
from cputune.core.model import Change, CpuTune, Domain, Request, Scale
from cputune.core.units import nearest_weight
from cputune.host.systemd import kept

if TYPE_CHECKING:
    from cputune.drift.records import OtherName

SOMEBODY = "somebody else"
"""How a cause begins that no fact tells of."""


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
    """One knob that has not got what is saved, or what cputune put there; in the terms of the kernel."""

    key: str
    saved: Value
    applied: Value
    live: Value
    cause: str
    drift: bool
    """Whether somebody else than cputune has made it so."""


def explain(facts: Facts) -> list[Difference]:
    """All differences, each with its likely cause."""
    live = comparable(facts.live)
    saved, problem = wish(facts.saved, live, facts.domain, facts.version)
    applied, _ = wish(facts.applied or Change(), live, facts.domain, facts.version)
    found = [Difference("config", None, None, None, problem, True)] if problem else []
    for key in CpuTune.KEYS:
        wanted, put, has = (state[key] for state in (saved, applied, live))
        differs = any(value is not None and value != has for value in (wanted, put))
        if differs and not _moot(key, saved if put is None else applied, live):
            found.append(Difference(key, wanted, put, has, *_cause(facts, key, put, has)))
    return found


def _cause(facts: Facts, key: str, put: Value, has: Value) -> tuple[str, bool]:
    """Who has likely made a knob what it is, and whether that is drift."""
    if put is not None and put == has:
        return "set so by cputune itself", False
    for other in facts.elsewhere:
        if _means(other.change, key, has):
            return f"set so by cputune itself, as {other.name}", False
    if put is None and facts.given_back:
        return "taken back by cputune; from its next start on, or cputune apply", False
    if put is None:
        return "restarted since" if facts.restarted else "not put into force since it started, or was saved", True
    remembered, _ = wish(facts.remembered, comparable(facts.live), facts.domain, facts.version)
    if has is not None and remembered[key] == has:
        return f"{facts.domain.runtime} put back what it remembers", True
    for held in facts.held:
        if key == "quota" and _is_rounded(facts, put, has, held):
            return f"systemd rounded it, as it keeps it for {held.unit}", True
        if has is not None and held.state[key] == has:
            return f"systemd put back what it holds for {held.unit}", True
    if has is UNLIMITED or _DEFAULTS.get(key) == has:
        return f"{SOMEBODY} put back the kernel's default", True
    return f"{SOMEBODY} changed it", True


_DEFAULTS = {"shares": 1024, "weight": 100, "period": 100000, "burst": 0, "idle": False}


def _means(change: Change, key: str, has: Value) -> bool:
    """Whether this may have made the knob what it is: under another name, shares may be converted in another way."""
    if key == "weight" and change.shares is not None:
        return has in [nearest_weight(change.shares, scale) for scale in Scale]
    return has is not None and change[key] == has


def _is_rounded(facts: Facts, put: Value, has: Value, held: Held) -> bool:
    period = facts.live.period
    if not isinstance(put, int) or not isinstance(has, int) or not period:
        return False
    return has == kept(put, period, held.grain) != put


def comparable(state: CpuTune) -> CpuTune:
    """A state of a cgroup, with the largest quota for no limit: libvirt and podman write it so."""
    return state.replace(quota=UNLIMITED) if state.quota == MAX_QUOTA else state


def wish(change: Change, live: CpuTune, domain: Domain, version: int) -> tuple[CpuTune, str | None]:
    """What a change means for a domain, None for the knobs that it does not name; and what is wrong with it, if so."""
    if change.idle and live.idle:
        change = change.replace(shares=None, weight=None)  # an idle group has none
    if live.idle and change.idle is None and (change.shares or change.weight):
        change = change.replace(idle=False)  # to have a weight is not to be idle
    if change.quota == MAX_QUOTA:
        change = change.replace(quota=UNLIMITED)
    if not change.named():
        return CpuTune(), None
    weighed = live.replace(idle=False) if change.idle is False else live
    try:
        goal = goal_of(weighed, Request(change.replace(idle=None)), version, domain.scale, None, Change.KEYS)
    except CpuTuneError as error:
        return CpuTune(idle=change.idle), error.message
    named = set(change.named()) | ({"shares", "weight"} if change.shares or change.weight else set())
    return goal.replace(idle=change.idle).only(named), None


def text(difference: Difference) -> str:
    """One difference in words."""
    if difference.key == "config":
        return f"config: {difference.cause}"
    parts = (("config", difference.saved), ("applied", difference.applied), ("live", difference.live))
    values = ", ".join(f"{name} {_word(value)}" for name, value in parts if value is not None)
    return f"{difference.key}: {values} ({difference.cause})"


def differences(what: str, wanted: Change, state: CpuTune, domain: Domain, version: int) -> list[str]:
    """The knobs of somebody's wishes that are not in force, in words."""
    live = comparable(state)
    goal, problem = wish(wanted, live, domain, version)
    if problem:
        return [f"{what}: {problem}"]
    return [
        f"{key}: {what} {_word(value)}, live {_word(live[key])}"
        for key, value in goal.named().items()
        if value != live[key] and not _moot(key, goal, live)
    ]


def _moot(key: str, wanted: CpuTune, live: CpuTune) -> bool:
    """Without a limit the period means nothing, and systemd resets it."""
    return key == "period" and live.quota is UNLIMITED and wanted.quota in (UNLIMITED, None)


def _word(value: object) -> str:
    return "unlimited" if value is UNLIMITED else str(value).lower()
