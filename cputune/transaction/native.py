"""The task that has a domain's own runtime remember a change: `set --native`, the last part of a transaction.

The commands come from `cputune.runtimes.native`; here they are run, their effect is checked, and they are undone.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from cputune.core.errors import ChangedMeanwhile, CpuTuneError, Gone, Refused
from cputune.core.knobs import KNOB
from cputune.core.model import Change, CpuTune, Domain
from cputune.host.systemd import Properties, differs, word
from cputune.runtimes.native.settings import (
    NativeAction,
    NativePlan,
    RunCommand,
    Settings,
    mean_the_same,
    require_module,
)
from cputune.transaction.cgroup_task import CgroupTask
from cputune.transaction.context import Context
from cputune.transaction.native_actions import carry_out
from cputune.transaction.signals import deferred
from cputune.transaction.tasks import Step
from cputune.transaction.writer import settle


class Native(NamedTuple):
    """Have the domain's runtime remember other limits, and undo at once what its command does to the cgroups."""

    of: Domain
    plan: NativePlan
    before: Change | None
    """What it remembered; None where that cannot be told."""
    records: str
    """The digest of the records from before."""
    others: str
    """The digest of the rest of the file that these records are in, which undoing replaces as well."""
    default_shares: int
    """The shares of a container for which the runtime remembers none."""
    holds: tuple[CgroupTask, ...]
    """The state that the domain's cgroups and their units must have after the command, and the one from before.

    Only what the command has changed is written.
    """
    records_after: str = ""
    """The digest of the records from afterwards, for the history."""

    @property
    def domain(self) -> str:
        """RUNTIME:NAME."""
        return self.of.qualified

    @property
    def durable(self) -> bool:
        """A runtime still remembers it after a reboot."""
        return True

    def steps(self) -> list[Step]:
        """The runtime's commands and files, and the values that are then kept in the cgroups."""
        return [*map(_step, self.plan.forward), *(step for hold in self.holds for step in _hold_steps(hold))]

    def do(self, context: Context) -> None:
        """Run the runtime's command, check what it remembers, and restore what the command did to the cgroups.

        Raises CpuTuneError.
        """
        with deferred():  # an interrupted command may still do its work
            for action in self.plan.forward:
                carry_out(context, action)
        found = self._now(context).change
        if not mean_the_same(found, self.plan.after, self.default_shares):
            raise Refused(
                f"{self.of.runtime} took the command but not the value for {self.domain}: "
                f"it remembers {_named(found)}, not {_named(self.plan.after)}"
            )
        for hold in self.holds:
            _hold(context, hold, hold.goal, hold.unit_change.properties if hold.unit_change else {})

    def done(self, context: Context) -> Native:
        """The task with the digest of the runtime's records, by which undo sees whether they were changed since."""
        return self._replace(records_after=digest(self._now(context).raw))

    def undo(self, context: Context) -> None:
        """Have the runtime remember what it did before, or what means the same; then restore the cgroups."""
        failed: list[CpuTuneError] = []
        try:
            self._remember_again(context)
        except CpuTuneError as error:
            failed.append(error)
        for hold in reversed(self.holds):
            try:
                _hold(context, hold, hold.now, hold.unit_change.held if hold.unit_change else {})
            except Gone:
                continue  # the cgroup is gone, and its limits with it
            except CpuTuneError as error:
                failed.append(error)
        if failed:
            raise failed[0]

    def _remember_again(self, context: Context) -> None:
        now = self._now(context)
        if digest(now.raw) == self.records:
            return
        if digest(now.other) != self.others:
            raise ChangedMeanwhile(f"what {self.of.runtime} has of {self.domain} was changed by somebody else since")
        for action in self.plan.back:
            carry_out(context, action)
        if self._is_other(self._now(context)):
            raise Refused(f"{self.of.runtime} does not take back what it remembers")

    def left(self, context: Context) -> list[str]:
        """What the runtime remembers, and what its cgroups have, where that is not as it was."""
        found = []
        for hold in self.holds:
            with suppress(Gone):
                hold.refuse_another(context)
                found += hold.left(context)
        now = self._now(context)
        if self._is_other(now):
            what = "something else" if now.change is None else _named(now.change)
            found.append(f"{self.of.runtime} remembers {what} for {self.domain}")
        return found

    def _is_other(self, now: Settings) -> bool:
        """Whether settings mean something else than those from before."""
        if now.change is None or self.before is None:
            return digest(now.raw) != self.records
        return not mean_the_same(now.change, self.before, self.default_shares)

    def _now(self, context: Context) -> Settings:
        return require_module(self.of).read(context.cgroups, self.of)


def digest(records: object) -> str:
    """A digest of a runtime's records, to see later whether they have changed."""
    import hashlib

    return hashlib.sha256(repr(records).encode(errors="surrogatepass")).hexdigest()


def _named(change: Change | None) -> str:
    words = (f"{key} {KNOB[key].format(value)}" for key, value in change.named().items()) if change else ()
    return ", ".join(words) or "nothing"


def _step(action: NativeAction) -> Step:
    return Step("run", " ".join(action.argv)) if isinstance(action, RunCommand) else Step("edit", action.path)


def _hold_steps(hold: CgroupTask) -> list[Step]:
    change = hold.unit_change
    properties = change.properties.items() if change else ()
    found = [Step("hold", f"{change.unit.label} {name}", after=word(value)) for name, value in properties if change]
    return found + [Step("hold", write.path, after=write.value) for write in hold.writes]


def _hold(context: Context, hold: CgroupTask, goal: CpuTune, properties: Properties) -> None:
    """Restore what a cgroup, and the unit that owns it, have lost."""
    hold.refuse_another(context)
    unit = hold.unit_change.unit if hold.unit_change else None
    if unit and properties and differs(context.systemd.get(unit, properties), properties):
        context.systemd.set(unit, properties)
    settle(context.cgroups, hold.cgroup, goal)
