"""The cgroup of a command that `cputune run` starts: a transient scope under systemd, else a directory."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Protocol

from cputune.app.launcher import Command
from cputune.core.errors import CpuTuneError, NoPermission, Refused, Unsupported, WrongState, from_os_error
from cputune.core.names import file_name
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.cgroup.support import disabled_above, enabling_hint
from cputune.host.systemd import Systemd, Unit, enables, escape
from cputune.runtimes import run

_SCOPE_SECONDS = 10.0
"""Seconds in which systemd must have moved a process into its new scope."""
_EXIT_SECONDS = 1.0
"""Seconds in which the kernel must have removed ended processes from a cgroup: it does so just after their parent has
been told."""
OTHER_NAME = "give another name: cputune run --name ..."
"""The hint where the name is in use."""


class CommandCgroup(Protocol):
    """The cgroup of one command."""

    def enter(self, pid: int) -> str:
        """Create the cgroup, move a process into it, and return its path. Raises CpuTuneError with nothing left."""

    def remove(self) -> str | None:
        """Remove the cgroup. If processes are still in it, keep it, and return a message that says so."""


def cgroup_for(cgroups: Cgroups, name: str) -> CommandCgroup:
    """Return the cgroup for a command of this name. Raises Unsupported as `ScopeCgroup`."""
    return ScopeCgroup(cgroups, name) if Systemd(cgroups.host).booted() else DirectoryCgroup(cgroups, name)


class DirectoryCgroup:
    """A cgroup made without systemd: /cputune/NAME below the mount; on v1 also in the cpuacct hierarchy."""

    def __init__(self, cgroups: Cgroups, name: str) -> None:
        hierarchy = cgroups.hierarchy
        top = hierarchy.root.rstrip("/") if os.geteuid() == 0 else cgroups.of_pid(os.getpid()).rstrip("/")
        self.cgroups = cgroups
        self.parent = f"{top}/cputune"
        self.path = f"{self.parent}/{file_name(name)}"
        self._parents = [mount + hierarchy.inside(self.parent) for mount in _mounts(cgroups)]
        self._directories = [mount + hierarchy.inside(self.path) for mount in _mounts(cgroups)]

    def enter(self, pid: int) -> str:
        """Create the directories, enable the controller above them, move the process in."""
        host = self.cgroups.host
        if self._processes():
            raise WrongState(f"cgroup {self.path} already exists, and has processes", OTHER_NAME)
        try:
            for parent, directory in zip(self._parents, self._directories, strict=True):
                self._make(parent)
                self._make(directory)
            if self.cgroups.hierarchy.version == 2:
                self._enable()
            for directory in self._directories:
                host.write(f"{directory}/cgroup.procs", str(pid))
        except OSError as error:
            self._remove()
            raise _explain(error, f"put process {pid} into {self._directories[0]}") from error
        except CpuTuneError:
            self._remove()
            raise
        return self.path

    def remove(self) -> str | None:
        """Remove the directories, and their parents if those are empty."""
        processes = self._processes()
        if processes:
            return _still_running(processes, self._directories[0])
        self._remove()
        return None

    def _processes(self) -> list[str]:
        return (self.cgroups.host.read_or_none(f"{self._directories[0]}/cgroup.procs") or "").split()

    def _make(self, directory: str) -> None:
        with contextlib.suppress(FileExistsError):
            self.cgroups.host.mkdir(directory)

    def _enable(self) -> None:
        """Enable the cpu controller in every cgroup above that has not enabled it."""
        for parent in disabled_above(self.cgroups, self.path):
            file = f"{self.cgroups.directory(parent)}/cgroup.subtree_control"
            try:
                self.cgroups.host.write(file, "+cpu")
            except OSError as error:
                if error.errno in (1, 13, 30):
                    raise from_os_error(error, f"write +cpu to {file}") from error
                raise Unsupported(
                    f"cannot enable the cpu controller: write +cpu to {file}: {os.strerror(error.errno or 0)}",
                    enabling_hint(self.cgroups, self.path),
                ) from error

    def _remove(self) -> None:
        for directory in (*self._directories, *self._parents):
            deadline = time.monotonic() + _EXIT_SECONDS
            while self.cgroups.host.is_dir(directory) and time.monotonic() < deadline:
                try:
                    self.cgroups.host.rmdir(directory)
                except OSError:
                    if directory in self._parents:
                        break  # it has the cgroups of other commands
                    time.sleep(0.01)


class ScopeCgroup:
    """A transient scope of systemd: of the system manager for root, else of the user's own manager."""

    def __init__(self, cgroups: Cgroups, name: str) -> None:
        """Raises Unsupported if the user's manager has no cpu controller."""
        self.cgroups = cgroups
        self.systemd = Systemd(cgroups.host)
        self.unit = Unit(f"cputune-{escape(name)}.scope", None if os.geteuid() == 0 else os.getuid())
        if not enables(self.unit, cgroups.hierarchy.version):
            raise Unsupported(
                "cgroup v1 does not delegate the cpu controller to users' service managers",
                "run it as root: sudo cputune run ...",
            )
        self._name = name
        self._holder: Command | None = None
        """A process that does nothing, so that the scope lasts until its counters have been read: systemd removes an
        empty scope at once."""

    def enter(self, pid: int) -> str:
        """Start the scope with the process and the holder in it, and wait until they are there."""
        self._holder = Command(["true"])
        try:
            self.systemd.start_scope(
                self.unit, [pid, self._holder.pid], {"CPUWeight": 100}, f"cputune run {self._name}"
            )
            return self._wait_for(pid)
        except BaseException:
            self._holder.cancel()
            self._holder = None
            raise

    def _wait_for(self, pid: int) -> str:
        """Wait until the process is in the scope, and return the cgroup. Raises Refused."""
        deadline = time.monotonic() + _SCOPE_SECONDS
        while time.monotonic() < deadline:
            path = self.cgroups.of_pid(pid)
            if path.rpartition("/")[2] == self.unit.name:
                return path
            time.sleep(0.002)
        raise Refused(
            f"systemd did not move process {pid} into {self.unit.name} within {_SCOPE_SECONDS:g} s",
            f"systemctl {'' if self.unit.uid is None else '--user '}status {self.unit.name}",
        )

    def remove(self) -> str | None:
        """End the holder: systemd removes the scope when its last process has ended."""
        if self._holder is None:
            return None
        path = self.cgroups.of_pid(self._holder.pid)
        file = f"{self.cgroups.directory(path)}/cgroup.procs"
        processes = (self.cgroups.host.read_or_none(file) or "").split()
        others = [pid for pid in processes if pid != str(self._holder.pid)]
        self._holder.cancel()
        return _still_running(others, self.unit.name) if others else None


