"""A request for some domains -> the tasks of one transaction. Reads the domains' state; decides by pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from cputune.cgroup.order import Limit, ratio
from cputune.cgroup.plan import writes
from cputune.cgroup.support import require, support
from cputune.errors import NoSuchDomain, Unsupported, UsageError, WrongState
from cputune.goal import Where, goal_of, merged, refuse_not_running, targets, touched
from cputune.model import (
    BANDWIDTH,
    DEFAULT_PERIOD,
    KNOB,
    UNLIMITED,
    WEIGHT,
    Change,
    CpuTune,
    Domain,
    Request,
    Seat,
    Source,
)
from cputune.state import Applied
from cputune.systemd import Properties, Unit, Unreachable, differs, enables, rounding, unit_of, wanted
from cputune.transaction import Record, Save, Task, Tell, Tools, Tune

if TYPE_CHECKING:
    from cputune.cgroup import Cgroups
    from cputune.store import Store


_WHOLE_PERCENT = 10_000
"""In microseconds per second: what every systemd keeps exactly, so that it need not be asked."""


class Moved(NamedTuple):
    """One knob before and after: in the terms of the kernel (live), as it is saved (config), or remembered (native)."""

    source: Source | Literal["native"]
    key: str
    before: object
    after: object
    shares: int | None = None
    """What was given, where the kernel counts in weight."""


class Outcome(NamedTuple):
    """What a change did, or with --dry-run would do, to one domain."""

    domain: Domain
    moved: tuple[Moved, ...]
    tasks: tuple[Task, ...]
    notes: tuple[str, ...]
    natives: tuple[Task, ...] = ()
    """What the runtime is told: done when the tasks of all domains are."""


class Draft:
    """An outcome in the making."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.moved: list[Moved] = []
        self.tasks: list[Task] = []
        self.natives: list[Task] = []
        self.saved = Change()
        """The configuration afterwards, where it is concerned."""
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Something to tell the user."""
        self.notes.append(f"{self.domain.qualified}: {text}")

    def move(
        self,
        source: Source | Literal["native"],
        before: tuple[object, ...],
        after: tuple[object, ...],
        shares: int | None = None,
    ) -> None:
        """Take down the knobs that differ between two states, two configurations or two memories."""
        for key, old, new in zip(Change._fields, before, after, strict=True):
            if old != new and (source != "live" or new is not None):
                self.moved.append(Moved(source, key, old, new, shares if key == "weight" else None))

    def outcome(self) -> Outcome:
        """The finished outcome."""
        return Outcome(self.domain, tuple(self.moved), tuple(self.tasks), tuple(self.notes), tuple(self.natives))


class Planner:
    """Plans one request. `store` is called only where a configuration is concerned, since it loads yaml."""

    def __init__(self, tools: Tools, request: Request, where: Where, *, native: bool = False) -> None:
        self.tools = tools
        self.site = tools.site
        self.request = request
        self.where = where
        self.native = native
        self.reached: dict[str, Limit | None] = {}
        """The limits that groups planned so far will have: what comes after them must fit."""

    def plan(self, domain: Domain) -> Outcome:
        """The outcome for one domain. Raises CpuTuneError where it cannot be."""
        draft = Draft(domain)
        live, config = targets(self.where, domain)
        if self.native and domain.running and not live:
            raise UsageError(
                f"--native: {domain.qualified} runs, and its runtime's own command changes it at once",
                f"say so: cputune set {domain.qualified} ... --live --config --native",
            )
        before = {seat.cgroup: self.site.read_if_used(seat.cgroup) for seat in domain.seats()} if self.native else {}
        if live:
            refuse_not_running(domain)
            self._live(draft)
        if config:
            self._config(draft)
        if self.native:
            self._native(draft, before)
        if not draft.tasks and not draft.natives:
            draft.note("nothing to do: this is in force already" if live else "nothing to do: this is saved already")
        return draft.outcome()

    def _native(self, draft: Draft, before: dict[str, CpuTune]) -> None:
        """Plan what the runtime is to remember: after all else, so that it is told what the kernel took."""
        from cputune.native import planned

        goals = {task.cgroup: task.goal for task in draft.tasks if isinstance(task, Tune)}
        native = planned(self.tools, self.request, draft.domain, before, {**before, **goals}, draft.saved)
        if native:
            draft.natives.append(native)
            if native.before.change is not None and native.orders.after is not None:
                draft.move("native", native.before.change, native.orders.after)

    def _live(self, draft: Draft) -> None:
        domain = draft.domain
        for key in sorted(self.request.zeros):
            draft.note(f"{KNOB[key].option} 0 means no value, and live changes nothing")
        applied = self.tools.state.applied(domain)
        kept = self._same_cgroup(domain, applied)
        keys = frozenset(touched(self.request))
        states = {seat.cgroup: self._state(draft, seat, keys & set(seat.carries)) for seat in domain.seats()}
        now = domain.state(states)
        goal = goal_of(now, self.request, self.site.hierarchy.version, domain.scale, kept.weight, Change._fields)
        for seat in self._seats_in_order(domain, states, goal):
            self._seat(draft, seat, states[seat.cgroup], goal)
        draft.move("live", now, goal, self.request.change.shares)
        if self.request.change.shares is not None and (guess := dict(domain.facts).get("conversion")):
            draft.note(f"shares are converted {guess}")
        if draft.tasks:
            draft.tasks.append(Record(domain, self._to_record(domain, kept), applied))

    def _state(self, draft: Draft, seat: Seat, keys: frozenset[str]) -> CpuTune:
        """What a cgroup has that is to get `keys`; the defaults where systemd will enable the controller for that."""
        now = self.site.read_if_used(seat.cgroup)
        if keys and self._enabling(seat.cgroup, now):
            return self.site.default()
        require(self.site, seat.cgroup, now, keys, draft.domain.qualified)
        return now

    def _enabling(self, cgroup: str, now: CpuTune) -> bool:
        unit = self._unit(cgroup)
        return unit is not None and not support(now).weight and enables(unit, self.site.hierarchy.version)

    def _seats_in_order(self, domain: Domain, states: dict[str, CpuTune], goal: CpuTune) -> list[Seat]:
        """v1 allows no child above its parent at any moment: where the inner cgroup shrinks, it goes first."""
        seats = list(domain.seats())
        if domain.mirrored and domain.limit and _ratio(states[domain.limit]) > _ratio(goal):
            seats.reverse()
        return seats

    def _seat(self, draft: Draft, seat: Seat, now: CpuTune, wanted_state: CpuTune) -> None:
        """Plan one cgroup of the domain: systemd first where it is a unit's own, then the files.

        Of bandwidth and weight it gets the whole of what any knob of it was named: both levels of crun's are to agree.
        """
        keys = frozenset(touched(self.request)) & set(seat.carries)
        if not keys:
            return
        site, version = self.site, self.site.hierarchy.version
        unit = self._unit(seat.cgroup)
        enabling = self._enabling(seat.cgroup, site.read_if_used(seat.cgroup))
        groups = [group for group in (BANDWIDTH, WEIGHT) if keys & set(group)]
        goal = now._replace(**{key: getattr(wanted_state, key) for group in groups for key in group})
        plan = writes(site.backend, site.directory(seat.cgroup), now, goal, site.bounds(seat.cgroup, self.reached))
        tell = self._tell(draft, unit, seat.cgroup, goal, keys) if unit else None
        if plan and enabling and not wanted(version, goal, keys):
            raise Unsupported(
                f"the cpu controller is not enabled for {seat.cgroup}, and systemd has no property for this that would",
                f"give it a weight first: cputune set {draft.domain.qualified} --shares 512 --live",
            )
        if plan and enabling and not tell:
            raise Unsupported(
                f"the cpu controller is not enabled for {seat.cgroup}, and systemd cannot be told to enable it",
                "systemctl start dbus.socket",
            )
        if tell or plan:
            draft.tasks.append(Tune(seat.cgroup, now, goal, tuple(plan), tell))
        if keys & {"quota", "period"}:
            # Of two levels that get the same, the outer one is the domain's, as far as others are concerned.
            inner = draft.domain.mirrored and seat.cgroup == draft.domain.limit
            self._note_limit(draft if not inner else Draft(draft.domain), seat.cgroup, goal, told=tell is not None)

    def _tell(self, draft: Draft, unit: Unit, cgroup: str, goal: CpuTune, keys: frozenset[str]) -> Tell | None:
        """What to give systemd; None where it holds it already, or cannot be told (then a note says what follows)."""
        properties = wanted(self.site.hierarchy.version, goal, keys)
        if not properties:
            return None
        try:
            held = self.tools.systemd.get(unit, properties, cgroup)
        except (Unreachable, NoSuchDomain) as error:
            draft.note(f"{error.message}; the kernel has the value until systemd next writes its own")
            return None
        if held and not self.native:
            self._note_hiding(draft, unit, properties)
        return Tell(unit, properties, held) if held and differs(held, properties) else None

    def _note_hiding(self, draft: Draft, unit: Unit, properties: Properties) -> None:
        """A drop-in of `systemctl set-property` hides what we tell systemd, from its next reload on."""
        from cputune.memory.units import hiding

        files = hiding(self.site, unit, properties)
        if files:
            draft.note(
                f"systemd's next reload puts back what {', '.join(files)} says; "
                f"to change that too: cputune set {draft.domain.qualified} ... --live --config --native"
            )

    def _unit(self, cgroup: str) -> Unit | None:
        return unit_of(cgroup) if self.tools.systemd.booted() else None

    def _note_limit(self, draft: Draft, cgroup: str, goal: CpuTune, *, told: bool) -> None:
        """Say where a limit will not be what it seems, and keep it in mind for the domains that come next."""
        unit = self._unit(cgroup) if told and rounding(goal, _WHOLE_PERCENT) else None
        nearest = rounding(goal, self.tools.systemd.grain(unit)) if unit else None
        if nearest:
            draft.note(
                f"systemd keeps a quota as a rounded percentage: its next reload makes this one {nearest[0]}; "
                f"{nearest[0]} and {nearest[1]} would stay as they are"
            )
        limit = Limit(cgroup, goal.quota, goal.period) if isinstance(goal.quota, int) and goal.period else None
        self.reached[cgroup] = limit
        above = self.site.tightest_limit(cgroup, self.reached) if limit else None
        if limit and above and above.cpus < limit.cpus:
            draft.note(
                f"{limit.cpus:g} CPUs has no effect beyond {above.cpus:g}, the limit of its ancestor {above.cgroup}"
            )

    def _to_record(self, domain: Domain, kept: Applied) -> Applied:
        period = self._live_period(domain)
        if self.request.microcpus is not None:
            kept = kept._replace(change=kept.change._replace(period=period))
        change = merged(kept.change, self.request._replace(zeros=frozenset()), period)
        return Applied(change, kept.inode, self._weight_to_remember(domain, kept))

    def _same_cgroup(self, domain: Domain, applied: Applied | None) -> Applied:
        """What was put into force in the cgroup that is there now; nothing where it was made anew since."""
        inode = self.site.host.inode(self.site.directory(domain.limit)) if domain.limit else None
        return applied if applied and applied.inode == inode else Applied(Change(), inode)

    def _weight_to_remember(self, domain: Domain, kept: Applied) -> int | None:
        """The shares or weight from before the group became idle, as long as it is."""
        now = self.site.read_if_used(domain.weight) if domain.weight else CpuTune()
        if self.request.change.idle and not now.idle:
            return now.shares if now.shares is not None else now.weight
        return kept.weight if now.idle and self.request.change.idle is not False else None

    def _config(self, draft: Draft) -> None:
        domain = draft.domain
        if not domain.persistent:
            raise WrongState(
                f"cannot change persistent config of a transient domain: {domain.qualified}",
                f"change it while it runs: cputune set {domain.qualified} ... --live",
            )
        from cputune.store import check, edited

        saved = self.store().load(domain)
        change = merged(saved.change, self.request, self._live_period(domain))
        check(change, domain.qualified)
        draft.saved = change
        if change != saved.change:
            text = edited(saved, domain.qualified, change) if change.named() else None
            draft.tasks.append(Save(saved.path, text, saved.text or None))
            draft.move("config", saved.change, change)

    def store(self) -> Store:
        """The saved configurations."""
        from cputune.store import Store

        return Store(self.site.host)

    def _live_period(self, domain: Domain) -> int:
        """The period for --cpus where nothing names one; microseconds."""
        state = (
            self.site.read_if_used(domain.limit) if domain.limit and self.request.microcpus is not None else CpuTune()
        )
        return state.period or DEFAULT_PERIOD


def plan(tools: Tools, domains: list[Domain], request: Request, where: Where, *, native: bool = False) -> list[Outcome]:
    """One outcome a domain, in the order in which they are to be carried out.

    Raises CpuTuneError where it cannot be: nothing has been touched then.
    """
    return list(map(Planner(tools, request, where, native=native).plan, _in_order(tools.site, domains, request, where)))


def _in_order(site: Cgroups, domains: list[Domain], request: Request, where: Where) -> list[Domain]:
    """v1 allows no child above its parent at any moment: first what shrinks, from the inside out, then what grows.

    Then no group is ever above an ancestor that still has to grow, or below a descendant that still has to shrink.
    """
    limits = [domain.limit for domain in domains if domain.limit]
    nested = any(inner.startswith(f"{outer}/") for inner in limits for outer in limits)
    if not nested or where == "config" or site.hierarchy.version == 2:
        return domains

    def turn(domain: Domain) -> tuple[bool, int]:
        if domain.limit is None:
            return True, 0
        now = site.read_if_used(domain.limit)
        goal = goal_of(now, request, 1, domain.scale, None, BANDWIDTH)
        # A group without a limit of its own has its ancestor's.
        above = None if isinstance(now.quota, int) else site.bounds(domain.limit).ancestor
        has = ratio(above.quota, above.period) if above else _ratio(now)
        grows = _ratio(goal) >= has
        depth = domain.limit.count("/")
        return grows, depth if grows else -depth

    return sorted(domains, key=turn)


def _ratio(state: CpuTune) -> int:
    return ratio(state.quota or UNLIMITED, state.period or DEFAULT_PERIOD)
