"""Having a domain's own runtime remember a change: `set --native`, the last part of a transaction.

The orders come from `cputune.memory`; here they are carried out, seen to have worked, and taken back.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from cputune.core.errors import (
    ChangedMeanwhile,
    CpuTuneError,
    Gone,
    NoPermission,
    NoSuchDomain,
    Refused,
    Unsupported,
    WrongState,
    from_os_error,
)
from cputune.core.goals import goal_of, touched
from cputune.core.model import Change, CpuTune, Domain, Request
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.files import write_atomically
from cputune.host.systemd import Properties, Unreachable, differs, unit_of, wanted
from cputune.runtimes.native.memory import Edit, Orders, Remembered, Run, Step, Wanted, agree, require
from cputune.runtimes.native.update import default_shares
from cputune.transaction.context import Context
from cputune.transaction.signals import deferred
from cputune.transaction.tasks import CgroupTask, Tell
from cputune.transaction.writer import settle, value_text

_COMMAND_SECONDS = 120.0


class Native(NamedTuple):
    """Have the domain's runtime remember other limits; what it does to the cgroups meanwhile is undone at once."""

    of: Domain
    orders: Orders
    before: Change | None
    """What it remembered; None where we cannot tell."""
    records: str
    """Stands for the records that said so."""
    others: str
    """Stands for what else was in them."""
    default_shares: int
    """What stands for nothing remembered."""
    seats: tuple[CgroupTask, ...]
    """What the domain's cgroups are to have then, all knobs, and systemd is to hold; and the same from before."""
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

    def do(self, context: Context) -> None:
        """Run the runtime's command, see that it took, and hold the cgroups to what they had. Raises CpuTuneError."""
        with deferred():  # an interrupted command may still do its work
            for step in self.orders.forward:
                carry_out(context, step)
        found = self._now(context).change
        if not agree(found, self.orders.after, self.default_shares):
            raise Refused(
                f"{self.of.runtime} took the command but not the value for {self.domain}: "
                f"it remembers {_named(found)}, not {_named(self.orders.after)}"
            )
        for seat in self.seats:
            _hold(context, seat, seat.goal, seat.tell.properties if seat.tell else {})

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
        for seat in reversed(self.seats):
            try:
                _hold(context, seat, seat.now, seat.tell.held if seat.tell else {})
            except Gone:
                continue  # with what it had
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
        for step in self.orders.back:
            carry_out(context, step)
        if self._is_other(self._now(context)):
            raise Refused(f"{self.of.runtime} does not take back what it remembers")

    def left(self, context: Context) -> list[str]:
        """What the runtime remembers now, where that is not as before, and what its cgroups have."""
        found = []
        for seat in self.seats:
            with suppress(Gone):
                seat.refuse_another(context)
                found += seat.left(context)
        now = self._now(context)
        if self._is_other(now):
            what = "something else" if now.change is None else _named(now.change)
            found.append(f"{self.of.runtime} remembers {what} for {self.domain}")
        return found

    def _is_other(self, now: Remembered) -> bool:
        """Whether a memory means something else than the one from before."""
        if now.change is None or self.before is None:
            return stands_for(now.raw) != self.records
        return not agree(now.change, self.before, self.default_shares)

    def _now(self, context: Context) -> Remembered:
        return require(self.of).read(context.cgroups, self.of)


def stands_for(records: object) -> str:
    """Records of a runtime's, as something to compare them with later."""
    import hashlib

    return hashlib.sha256(repr(records).encode(errors="surrogatepass")).hexdigest()


def _named(change: Change | None) -> str:
    words = (f"{key} {value_text(value)}" for key, value in change.named().items()) if change else ()
    return ", ".join(words) or "nothing"


def _hold(context: Context, seat: CgroupTask, goal: CpuTune, properties: Properties) -> None:
    """Give a cgroup, and the unit that owns it, what they have lost meanwhile."""
    seat.refuse_another(context)
    if seat.tell and properties and differs(context.systemd.get(seat.tell.unit, properties), properties):
        context.systemd.set(seat.tell.unit, properties)
    settle(context.cgroups, seat.cgroup, goal)


