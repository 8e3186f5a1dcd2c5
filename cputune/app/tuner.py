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
    """Finding, reading and changing the domains of one host."""

    def __init__(self, host: Host, say: Callable[[str], None] = lambda _: None, command: str = "") -> None:
        self.host = host
        self.cgroups = Cgroups(host)
        self.context = Context(self.cgroups, say, command)
        self.patience: float | None = None
        """Seconds to wait for other cputune processes that change the same domains; None: LOCK_SECONDS for each."""

    def find(self, name: str) -> Domain:
        """The domain. Raises NoSuchDomain, UsageError, Unsupported."""
        return lookup.find(self.cgroups, name)

    def store(self) -> Store:
        """The saved configurations; loads yaml."""
        from cputune.config.store import Store

        return Store(self.host)

    def read(self, domain: Domain) -> CpuTune:
        """What is in force in the domain's cgroups. Raises Unsupported if there is not even a weight; WrongState."""
        state = domain.state({cgroup: self.cgroups.read_if_used(cgroup) for cgroup in domain.cgroups})
        if domain.weight_cgroup is not None and not support(state).weight:
            require(self.cgroups, domain.weight_cgroup, state, frozenset(WEIGHT), domain.qualified)
        return state

    def change(
        self, jobs: list[Job], *, dry_run: bool = False, native: bool = False, enter: bool = True, tell: bool = True
    ) -> Plan:
        """Change domains, live or config or both, and with `native` what their runtimes remember, as one transaction.

        The plan's notes are said before anything is done. Without `enter`, the change is not entered in the history;
        without `tell`, systemd is not told, and may overwrite the change until it is. Raises CpuTuneError, and then
        nothing has changed.
        """
        from cputune.planning.planner import plan_jobs

        jobs = list({job.domain.qualified: job for job in jobs}.values())
        if dry_run:
            self.mention_pending()
            return self.announced(plan_jobs(self.context, jobs, native=native))

        def keys(again: bool) -> Keys:
            if again:  # another process may have changed the domains meanwhile
                jobs[:] = [job._replace(domain=self.find(job.domain.qualified)) for job in jobs]
            return keys_of(self.cgroups, [job.domain for job in jobs])

        with self.serialised(keys):
            plan = self.announced(plan_jobs(self.context, jobs, native=native, tell=tell))
            self.perform(plan, enter=enter)
        return plan

    def announced(self, plan: Plan) -> Plan:
        """Say the notes of a plan, and return it."""
        for outcome in plan.outcomes:
            for note in outcome.notes:
                self.context.say(note)
        return plan

    def perform(self, plan: Plan, undoes: str = "", *, enter: bool = True) -> None:
        """Carry out a plan whose domains are locked. Raises CpuTuneError, and then nothing has changed."""
        from cputune.transaction.history import new_entry

        changes = [change for outcome in plan.outcomes for change in outcome.changes]
        names = [outcome.domain.qualified for outcome in plan.outcomes if outcome.tasks]
        perform(self.context, list(plan.tasks), new_entry(self.context, names, changes, undoes), enter=enter)

    @contextmanager
    def serialised(self, keys: Callable[[bool], Keys]) -> Iterator[None]:
        """Hold locks in the block, when what killed processes left unfinished under them has been rolled back.

        `keys` returns the names to lock; its argument is True if it is called again, since another process held some
        of them before. Raises Busy if another process still holds one; NotPutBack if something could not be rolled
        back.
        """
        from cputune.transaction.journal import Lost
        from cputune.transaction.recovery import Stuck, in_the_way, recover

        stuck, wanted = Stuck(), keys(False)
        seconds = LOCK_SECONDS if self.patience is None else self.patience
        deadline = None
        while True:
            with self.context.locks.hold(wanted, self.patience) as waited:
                before, wanted = wanted, keys(True) if waited else wanted
                if wanted == before and not in_the_way(self.context, wanted, stuck):
                    yield
                    return
            deadline = deadline or time.monotonic() + seconds
            if time.monotonic() > deadline:
                raise Busy("another cputune is still putting back what was cut off in these domains", "cputune recover")
            found = recover(self.context, seconds=1)
            for error in found.values():
                if isinstance(error, Lost):  # it is in nobody's way any more
                    self.context.say(error.message)
            stuck |= found

    def mention_pending(self) -> None:
        """Say, for a dry run, that a change would roll something back first."""
        from cputune.transaction.recovery import seems_cut_off

        if seems_cut_off(self.context):
            self.context.say("a change was cut off, and will be put back first: cputune recover")

    def tidy(self) -> None:
        """Roll back what was cut off, or, without the right to, say that it waits for that."""
        if not self.context.may_have_pages():
            return
        from cputune.transaction.recovery import pending, recover, seems_cut_off

        if not pending(self.context):
            return
        if os.access(self.host.state_dir, os.W_OK):
            for error in recover(self.context).values():
                self.context.say(error.message)
        elif seems_cut_off(self.context):
            self.context.say("a change was cut off, and waits to be put back: sudo cputune recover")

    def history(self, name: str | None = None, last: int | None = None) -> list[Past]:
        """The changes that are known (of one domain, RUNTIME:NAME; the last so many), oldest first.

        Raises NoPermission.
        """
        from itertools import islice

        from cputune.transaction.history import History

        return [*islice(History(self.context).newest_first(name), last)][::-1]

    def saved_job(self, domain: Domain) -> Job:
        """What the saved configuration wants of a domain. Raises WrongState where there is none."""
        from cputune.planning.plan import Job

        saved = self.store().effective(domain)
        if not saved.change.named():
            raise WrongState(
                f"nothing is saved for {domain.qualified}", f"cputune set {domain.qualified} --cpus 1 --config"
            )
        return Job(domain, Request(saved.change), "live")
