"""The parts of a transaction. Each can be done, and undone from what it knows alone, however much of it was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from cputune.core.errors import Refused
from cputune.core.model import Domain
from cputune.transaction.applied import AppliedRecord

if TYPE_CHECKING:
    from typing import Protocol

    from typing_extensions import Self

    from cputune.transaction.context import Context

    class Task(Protocol):
        """A part of a transaction."""

        @property
        def domain(self) -> str:
            """RUNTIME:NAME of the domain that it changes."""

        @property
        def durable(self) -> bool:
            """Whether what it changes outlives this boot; then the way back has to as well."""

        def steps(self) -> list[Step]:
            """What `do` does, in order; cputune's own records are left out."""

        def do(self, context: Context) -> None:
            """Do it. Raises CpuTuneError, with all of it done, a part of it, or nothing."""

        def done(self, context: Context) -> Task:
            """The task as the history keeps it. Raises CpuTuneError."""

        def undo(self, context: Context) -> None:
            """Bring back the state from before, however much was done. Raises CpuTuneError; Gone: it never can be."""

        def left(self, context: Context) -> list[str]:
            """What is not as it was, a line each. Raises CpuTuneError."""


class Step(NamedTuple):
    """One thing that a task does, as `--dry-run` prints it. The texts are what a file or property has and gets."""

    do: Literal["set-property", "systemd-writes", "write", "save", "run", "edit", "hold"]
    """systemd-writes: systemd does it itself, in answer to the set-property before. hold: only where it has changed."""
    where: str
    """The file, `UNIT PROPERTY`, or the command line."""
    before: str = ""
    after: str = ""


class Save(NamedTuple):
    """Replace a saved configuration; None is no file."""

    domain: str
    path: str
    text: str | None
    before: str | None

    @property
    def durable(self) -> bool:
        """A configuration is for the next boot as well."""
        return True

    def steps(self) -> list[Step]:
        """The file, and whether it is written or removed."""
        before = "no file" if self.before is None else "changed"
        return [Step("save", self.path, before, "removed" if self.text is None else "written")]

    def do(self, context: Context) -> None:
        """Save, unless somebody has edited the file since it was read. Raises CpuTuneError."""
        if self._read() != self.before:
            raise Refused(f"{self.path} was changed by somebody else meanwhile", "give the command again")
        self._write(context, self.text)

    def done(self, context: Context) -> Self:
        """The task itself."""
        return self

    def undo(self, context: Context) -> None:
        """Save the text from before where ours is there: a full disk has no room for it twice. Raises CpuTuneError."""
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
        """A record is about this boot."""
        return False

    def steps(self) -> list[Step]:
        """None: it changes nothing but cputune's own record."""
        return []

    def do(self, context: Context) -> None:
        """Write the record. Raises CpuTuneError."""
        context.records.write(self.of, self.applied)

    def done(self, context: Context) -> Self:
        """The task itself."""
        return self

    def undo(self, context: Context) -> None:
        """Write the record from before, unless it is there. Raises CpuTuneError."""
        if context.records.of(self.of) != self.before:
            context.records.write(self.of, self.before)

    def left(self, context: Context) -> list[str]:
        """The record."""
        return [f"{context.records.directory} remembers values for {self.domain} that are not in force"]
