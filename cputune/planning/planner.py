"""What is wanted of some domains -> the tasks of one transaction. Reads their state; decides by pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cputune.core.errors import NoSuchDomain, Unsupported, UsageError, WrongState
from cputune.core.goals import goal_of, merged, refuse_not_running, touched
from cputune.core.knobs import BANDWIDTH, DEFAULT_PERIOD, KNOB, WEIGHT
from cputune.core.model import Change, CpuTune, Domain, KnobCgroup, Request
from cputune.host.cgroup.bandwidth import limit_of
from cputune.host.cgroup.cgroups import Limits
from cputune.host.cgroup.plan import writes
from cputune.host.cgroup.sequence import in_order
from cputune.host.cgroup.support import require, support
from cputune.host.systemd import Properties, Unit, Unreachable, differs, enables, rounding, unit_of, wanted
from cputune.planning.plan import CgroupChange, Job, Plan, PlanBuilder
from cputune.transaction.applied import AppliedRecord
from cputune.transaction.tasks import CgroupTask, Record, Save, Tell

if TYPE_CHECKING:
    from cputune.config.store import Store
    from cputune.transaction.context import Context
    from cputune.transaction.tasks import Task


_WHOLE_PERCENT = 10_000
"""In microseconds per second: what every systemd keeps exactly, so that it need not be asked."""


class Planner:
    """Plans one transaction. `store` is called only where a configuration is concerned, since it loads yaml."""

    def __init__(self, context: Context, *, native: bool = False, tell: bool = True) -> None:
        self.context = context
        self.cgroups = context.cgroups
        self.native = native
        self.tell = tell
        self.reached = Limits(self.cgroups)
        """The limits that groups planned so far will have: what comes after them must fit."""
        self.planned: set[str] = set()
        """The cgroups that a task has been planned for."""

    def plan(self, jobs: list[Job]) -> Plan:
        """The plan. Raises CpuTuneError where it cannot be: nothing has been touched then."""
        drafts = [PlanBuilder(job) for job in jobs]
        before = [self._states(draft.domain) if self.native else {} for draft in drafts]
        places = [place for draft in drafts for place in self._live(draft)]
        self._refuse_two_wishes(places)
        tunes = [tune for place in in_order(self.cgroups, places) for tune in self._place(place)]
        for draft, states in zip(drafts, before, strict=True):
            if draft.live:
                self._record(draft)
            if draft.config:
                self._config(draft)
            if self.native:
                self._native(draft, states)
            if not draft.tasks():
                now = "in force" if draft.live else "saved"
                draft.note(f"nothing to do: this is {now} already")
        rest: tuple[Task, ...] = (
            *(task for draft in drafts for task in draft.records),
            *(task for draft in drafts for task in draft.saves),
            *(task for draft in drafts for task in draft.natives),
        )
        return Plan(tuple(draft.outcome() for draft in drafts), (*tunes, *rest))

    def _refuse_two_wishes(self, places: list[CgroupChange]) -> None:
        """Raise UsageError where one cgroup, by two names, is to have two values."""
        known: dict[str, CgroupChange] = {}
        for place in places:
            other = known.setdefault(place.cgroup, place)
            if other.goal != place.goal:
                names = f"{other.draft.domain.qualified} and {place.draft.domain.qualified}"
                raise UsageError(
                    f"{names} are one cgroup, {place.cgroup}, and are to have different values",
                    "name it once",
                )

    def _states(self, domain: Domain) -> dict[str, CpuTune]:
        return {seat.cgroup: self.cgroups.read_if_used(seat.cgroup) for seat in domain.seats()}

    def _native(self, draft: PlanBuilder, before: dict[str, CpuTune]) -> None:
        """Plan what the runtime is to remember: after all else, so that it is told what the kernel took."""
        from cputune.transaction.native import planned

        goals = {tune.cgroup: tune.goal for tune in draft.tunes}
        native = planned(self.context, draft.request, draft.domain, before, {**before, **goals}, draft.saved)
        if native:
            draft.natives.append(native)
            if native.before is not None and native.orders.after is not None:
                draft.move("native", native.before, native.orders.after)

    def _live(self, draft: PlanBuilder) -> list[CgroupChange]:
        """The cgroups of a domain that are to change, the outer one first."""
        domain, request = draft.domain, draft.request
        if self.native and domain.running and not draft.live:
            raise UsageError(
                f"--native: {domain.qualified} runs, and its runtime's own command changes it at once",
                f"say so: cputune set {domain.qualified} ... --live --config --native",
            )
        if not draft.live:
            return []
        refuse_not_running(domain)
        for key in sorted(request.zeros):
            draft.note(f"{KNOB[key].option} 0 means no value, and live changes nothing")
        draft.applied = self.context.state.applied(domain)
        draft.kept = kept = self._same_cgroup(domain, draft.applied)
        keys = frozenset(touched(request))
        states = {seat.cgroup: self._state(draft, seat, keys & set(seat.carries)) for seat in domain.seats()}
        now = draft.now = domain.state(states)
        goal = goal_of(now, request, self.cgroups.hierarchy.version, domain.scale, kept.weight, Change.KEYS)
        draft.move("live", now, goal, request.change.shares)
        places = []
        for seat in domain.seats():
            own = keys & set(seat.carries)
            groups = [group for group in (BANDWIDTH, WEIGHT) if own & set(group)]
            keys_of_groups = [key for group in groups for key in group]
            places.append(
                CgroupChange(
                    draft, seat, own, states[seat.cgroup], states[seat.cgroup].replace_from(goal, keys_of_groups)
                )
            )
        return [place for place in places if place.keys]

    def _record(self, draft: PlanBuilder) -> None:
        """Remember what is put into force, and say what else is to be known."""
        domain, request = draft.domain, draft.request
        if request.change.shares is not None and (conversion := domain.details.conversion):
            draft.note(f"shares are converted {conversion}")
        if draft.forget:
            # With nothing in it, it says that cputune was here: what a pattern has for it waits for its next start.
            left = AppliedRecord(Change(), draft.kept.inode) if domain.limit else None
            draft.records += [Record(domain, left, draft.applied)] if draft.applied else []
        elif draft.tunes:
            draft.records.append(Record(domain, self._to_record(draft, draft.kept), draft.applied))

    def _state(self, draft: PlanBuilder, seat: KnobCgroup, keys: frozenset[str]) -> CpuTune:
        """What a cgroup has that is to get `keys`; the defaults where systemd will enable the controller for that."""
        now = self.cgroups.read_if_used(seat.cgroup)
        if keys and self._enabling(seat.cgroup, now):
            return self.cgroups.default()
        require(self.cgroups, seat.cgroup, now, keys, draft.domain.qualified)
        return now

    def _enabling(self, cgroup: str, now: CpuTune) -> bool:
        unit = self._unit(cgroup)
        return unit is not None and not support(now).weight and enables(unit, self.cgroups.hierarchy.version)

    def _place(self, place: CgroupChange) -> list[CgroupTask]:
        """Plan one cgroup: systemd first where it is a unit's own, then the files."""
        draft, seat, keys, now, goal = place
        cgroups, version = self.cgroups, self.cgroups.hierarchy.version
        unit = self._unit(seat.cgroup)
        enabling = unit is not None and self._enabling(seat.cgroup, cgroups.read_if_used(seat.cgroup))
        plan = writes(
            cgroups.backend, cgroups.directory(seat.cgroup), now, goal, cgroups.bounds(seat.cgroup, self.reached)
        )
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
        inode = cgroups.inode(seat.cgroup)
        # Of a domain with two names the first writes, and the second finds it written.
        steps = () if seat.cgroup in self.planned else tuple(plan)
        tune = CgroupTask(draft.domain.qualified, seat.cgroup, now, goal, steps, tell, inode)
        found = [tune] if tell or plan else []
        draft.tunes += found
        self.planned.update(one.cgroup for one in found)
        if keys & {"quota", "period"}:
            # Of two levels that get the same, the outer one is the domain's, as far as others are concerned.
            inner = draft.domain.mirrored and seat.cgroup == draft.domain.limit
            silent = PlanBuilder(Job(draft.domain, draft.request))
            self._note_limit(silent if inner else draft, seat.cgroup, goal, told=tell is not None)
        return found

    def _tell(self, draft: PlanBuilder, unit: Unit, cgroup: str, goal: CpuTune, keys: frozenset[str]) -> Tell | None:
        """What to give systemd; None where it holds it already, or cannot be told (then a note says what follows)."""
        properties = wanted(self.cgroups.hierarchy.version, goal, keys)
        if not properties:
            return None
        try:
            held = self.context.systemd.get(unit, properties, cgroup)
        except (Unreachable, NoSuchDomain) as error:
            draft.note(f"{error.message}; the kernel has the value until systemd next writes its own")
            return None
        if held and not self.native:
            self._note_hiding(draft, unit, properties)
        return Tell(unit, properties, held) if held and differs(held, properties) else None

    def _note_hiding(self, draft: PlanBuilder, unit: Unit, properties: Properties) -> None:
        """A drop-in of `systemctl set-property` hides what we tell systemd, from its next reload on."""
        from cputune.runtimes.native.units import hiding

        files = hiding(self.cgroups, unit, properties)
        if files:
            draft.note(
                f"systemd's next reload puts back what {', '.join(files)} says; "
                f"to change that too: cputune set {draft.domain.qualified} ... --live --config --native"
            )

    def _unit(self, cgroup: str) -> Unit | None:
        return unit_of(cgroup) if self.tell and self.context.systemd.booted() else None

    def _note_limit(self, draft: PlanBuilder, cgroup: str, goal: CpuTune, *, told: bool) -> None:
        """Say where a limit will not be what it seems, and keep it in mind for the domains that come next."""
        unit = self._unit(cgroup) if told and rounding(goal, _WHOLE_PERCENT) else None
        nearest = rounding(goal, self.context.systemd.grain(unit)) if unit else None
        if nearest:
            draft.note(
                f"systemd keeps a quota as a rounded percentage: its next reload makes this one {nearest[0]}; "
                f"{nearest[0]} and {nearest[1]} would stay as they are"
            )
        limit = limit_of(cgroup, goal)
        self.reached[cgroup] = limit
        above = self.cgroups.tightest_limit(cgroup, self.reached) if limit else None
        if limit and above and above.cpus < limit.cpus:
            draft.note(
                f"{limit.cpus:g} CPUs has no effect beyond {above.cpus:g}, the limit of its ancestor {above.cgroup}"
            )

    def _to_record(self, draft: PlanBuilder, kept: AppliedRecord) -> AppliedRecord:
        request = draft.request
        period = self._live_period(draft.domain, request)
        if request.microcpus is not None:
            kept = kept._replace(change=kept.change.replace(period=period))
        change = merged(kept.change, request._replace(zeros=frozenset()), period)
        return AppliedRecord(
            change, kept.inode, self._weight_to_remember(draft.now, request, kept), self._found(draft, kept)
        )

    def _found(self, draft: PlanBuilder, kept: AppliedRecord) -> Change:
        """What was there before cputune set anything; quota and period are one thing."""
        keys = touched(draft.request)
        keys |= {"quota", "period"} if keys & {"quota", "period"} else set()
        keys |= {"idle", self.cgroups.backend.WEIGHT_KEY} if keys & set(WEIGHT) else set()
        now = draft.now.only(keys).named()
        set_by_them = draft.theirs | ({"quota", "period"} if draft.theirs & {"quota", "period"} else set())
        theirs = {key: value for key, value in now.items() if key in set_by_them}
        return Change(**{**now, **kept.found.named(), **theirs})

    def _same_cgroup(self, domain: Domain, applied: AppliedRecord | None) -> AppliedRecord:
        """What was put into force in the cgroup that is there now; nothing where it was made anew since."""
        inode = self.cgroups.host.inode(self.cgroups.directory(domain.limit)) if domain.limit else None
        return applied if applied and applied.inode == inode else AppliedRecord(Change(), inode)

    @staticmethod
    def _weight_to_remember(now: CpuTune, request: Request, kept: AppliedRecord) -> int | None:
        """The shares or weight from before the group became idle, as long as it is."""
        if request.change.idle and not now.idle:
            return now.shares if now.shares is not None else now.weight
        return kept.weight if now.idle and request.change.idle is not False else None

    def _config(self, draft: PlanBuilder) -> None:
        domain = draft.domain
        if draft.forget:
            own = self.store().load(domain)
            if own.text:
                draft.saves.append(Save(domain.qualified, own.path, None, own.text))
                draft.move("config", own.change, Change())
            if pattern := self.store().pattern_of(domain):
                draft.note(f"from its next start on it gets what is saved for {domain.runtime}:{pattern}")
            return
        if not domain.persistent:
            raise WrongState(
                f"cannot change persistent config of a transient domain: {domain.qualified}",
                f"change it while it runs: cputune set {domain.qualified} ... --live",
            )
        from cputune.config.schema import check, edited

        saved = self.store().load(domain)
        pattern = None if saved.text else self.store().pattern_of(domain)
        if pattern:
            # It counts no more once the domain has a file of its own, and what is not named does not change.
            theirs = self.store().load(domain._replace(name=pattern)).change
            saved = saved._replace(change=theirs)
            draft.note(f"saved on its own from now on, beginning with what {domain.runtime}:{pattern} has")
        change = merged(saved.change, draft.request, self._live_period(domain, draft.request))
        check(change, domain.qualified)
        draft.saved = change
        if pattern and not change.named():
            raise WrongState(
                f"what is saved for {domain.qualified} is {domain.runtime}:{pattern}'s, and can be removed there alone",
                f"cputune forget '{domain.runtime}:{pattern}'",
            )
        if change != saved.change:
            text = edited(saved, domain.qualified, change) if change.named() else None
            draft.saves.append(Save(domain.qualified, saved.path, text, saved.text or None))
            draft.move("config", saved.change, change)

    def store(self) -> Store:
        """The saved configurations."""
        from cputune.config.store import Store

        return Store(self.cgroups.host)

    def _live_period(self, domain: Domain, request: Request) -> int:
        """The period for --cpus where nothing names one; microseconds."""
        state = self.cgroups.read_if_used(domain.limit) if domain.limit and request.microcpus is not None else CpuTune()
        return state.period or DEFAULT_PERIOD
