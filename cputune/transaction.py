"""One transaction over any number of cgroups and saved configurations: all of it, or the state before.

The core plans tasks; this module carries them out one after the other, reads back, and on any failure puts back in
reverse what was begun. A task holds the state from before, whole, so putting back is the same as going forward.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from cputune.cgroup import Cgroups
from cputune.cgroup.plan import same, writes
from cputune.errors import CpuTuneError, Gone, NotPutBack, Refused, from_os_error
from cputune.model import CpuTune, Domain, Write
from cputune.state import Applied, State
from cputune.systemd import Properties, Systemd, Unit, differs
from cputune.units import quota_text

_ROUNDS = 3
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Tools:
    """What tasks act on."""

    def __init__(self, site: Cgroups) -> None:
        self.site = site
        self.systemd = Systemd(site.host)
        self.state = State(site.host)


class Tell(NamedTuple):
    """What the systemd unit that owns a cgroup is to hold, and what it held."""

    unit: Unit
    properties: Properties
    held: Properties


class Tune(NamedTuple):
    """Bring one cgroup from the state `now` to the state `goal`: its owner first, then the files."""

    cgroup: str
    now: CpuTune
    goal: CpuTune
    plan: tuple[Write, ...]
    """What is expected to be written, for --dry-run; systemd may have done a part of it when the turn comes."""
    tell: Tell | None = None

    def do(self, tools: Tools) -> None:
        """Tell systemd, then write until the cgroup has the goal. Raises CpuTuneError."""
        if self.tell:
            tools.systemd.set(self.tell.unit, self.tell.properties)
        settle(tools.site, self.cgroup, self.goal)

    def undo(self, tools: Tools) -> None:
        """The same with the values from before, both of which systemd and the kernel may have differed in."""
        try:
            if self.tell:
                tools.systemd.set(self.tell.unit, self.tell.held)
        finally:
            settle(tools.site, self.cgroup, self.now)

    def left(self, tools: Tools) -> list[str]:
        """What is not as it was: knobs, and what systemd holds."""
        found = _differences(tools.site, self.cgroup, tools.site.read(self.cgroup), self.now)
        if self.tell and differs(tools.systemd.get(self.tell.unit, self.tell.held), self.tell.held):
            found.append(f"systemd holds other values for {self.tell.unit.name}")
        return found


class Save(NamedTuple):
    """Replace a saved configuration; None is no file."""

    path: str
    text: str | None
    before: str | None

    def do(self, tools: Tools) -> None:
        """Save. Raises CpuTuneError."""
        self._write(tools, self.text)

    def undo(self, tools: Tools) -> None:
        """Save the text from before, unless it is there: a full disk has no room for it twice. Raises CpuTuneError."""
        from cputune.store import read

        if read(self.path) != self.before:
            self._write(tools, self.before)

    def left(self, tools: Tools) -> list[str]:
        """The file, which has the new text."""
        return [f"{self.path} has the new configuration"]

    def _write(self, tools: Tools, text: str | None) -> None:
        from cputune.store import Store

        Store(tools.site.host).write(self.path, text)


class Record(NamedTuple):
    """Remember what was put into force."""

    domain: Domain
    applied: Applied | None
    before: Applied | None

    def do(self, tools: Tools) -> None:
        """Write the record. Raises CpuTuneError."""
        tools.state.record(self.domain, self.applied)

    def undo(self, tools: Tools) -> None:
        """Write the record from before, unless it is there. Raises CpuTuneError."""
        if tools.state.applied(self.domain) != self.before:
            tools.state.record(self.domain, self.before)

    def left(self, tools: Tools) -> list[str]:
        """The record."""
        return [f"{tools.state.directory} remembers values for {self.domain.qualified} that are not in force"]


class Task(Protocol):
    """A part of a transaction."""

    def do(self, tools: Tools) -> None:
        """Do it. Raises CpuTuneError, having done it or a part of it, or nothing."""

    def undo(self, tools: Tools) -> None:
        """Bring back the state from before, whatever of it was done. Raises CpuTuneError."""

    def left(self, tools: Tools) -> list[str]:
        """What is not as it was, a line each. Raises CpuTuneError."""


def perform(tools: Tools, tasks: list[Task]) -> None:
    """Do all tasks, or none. Raises the first error, with all put back; NotPutBack where that failed too."""
    begun: list[Task] = []
    try:
        for task in tasks:
            begun.append(task)
            task.do(tools)
    except BaseException as error:
        with uninterrupted():
            left = put_back(tools, begun)
        if left:
            cause = error if isinstance(error, CpuTuneError) else CpuTuneError(str(error) or type(error).__name__)
            raise NotPutBack(cause, left) from error
        raise


def put_back(tools: Tools, begun: list[Task]) -> list[str]:
    """Undo, last first, as much as can be; what could not be undone, a line each."""
    left: list[str] = []
    for task in reversed(begun):
        try:
            task.undo(tools)
        except Gone:
            continue  # the cgroup is gone, and its values with it
        except CpuTuneError:
            try:
                left += task.left(tools)
            except CpuTuneError as error:
                left.append(error.message)
    return left


def settle(site: Cgroups, cgroup: str, goal: CpuTune) -> None:
    """Write until the kernel has `goal`, and read back; more than once, since a write may change another knob.

    On v2 before Linux 6.10 writing cpu.max divides cpu.max.burst by 1000 (mended by kernel commit 49217ea147df);
    systemd may write its own rounded value in between. Raises CpuTuneError.
    """
    directory = site.directory(cgroup)
    now = site.read_if_used(cgroup)
    for _ in range(_ROUNDS):
        if same(site.backend, now, goal):
            return
        for write in writes(site.backend, directory, now, goal, site.bounds(cgroup)):
            try:
                site.host.write(write.path, write.value)
            except OSError as error:
                action = f"write {write.value} to {site.host.real(write.path)} (it was {write.before})"
                raise from_os_error(error, action) from error
        now = site.read_if_used(cgroup)
    if not same(site.backend, now, goal):
        raise Refused(
            f"the kernel took the write but not the value: {'; '.join(_differences(site, cgroup, now, goal))}"
        )


@contextmanager
def deferred() -> Iterator[None]:
    """Let the signals that end a command wait until the step that runs is over, and its result known."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """The same, and drop them then: until what must not stay half-done is done."""
    with deferred():
        try:
            yield
        finally:
            # What came meanwhile asks for what is happening already, and must not hide how it ended.
            while pending := signal.sigpending() & set(_SIGNALS):
                signal.sigwait(pending)


def _differences(site: Cgroups, cgroup: str, now: CpuTune, wanted: CpuTune) -> list[str]:
    directory = site.host.real(site.directory(cgroup))
    return [
        f"{directory}: {key} is {value_text(now_value)}, not {value_text(wanted_value)}"
        for key, now_value, wanted_value in zip(CpuTune._fields, now, wanted, strict=True)
        if now_value != wanted_value
    ]


def value_text(value: object) -> str:
    """A knob's value in a message."""
    return quota_text(value) if not isinstance(value, bool) and value is not None else str(value).lower()  # type: ignore[arg-type]
