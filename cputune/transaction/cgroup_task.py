"""Bringing one cgroup from one state to another: through the systemd unit that owns it, and by writes of our own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from cputune.core.errors import ChangedMeanwhile, Gone
from cputune.core.knobs import KNOB, Value, with_groups
from cputune.core.model import CpuTune, Write
from cputune.host.cgroup.plan import may_be_between
from cputune.host.systemd import Properties, Unit, differs, word
from cputune.transaction.tasks import Step
from cputune.transaction.writer import differences, reach, settle, write_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

    from cputune.transaction.context import Context


class UnitChange(NamedTuple):
    """Other values for properties of the unit that owns a cgroup, and what systemd then writes to the cgroup."""

    unit: Unit
    properties: Properties
    held: Properties
    """What the unit held before, of the same properties."""
    writes: tuple[Write, ...] = ()
    """What systemd will write itself, as far as it changes a file."""
    state: CpuTune | None = None
    """What the cgroup will have then."""

    def steps(self) -> list[Step]:
        """The properties, which are one call, and what systemd writes."""
        properties = [
            Step("set-property", f"{self.unit.label} {name}", word(self.held.get(name)), word(value))
            for name, value in self.properties.items()
        ]
        return properties + [Step("systemd-writes", write.path, write.before, write.value) for write in self.writes]


class CgroupTask(NamedTuple):
    """Bring one cgroup from the state `now` to the state `goal`."""

    domain: str
    cgroup: str
    now: CpuTune
    goal: CpuTune
    first: tuple[Write, ...] = ()
    """What we write before systemd is told: without it the kernel would refuse what systemd writes."""
    unit_change: UnitChange | None = None
    writes: tuple[Write, ...] = ()
    """What we write then."""
    inode: int | None = None
    """Of the cgroup's directory: one with another number was made anew, and never had the state `now`."""

    @property
    def durable(self) -> bool:
        """The kernel forgets it at the end of a boot."""
        return False

    def steps(self) -> list[Step]:
        """All writes of ours and of systemd's, and the call between them."""
        first, last = ([Step("write", *_texts(write)) for write in writes] for writes in (self.first, self.writes))
        return [*first, *(self.unit_change.steps() if self.unit_change else []), *last]

    def do(self, context: Context) -> None:
        """Carry out the steps, and see that the cgroup has the goal. Raises CpuTuneError."""
        with self._pinned(context):
            write_all(context.cgroups, self.first)
            if self.unit_change:
                context.systemd.set(self.unit_change.unit, self.unit_change.properties)
            reach(context.cgroups, self.cgroup, self.goal, self.writes, context.say)

    def done(self, context: Context) -> Self:
        """The task itself."""
        return self

    def undo(self, context: Context) -> None:
        """Tell systemd, and write, what was there before; what the transaction did not change stays as it is.

        Raises CpuTuneError, Gone.
        """
        with self._pinned(context):
            try:
                if self.unit_change:
                    context.systemd.set(self.unit_change.unit, self.unit_change.held)
            finally:
                actual = context.cgroups.read_if_used(self.cgroup)
                settle(context.cgroups, self.cgroup, actual.replace_from(self.now, self.touches()))

    def touches(self) -> tuple[str, ...]:
        """The knobs that it may change, with those that the kernel or systemd changes together with them."""
        return with_groups(key for state in self._states() for key in self.now.differing(state))

    def _states(self) -> list[CpuTune]:
        """What the cgroup has before, after, and when systemd has written."""
        between = self.unit_change.state if self.unit_change else None
        return [self.now, self.goal, *([between] if between else [])]

    def is_done_in_part(self, context: Context) -> bool:
        """Whether something of it was done. Raises Gone, ChangedMeanwhile for a value that it cannot have left."""
        self.refuse_another(context)
        actual = context.cgroups.read_if_used(self.cgroup)
        for key in self.touches():
            found = actual[key]
            if found not in [state[key] for state in self._states()] and not self._may_be_between(key, found):
                where = context.cgroups.host.real(context.cgroups.directory(self.cgroup))
                value = KNOB[key].format(found)
                raise ChangedMeanwhile(f"{where}: {key} is {value}, which somebody else has set since")
        return self._is_held_otherwise(context) or any(actual[key] != self.now[key] for key in self.touches())

    def _may_be_between(self, key: str, found: Value) -> bool:
        return may_be_between(self.now, self.goal, key, found, told=self.unit_change is not None)

    def _is_held_otherwise(self, context: Context) -> bool:
        """Whether systemd holds other values than before."""
        change = self.unit_change
        return change is not None and differs(context.systemd.get(change.unit, change.held), change.held)

    @contextmanager
    def _pinned(self, context: Context) -> Iterator[None]:
        """Write to the directory that was planned for, by its descriptor. Raises Gone where there is another one."""
        if self.inode is None:  # there is no directory so far: systemd makes it
            yield
            return
        host, directory = context.cgroups.host, context.cgroups.directory(self.cgroup)
        try:
            try:
                found = host.pin(directory)
            except OSError:
                found = None
            if found != self.inode:
                raise self._gone(context)
            yield
        finally:
            host.unpin(directory)

    def refuse_another(self, context: Context) -> None:
        """Raise Gone where the cgroup is not the one that was planned for: its domain was started anew since."""
        directory = context.cgroups.directory(self.cgroup)
        if self.inode is not None and context.cgroups.host.inode(directory) != self.inode:
            raise self._gone(context)

    def _gone(self, context: Context) -> Gone:
        where = context.cgroups.host.real(context.cgroups.directory(self.cgroup))
        return Gone(f"{where} is gone, or was made anew since")

    def left(self, context: Context) -> list[str]:
        """What is not as it was: knobs, and what systemd holds."""
        actual = context.cgroups.read(self.cgroup)
        wanted = actual.replace_from(self.now, self.touches())
        found = differences(context.cgroups, self.cgroup, actual, wanted)
        if self.unit_change and self._is_held_otherwise(context):
            found.append(f"systemd holds other values for {self.unit_change.unit.name}")
        return found


def _texts(write: Write) -> tuple[str, str, str]:
    return write.path, write.before, write.value
