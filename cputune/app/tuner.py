"""The core: what a domain has, and changing it. Returns data; neither prints nor exits.

A change goes: find the domains, lock them, put back what a killed cputune left in them, resolve live / config /
current, read every cgroup, compute its goal (`goal`), plan the tasks (`planner`), and carry them out as one
(`transaction`).
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from cputune.core.errors import Ambiguous, CpuTuneError, NoSuchDomain, WrongState
from cputune.core.goals import Where, saved_tune, source_of
from cputune.core.knobs import DEFAULT_SHARES, DEFAULT_WEIGHT, WEIGHT
from cputune.core.model import OCI_SCALES, Change, CpuTune, Domain, Request, Source
from cputune.core.units import nearest_weight, shares_of_weight
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.cgroup.support import require, support
from cputune.host.system import Host
from cputune.runtimes import lookup
from cputune.transaction.context import Context
from cputune.transaction.locks import LOCK_SECONDS, Busy, Keys, keys_of
from cputune.transaction.perform import perform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cputune.config.store import Store
    from cputune.planning.plan import Job, Plan
    from cputune.transaction.applied import AppliedRecord
    from cputune.transaction.history import Past


class SchedInfo(NamedTuple):
    """What `schedinfo` shows. `tune` has both shares and weight: the one in force, and what it stands for."""

    domain: Domain
    source: Source
    bandwidth: bool
    tune: CpuTune


class Tuner:
    """Everything a command can ask for, on one host."""

    def __init__(self, host: Host, say: Callable[[str], None] = lambda _: None, command: str = "") -> None:
        self.host = host
        self.cgroups = Cgroups(host)
        self.context = Context(self.cgroups, say, command)
        self.patience: float | None = None
        """How many seconds to wait for another cputune that works on the same domains; None: LOCK_SECONDS."""

    def find(self, name: str) -> Domain:
        """The domain. Raises NoSuchDomain, UsageError, Unsupported."""
        return lookup.find(self.cgroups, name)

    def store(self) -> Store:
        """The saved configurations; loads yaml."""
        from cputune.config.store import Store

        return Store(self.host)

    def schedinfo(self, name: str, where: Where = "current") -> SchedInfo:
        """What a domain has in force (live) or saved (config). Raises WrongState for live where it does not run."""
        domain = self.find(name)
        source = source_of(where, domain)
        if source == "config":
            return SchedInfo(domain, source, True, saved_tune(self.store().effective(domain).change, domain.scale))
        state = self.read(domain)
        return SchedInfo(domain, source, support(state).bandwidth, self.shown(domain, state))

    def shown(self, domain: Domain, state: CpuTune, remembered: Change | None = None) -> CpuTune:
        """A state with both shares and weight, in the numbers that whoever set them gave.

        `remembered` is what the runtime remembers, where that has been read already.
        """
        given = self.context.state.applied(domain)
        shares = [given.change.shares] if given else []
        if domain.scale in OCI_SCALES:
            remembered = self.remembered(domain) if remembered is None else remembered
            shares += [remembered.shares, DEFAULT_SHARES if state.weight == DEFAULT_WEIGHT else None]
        return shown(domain, state, shares)

    def remembered(self, domain: Domain) -> Change:
        """What the domain's runtime remembers, as far as files tell; nothing where they cannot be read."""
        from cputune.runtimes.native import memory

        module = memory.of(domain)
        try:
            return (module.read(self.cgroups, domain).change if module else None) or Change()
        except CpuTuneError:
            return Change()

    def read(self, domain: Domain) -> CpuTune:
        """What is in force, collected from the domain's cgroups. Raises Unsupported without even a weight."""
        state = domain.state({seat.cgroup: self.cgroups.read_if_used(seat.cgroup) for seat in domain.seats()})
        if domain.weight is not None and not support(state).weight:
            require(self.cgroups, domain.weight, state, frozenset(WEIGHT), domain.qualified)
        return state

    def change(
        self, jobs: list[Job], *, dry_run: bool = False, native: bool = False, enter: bool = True, tell: bool = True
    ) -> Plan:
        """Change domains, live or config or both, and with `native` what their runtimes remember, as one transaction.

        What should be known of it is said before anything is done. Without `enter` it does not get into the history;
        without `tell`, systemd is not told: until it is, it may write its own values at any time.
        Raises CpuTuneError with nothing changed.
        """
        from cputune.planning.planner import Planner

        jobs = list({job.domain.qualified: job for job in jobs}.values())
        if dry_run:
            self._mention_pending()
            return self.announced(Planner(self.context, native=native).plan(jobs))

        def keys(again: bool) -> Keys:
            if again:  # another cputune may have changed what there is
                jobs[:] = [job._replace(domain=self.find(job.domain.qualified)) for job in jobs]
            return keys_of(self.cgroups, [job.domain for job in jobs])

        with self.serialised(keys):
            plan = self.announced(Planner(self.context, native=native, tell=tell).plan(jobs))
            self.perform(plan, enter=enter)
        return plan

    def announced(self, plan: Plan) -> Plan:
        """The plan, when what should be known of it has been said."""
        for outcome in plan.outcomes:
            for note in outcome.notes:
                self.context.say(note)
        return plan

    def perform(self, plan: Plan, undoes: str = "", *, enter: bool = True) -> None:
        """Carry out a plan, with its domains locked. Raises CpuTuneError with nothing changed."""
        from cputune.transaction.history import Step, new_entry

        steps = [
            Step(outcome.domain.qualified, move.source, move.key, move.before, move.after)
            for outcome in plan.outcomes
            for move in outcome.moved
        ]
        names = [outcome.domain.qualified for outcome in plan.outcomes if outcome.tasks]
        perform(self.context, list(plan.tasks), new_entry(self.context, names, steps, undoes), enter=enter)

    @contextmanager
    def serialised(self, keys: Callable[[bool], Keys]) -> Iterator[None]:
        """Have what is locked for ourselves, with nothing half-done in it. `keys` is told whether it is asked again.

        What another cputune was killed over is put back first. Raises Busy where a living one does not end; NotPutBack
        where something is left in these domains.
        """
        from cputune.transaction.recovery import Stuck, in_the_way, recover

        stuck, wanted = Stuck(), keys(False)
        deadline = time.monotonic() + (LOCK_SECONDS if self.patience is None else self.patience)
        while True:
            with self.context.locks.hold(wanted, self.patience) as waited:
                before, wanted = wanted, keys(True) if waited else wanted
                if wanted == before and not in_the_way(self.context, wanted, stuck):
                    yield
                    return
            if time.monotonic() > deadline:
                raise Busy("another cputune is still putting back what was cut off in these domains", "cputune recover")
            stuck |= recover(self.context, seconds=1)

    def _mention_pending(self) -> None:
        """Say that what is there is not what a change will start from."""
        from cputune.transaction.recovery import seems_cut_off

        if seems_cut_off(self.context):
            self.context.say("a change was cut off, and will be put back first: cputune recover")

    def tidy(self) -> None:
        """Put back what was cut off, where we may; else say that it is there."""
        from cputune.transaction.recovery import pending, recover, seems_cut_off

        if not pending(self.context):
            return
        if os.access(self.host.state_dir, os.W_OK):
            for error in recover(self.context).values():
                self.context.say(error.message)
        elif seems_cut_off(self.context):
            self.context.say("a change was cut off, and waits to be put back: sudo cputune recover")

    def undo(self, name: str | None, *, force: bool = False, dry_run: bool = False) -> Plan:
        """Take back the last transaction, or the last one of a domain in that domain; with `force` whatever came since.

        Raises WrongState where somebody else has changed it since, or nothing is there; as `change`.
        """
        from cputune.app.undo import Undoing, latest, tasks_of
        from cputune.transaction.history import History
        from cputune.transaction.recovery import keys_of_tasks

        name = None if name is None else self.name_in_history(name)
        moot: set[str] = set()
        gone: list[str] = []
        if dry_run:
            self._mention_pending()
        while True:  # what went away by itself is behind us
            try:
                past = latest(self.context, name, frozenset(moot))
            except WrongState as error:
                if not gone:
                    raise
                raise WrongState("; ".join(gone), error.hint) from error
            tasks = tasks_of(past, name)
            undoing = Undoing(self.context, past, force=force)
            if dry_run:
                plan = undoing.plan(tasks)
            else:
                with self.serialised(lambda _, tasks=tasks: keys_of_tasks(self.context, tasks)):  # type: ignore[misc]
                    if latest(self.context, name, frozenset(moot)) != past:
                        continue  # another cputune was there before us
                    plan = undoing.plan(tasks)
                    self.perform(plan, undoes=past.entry.id)
                    History(self.context).give_up(past.entry.id, [*undoing.moot])
            gone += undoing.moot.values()
            if plan.tasks:
                for text in gone:
                    self.context.say(text)
                return plan
            moot.add(past.entry.id)

    def history(self) -> list[Past]:
        """All changes that are known, oldest first. Raises NoPermission."""
        from cputune.transaction.history import History

        return History(self.context).past()

    def name_in_history(self, name: str) -> str:
        """RUNTIME:NAME of a domain that may be gone by now. Raises NoSuchDomain, UsageError."""
        try:
            return self.find(name).qualified
        except Ambiguous:
            raise
        except NoSuchDomain:
            known = {domain for past in self.history() for domain in past.entry.domains}
            fitting = [domain for domain in known if name in (domain, domain.partition(":")[2])]
            if len(fitting) != 1:
                raise
            return fitting[0]

    def put(self, domain: Domain) -> AppliedRecord | None:
        """What cputune has put into force in the very cgroup that the domain has now."""
        applied = self.context.state.applied(domain)
        there = applied is not None and domain.limit is not None and applied.inode == self.cgroups.inode(domain.limit)
        return applied if there else None

    def has_put(self, domain: Domain) -> bool:
        """Whether there is any such."""
        return self.put(domain) is not None

    def saved_job(self, domain: Domain) -> Job:
        """What the saved configuration wants of a domain. Raises WrongState where there is none."""
        from cputune.planning.plan import Job

        saved = self.store().effective(domain)
        if not saved.change.named():
            raise WrongState(
                f"nothing is saved for {domain.qualified}", f"cputune set {domain.qualified} --cpus 1 --config"
            )
        return Job(domain, Request(saved.change), "live")


def shown(domain: Domain, state: CpuTune, given: Iterable[int | None]) -> CpuTune:
    """A state with shares and weight both: the one that is not in force as it was given, else converted. Pure.

    Of the shares in `given`, the first counts that the weight in force can stand for; of an unset weight, the default.
    """
    if state.shares is not None:
        return state.replace(weight=nearest_weight(state.shares))
    if state.weight is None:
        return state
    unset = domain.scale in OCI_SCALES and state.weight == DEFAULT_WEIGHT
    fitting = (
        number
        for number in given
        if number is not None
        and not state.idle
        and (nearest_weight(number, domain.scale) == state.weight or (unset and number == DEFAULT_SHARES))
    )
    return state.replace(shares=next(fitting, None) or shares_of_weight(state.weight, domain.scale))