def remove_stale(cgroups: Cgroups) -> None:
    """Remove the records and cgroups of commands whose last process ended after their `cputune run` had exited."""
    for record in run.dead(cgroups):
        run.remove(cgroups.host, record.name)
        if not cgroups.hierarchy.inside(record.cgroup).startswith("/cputune/"):
            continue  # a scope, which systemd removes
        for mount in _mounts(cgroups):
            with contextlib.suppress(OSError):
                cgroups.host.rmdir(mount + cgroups.hierarchy.inside(record.cgroup))


def _mounts(cgroups: Cgroups) -> list[str]:
    """Return where a command's cgroup is created: on v1 also in the hierarchy that accounts CPU usage."""
    return list(dict.fromkeys((cgroups.hierarchy.mount, cgroups.hierarchy.acct or cgroups.hierarchy.mount)))


def _still_running(processes: list[str], where: str) -> str:
    return f"processes are still running in {where}, which is kept with its limits: {' '.join(processes)}"


def _explain(error: OSError, action: str) -> CpuTuneError:
    explained = from_os_error(error, action)
    if isinstance(explained, NoPermission) and os.geteuid() != 0:
        explained.hint = "run it as root: sudo cputune run ..."
    return Refused(explained.message) if isinstance(explained, WrongState) else explained