def carry_out(context: Context, step: Step) -> None:
    """Run a runtime's program, or write its file. Raises CpuTuneError."""
    if isinstance(step, Edit):
        _edit(step)
        return
    command = " ".join(step.argv)
    user = None if step.user == context.cgroups.host.uid else step.user
    try:
        done = context.cgroups.host.run(list(step.argv), user, _COMMAND_SECONDS, step.input)
    except FileNotFoundError as error:
        raise Unsupported(f"cannot run {command}: there is no {step.argv[0]} here") from error
    except OSError as error:
        raise Refused(f"cannot run {command}: {error.strerror or error}", step.mend) from error
    if done.status != 0:
        raise _explained(step, command, " ".join(done.stderr.split()) or f"exit status {done.status}")


def _explained(step: Run, command: str, said: str) -> CpuTuneError:
    message = f"{command}: {said}"
    if re.search(r"permission denied|access denied|interactive authentication required", said, re.IGNORECASE):
        return NoPermission(message, "run it as root: sudo cputune ...")
    if re.search(r"cannot connect|connection refused|failed to connect|no such file or directory", said, re.IGNORECASE):
        return WrongState(message, step.mend)
    if re.search(r"no such container|no container with|not found|failed to get domain", said, re.IGNORECASE):
        return Gone(message, "it disappeared in the meantime; list what is running: cputune status")
    return Refused(message)


def _edit(edit: Edit) -> None:
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


def planned(
    context: Context,
    request: Request,
    domain: Domain,
    before: Mapping[str, CpuTune],
    after: Mapping[str, CpuTune],
    saved: Change,
) -> Native | None:
    """What has to be done so that the runtime remembers a request; None where it does already.

    `before` and `after` are the states of the domain's cgroups, `saved` its configuration afterwards. Raises
    Unsupported where the runtime cannot be made to remember it.
    """
    memory = require(domain)
    remembered = memory.read(context.cgroups, domain)
    goal = domain.state(after) if domain.running else at_start(context.cgroups, domain, saved, remembered.change)
    change = request.change
    if touched(request) & {"quota", "period"}:
        change = change.replace(quota=goal.quota, period=goal.period)
    if not change.named():
        return None
    orders = memory.orders(context.cgroups, domain, Wanted(change, goal))
    default = default_shares(context.cgroups, domain)
    if orders.after is not None and agree(remembered.change, orders.after, default):
        return None
    seats = [_seat(context, request, domain, cgroup, before[cgroup], after[cgroup]) for cgroup in before]
    records, others = stands_for(remembered.raw), stands_for(remembered.other)
    return Native(domain, orders, remembered.change, records, others, default, tuple(seats))


def _seat(
    context: Context, request: Request, domain: Domain, cgroup: str, before: CpuTune, goal: CpuTune
) -> CgroupTask:
    """What a cgroup is to have in spite of what the runtime's command does to it: all knobs, named or not."""
    version = context.cgroups.hierarchy.version
    seat = CgroupTask(domain.qualified, cgroup, before, goal, inode=context.cgroups.inode(cgroup))
    unit = unit_of(cgroup) if context.systemd.booted() else None
    if unit is None:
        return seat
    everything = wanted(version, goal, frozenset(Change.KEYS))
    named = wanted(version, goal, frozenset(touched(request)))
    try:
        held = context.systemd.get(unit, everything, cgroup)
    except (Unreachable, NoSuchDomain):
        held = {}
    return seat._replace(tell=Tell(unit, {**held, **named}, held) if held else None)


def at_start(cgroups: Cgroups, domain: Domain, saved: Change, remembered: Change | None) -> CpuTune:
    """What a domain that does not run will have when it starts: what is saved, else what its runtime remembers."""
    found = (remembered or Change()).replace(**saved.named())
    if saved.shares is not None or saved.weight is not None:
        found = found.replace_from(saved, ("shares", "weight"))
    version = cgroups.hierarchy.version
    return goal_of(cgroups.default(), Request(found), version, domain.scale, None, Change.KEYS)
