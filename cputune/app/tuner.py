"""What the commands call: finding domains, reading what they have, and changing it.

A change goes: find the domains, lock them, put back what a killed cputune left in them, plan (`planning`), and carry
the plan out as one (`transaction`).
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cputune.core.errors import WrongState
from cputune.core.knobs import WEIGHT
from cputune.core.model import CpuTune, Domain, Request
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.cgroup.support import require, support
from cputune.host.system import Host
from cputune.runtimes import lookup
from cputune.transaction.context import Context
from cputune.transaction.locks import LOCK_SECONDS, Busy, Keys, keys_of
from cputune.transaction.perform import perform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cputune.config.store import Store
    from cputune.planning.plan import Job, Plan
    from cputune.transaction.history import Past


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

    def read(self, domain: Domain) -> CpuTune:
        """What is in force, collected from the domain's cgroups. Raises Unsupported without even a weight."""
        state = domain.state({cgroup: self.cgroups.read_if_used(cgroup) for cgroup in domain.cgroups})
        if domain.weight_cgroup is not None and not support(state).weight:
            require(self.cgroups, domain.weight_cgroup, state, frozenset(WEIGHT), domain.qualified)
        return state

    def change(
        self, jobs: list[Job], *, dry_run: bool = False, native: bool = False, enter: bool = True, tell: bool = True
    ) -> Plan:
        """Change domains, live or config or both, and with `native` what their runtimes remember, as one transaction.

        What should be known of it is said before anything is done. Without `enter` it does not get into the history;
        without `tell`, systemd is not told: until it is, it may write its own values at any time.
        Raises CpuTuneError with nothing changed.
        """
        from cputune.planning.planner import plan_jobs

        jobs = list({job.domain.qualified: job for job in jobs}.values())
        if dry_run:
            self.mention_pending()
            return self.announced(plan_jobs(self.context, jobs, native=native))

        def keys(again: bool) -> Keys:
            if again:  # another cputune may have changed what there is
                jobs[:] = [job._replace(domain=self.find(job.domain.qualified)) for job in jobs]
            return keys_of(self.cgroups, [job.domain for job in jobs])

        with self.serialised(keys):
            plan = self.announced(plan_jobs(self.context, jobs, native=native, tell=tell))
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
        from cputune.transaction.history import new_entry

        changes = [change for outcome in plan.outcomes for change in outcome.changes]
        names = [outcome.domain.qualified for outcome in plan.outcomes if outcome.tasks]
        perform(self.context, list(plan.tasks), new_entry(self.context, names, changes, undoes), enter=enter)

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

    def mention_pending(self) -> None:
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

    def history(self) -> list[Past]:
        """All changes that are known, oldest first. Raises NoPermission."""
        from cputune.transaction.history import History

        return History(self.context).past()

    def saved_job(self, domain: Domain) -> Job:
        """What the saved configuration wants of a domain. Raises WrongState where there is none."""
        from cputune.planning.plan import Job

        saved = self.store().effective(domain)
        if not saved.change.named():
            raise WrongState(
                f"nothing is saved for {domain.qualified}", f"cputune set {domain.qualified} --cpus 1 --config"
            )
        return Job(domain, Request(saved.change), "live")
