"""The parts of a transaction: each can be done, and undone by what it knows alone, whatever of it was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from cputune.core.errors import ChangedMeanwhile, Gone, Refused
from cputune.core.knobs import BANDWIDTH, UNLIMITED, WEIGHT, Value
from cputune.core.model import CpuTune, Domain, Write
from cputune.host.systemd import Properties, Unit, differs
from cputune.transaction.applied import AppliedRecord
from cputune.transaction.writer import differences, settle, value_text

if TYPE_CHECKING:
    from typing_extensions import Self

    from cputune.transaction.context import Context


class Task(Protocol):
    """A part of a transaction."""

    @property
    def domain(self) -> str:
        """RUNTIME:NAME of the domain that it changes."""

    @property
    def durable(self) -> bool:
        """Whether what it changes outlives this boot: then the way back has to, too."""

    def do(self, context: Context) -> None:
        """Do it. Raises CpuTuneError, having done it or a part of it, or nothing."""

    def done(self, context: Context) -> Task:
        """The task as the history keeps it. Raises CpuTuneError."""

    def undo(self, context: Context) -> None:
        """Bring back the state from before, whatever of it was done. Raises CpuTuneError; Gone: it never will be."""

    def left(self, context: Context) -> list[str]:
        """What is not as it was, a line each. Raises CpuTuneError."""


class Tell(NamedTuple):
    """What the systemd unit that owns a cgroup is to hold, and what it held."""

    unit: Unit
    properties: Properties
    held: Properties


class CgroupTask(NamedTuple):
    """Bring one cgroup from the state `now` to the state `goal`: its owner first, then the files."""

    domain: str
    cgroup: str
    now: CpuTune
    goal: CpuTune
    plan: tuple[Write, ...] = ()
    """What is to be written; where systemd is told first, it may have done a part of it by then."""
    tell: Tell | None = None
    inode: int | None = None
    """Of the cgroup's directory: one with another number was made anew, and never had the state `now`."""

    @property
    def durable(self) -> bool:
        """The kernel forgets it."""
        return False

    def do(self, context: Context) -> None:
        """Tell systemd, then write until the cgroup has the goal. Raises CpuTuneError."""
        if self.tell:
            context.systemd.set(self.tell.unit, self.tell.properties)
        settle(context.cgroups, self.cgroup, self.goal, () if self.tell else self.plan)

    def done(self, context: Context) -> Self:
        """The same."""
        return self

    def undo(self, context: Context) -> None:
        """The same with the values from before, both of which systemd and the kernel may have differed in.

        Of what the transaction did not change there stays what is there.
        """
        self.refuse_another(context)
        try:
            if self.tell:
                context.systemd.set(self.tell.unit, self.tell.held)
        finally:
            actual = context.cgroups.read_if_used(self.cgroup)
            settle(context.cgroups, self.cgroup, actual.replace_from(self.now, self.touches()))

    def touches(self) -> list[str]:
        """The knobs that it may change: those that the kernel changes with others, too."""
        changed = set(self.now.differing(self.goal))
        return [key for group in (BANDWIDTH, WEIGHT) if changed & set(group) for key in group]

    def is_ours(self, context: Context) -> bool:
        """Whether some of it was done. Raises ChangedMeanwhile for a value that none of its writes leaves; Gone."""
        self.refuse_another(context)
        actual = context.cgroups.read_if_used(self.cgroup)
        states = [self.now, self.goal]
        for key in self.touches():
            found = actual[key]
            if found not in [state[key] for state in states] and not self._is_on_the_way(key, found):
                where = context.cgroups.host.real(context.cgroups.directory(self.cgroup))
                raise ChangedMeanwhile(f"{where}: {key} is {value_text(found)}, which somebody else has set since")
        told = self.tell is not None and differs(context.systemd.get(self.tell.unit, self.tell.held), self.tell.held)
        return told or any(actual[key] != self.now[key] for key in self.touches())

    def _is_on_the_way(self, key: str, found: Value) -> bool:
        """Whether a knob may have that value between two writes: lifted, rounded, or as the kernel has it by then."""
        ends = [state[key] for state in (self.now, self.goal)]
        if key in ("shares", "weight"):
            return self.now.idle != self.goal.idle  # the kernel sets it, then we do
        if key == "quota" and isinstance(found, int):
            return self.tell is not None and any(isinstance(end, int) and abs(end - found) * 50 <= end for end in ends)
        if key == "burst" and isinstance(found, int):
            return any(isinstance(end, int) and found == end // 1000 for end in ends)  # see `settle`
        return found is UNLIMITED or found is None or None in ends

    def refuse_another(self, context: Context) -> None:
        """Raise Gone where the cgroup is not the one that was planned for: its domain was started anew since."""
        directory = context.cgroups.directory(self.cgroup)
        if self.inode is not None and context.cgroups.host.inode(directory) != self.inode:
            raise Gone(f"{context.cgroups.host.real(directory)} is gone, or was made anew since")

    def left(self, context: Context) -> list[str]:
        """What is not as it was: knobs, and what systemd holds."""
        actual = context.cgroups.read(self.cgroup)
        wanted = actual.replace_from(self.now, self.touches())
        found = differences(context.cgroups, self.cgroup, actual, wanted)
        if self.tell and differs(context.systemd.get(self.tell.unit, self.tell.held), self.tell.held):
            found.append(f"systemd holds other values for {self.tell.unit.name}")
        return found


class Save(NamedTuple):
    """Replace a saved configuration; None is no file."""

    domain: str
    path: str
    text: str | None
    before: str | None

    @property
    def durable(self) -> bool:
        """It is for the next boot as well."""
        return True

    def do(self, context: Context) -> None:
        """Save, unless somebody has edited the file since it was read. Raises CpuTuneError."""
        if self._read() != self.before:
            raise Refused(f"{self.path} was changed by somebody else meanwhile", "give the command again")
        self._write(context, self.text)

    def done(self, context: Context) -> Self:
        """The same."""
        return self

    def undo(self, context: Context) -> None:
        """Save the text from before, where ours is there: a full disk has no room for it twice. Raises CpuTuneError."""
        if self.text != self.before and self._read() == self.text:
            self._write(context, self.before)

    def left(self, context: Context) -> list[str]:
        """The file, which has the new text."""
        return [f"{self.path} has the new configuration"]

    def _read(self) -> str | None:
        from cputune.config.store import read

        return read(self.path)

    def _write(self, context: Context, text: str | None) -> None:
        from cputune.config.store import Store

        Store(context.cgroups.host).write(self.path, text)


class Record(NamedTuple):
    """Remember what was put into force."""

    of: Domain
    applied: AppliedRecord | None
    before: AppliedRecord | None

    @property
    def domain(self) -> str:
        """RUNTIME:NAME."""
        return self.of.qualified

    @property
    def durable(self) -> bool:
        """It is about this boot."""
        return False

    def do(self, context: Context) -> None:
        """Write the record. Raises CpuTuneError."""
        context.state.record(self.of, self.applied)

    def done(self, context: Context) -> Self:
        """The same."""
        return self

    def undo(self, context: Context) -> None:
        """Write the record from before, unless it is there. Raises CpuTuneError."""
        if context.state.applied(self.of) != self.before:
            context.state.record(self.of, self.before)

    def left(self, context: Context) -> list[str]:
        """The record."""
        return [f"{context.state.directory} remembers values for {self.domain} that are not in force"]
