"""Having a domain's own runtime remember a change: `set --native`, the last part of a transaction.

The plan comes from `cputune.runtimes.native`; here it is carried out, checked, and taken back.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import NamedTuple

from cputune.core.errors import (
    ChangedMeanwhile,
    CpuTuneError,
    Gone,
    NoPermission,
    Refused,
    Unsupported,
    WrongState,
    from_os_error,
)
from cputune.core.knobs import KNOB
from cputune.core.model import Change, CpuTune, Domain
from cputune.host.files import write_atomically
from cputune.host.systemd import Properties, differs, word
from cputune.runtimes.native.settings import (
    EditFile,
    NativeAction,
    NativePlan,
    RunCommand,
    Settings,
    mean_the_same,
    require_module,
)
from cputune.transaction.cgroup_task import CgroupTask
from cputune.transaction.context import Context
from cputune.transaction.signals import deferred
from cputune.transaction.tasks import Step
from cputune.transaction.writer import settle

_COMMAND_SECONDS = 120.0


class Native(NamedTuple):
    """Have the domain's runtime remember other limits; what its command does to the cgroups is undone at once."""

    of: Domain
    plan: NativePlan
    before: Change | None
    """What it remembered; None where we cannot tell."""
    records: str
    """Stands for the records that said so."""
    others: str
    """Stands for what else was in them."""
    default_shares: int
    """What stands for nothing remembered."""
    holds: tuple[CgroupTask, ...]
    """All that the domain's cgroups are to have, and their units to hold, behind the command; and what was before.

    Written only where the command has changed it.
    """
    records_after: str = ""
    """Stands for the records that it had then, for the history."""

    @property
    def domain(self) -> str:
        """RUNTIME:NAME."""
        return self.of.qualified

    @property
    def durable(self) -> bool:
        """A runtime's memory is for the next boot as well."""
        return True

    def steps(self) -> list[Step]:
        """The runtime's commands and files, and what the cgroups are then held to."""
        return [*map(_step, self.plan.forward), *(step for hold in self.holds for step in _hold_steps(hold))]

    def do(self, context: Context) -> None:
        """Run the runtime's command, check what it remembers, and hold the cgroups to what they had.

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
        """The task as the history has it: by what is there now it tells whether somebody else comes after it."""
        return self._replace(records_after=stands_for(self._now(context).raw))

    def undo(self, context: Context) -> None:
        """The memory from before, or what means the same, and then the cgroups from before."""
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
        if stands_for(now.raw) == self.records:
            return
        if stands_for(now.other) != self.others:
            raise ChangedMeanwhile(f"what {self.of.runtime} has of {self.domain} was changed by somebody else since")
        for action in self.plan.back:
            carry_out(context, action)
        if self._is_other(self._now(context)):
            raise Refused(f"{self.of.runtime} does not take back what it remembers")

    def left(self, context: Context) -> list[str]:
        """What the runtime remembers now, where that is not as before, and what its cgroups have."""
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
        """Whether a memory means something else than the one from before."""
        if now.change is None or self.before is None:
            return stands_for(now.raw) != self.records
        return not mean_the_same(now.change, self.before, self.default_shares)

    def _now(self, context: Context) -> Settings:
        return require_module(self.of).read(context.cgroups, self.of)


def stands_for(records: object) -> str:
    """Records of a runtime's, as something to compare them with later."""
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
    """Give a cgroup, and the unit that owns it, what they have lost meanwhile."""
    hold.refuse_another(context)
    unit = hold.unit_change.unit if hold.unit_change else None
    if unit and properties and differs(context.systemd.get(unit, properties), properties):
        context.systemd.set(unit, properties)
    settle(context.cgroups, hold.cgroup, goal)


def carry_out(context: Context, action: NativeAction) -> None:
    """Run a runtime's program, or write its file. Raises CpuTuneError."""
    if isinstance(action, EditFile):
        _edit(action)
        return
    command = " ".join(action.argv)
    user = None if action.user == context.cgroups.host.uid else action.user
    try:
        done = context.cgroups.host.run(list(action.argv), user, _COMMAND_SECONDS, action.input)
    except FileNotFoundError as error:
        raise Unsupported(f"cannot run {command}: there is no {action.argv[0]} here") from error
    except OSError as error:
        raise Refused(f"cannot run {command}: {error.strerror or error}", action.hint) from error
    if done.status != 0:
        raise _explained(action, command, " ".join(done.stderr.split()) or f"exit status {done.status}")


def _explained(action: RunCommand, command: str, said: str) -> CpuTuneError:
    message = f"{command}: {said}"
    if re.search(r"permission denied|access denied|interactive authentication required", said, re.IGNORECASE):
        return NoPermission(message, "run it as root: sudo cputune ...")
    if re.search(r"cannot connect|connection refused|failed to connect|no such file or directory", said, re.IGNORECASE):
        return WrongState(message, action.hint)
    if re.search(r"no such container|no container with|not found|failed to get domain", said, re.IGNORECASE):
        return Gone(message, "it disappeared in the meantime; list what is running: cputune status")
    return Refused(message)


def _edit(edit: EditFile) -> None:
    """Replace a file of another program's as a whole, with the mode and the owner it had."""
    if not os.path.isdir(os.path.dirname(edit.path)):
        raise Gone(f"{os.path.dirname(edit.path)} is gone, and its container with it")
    try:
        if edit.text is None:
            if os.path.lexists(edit.path):
                os.unlink(edit.path)
            return
        known = os.stat(edit.path) if os.path.exists(edit.path) else None
        write_atomically(edit.path, edit.text, sync=True, like=known)
    except OSError as error:
        raise from_os_error(error, f"write {edit.path}") from error
