"""A command in a cgroup of its own, from before its first instruction until nothing of it is left.

Who does what: `Command` is the process, stopped before exec until it is told to go; a `Place` is the cgroup, a
transient scope where systemd is PID 1 and a directory where it is not; `wait` passes signals on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from typing import Protocol

from cputune.core.errors import CpuTuneError, Interrupted, NoPermission, Refused, Unsupported, WrongState, from_os_error
from cputune.core.names import file_name
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.cgroup.support import disabled_above, enabling_hint
from cputune.host.systemd import Systemd, Unit, enables, escape
from cputune.runtimes import run

_FORWARDED = (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGQUIT)
_FROM_KERNEL = 128
"""si_code SI_KERNEL: the terminal sent it, to the whole foreground group, so the command has it already."""
_PATIENCE = 10.0
OTHER_NAME = "give another name: cputune run --name ..."


class Command:
    """A process that waits, already forked, to become the command."""

    def __init__(self, argv: list[str]) -> None:
        self._argv = argv
        self._over = False
        gate, self._go = os.pipe()
        self._failed, failed = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._go)
            os.close(self._failed)
            self._child(gate, failed)
        os.close(gate)
        os.close(failed)

    def _child(self, gate: int, failed: int) -> None:
        """Wait for the word, then become the command; never returns, and leaves no trace of the parent's state."""
        try:
            if os.read(gate, 1):
                signal.pthread_sigmask(signal.SIG_SETMASK, ())
                # Python ignores these two, and a command would inherit that.
                signal.signal(signal.SIGPIPE, signal.SIG_DFL)
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                os.execvp(self._argv[0], self._argv)
        except OSError as error:
            os.write(failed, str(error.errno).encode())
        finally:
            os._exit(127)

    def go(self) -> None:
        """Let it execute. Raises WrongState where the program cannot be executed, with the shells' 126 or 127."""
        os.write(self._go, b"g")
        os.close(self._go)
        said = os.read(self._failed, 16)
        os.close(self._failed)
        if said:
            os.waitpid(self.pid, 0)
            self._over = True
            raise NotExecuted(self._argv[0], int(said))

    def cancel(self) -> None:
        """End it without ever executing the command."""
        # Not by closing the gate: a process forked since then would hold it open.
        if not self._over:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self._over = True


class NotExecuted(CpuTuneError):
    """The program is not there (127) or is no program (126), as env and nohup say it."""

    def __init__(self, program: str, number: int) -> None:
        super().__init__(f"cannot execute {program}: {os.strerror(number)}")
        self.status = 127 if number == 2 else 126


class CommandCgroup(Protocol):
    """The cgroup of a command."""

    def enter(self, pid: int) -> str:
        """Make the cgroup, put a process in it, and return its path. Raises CpuTuneError with nothing left."""

    def leave(self) -> str | None:
        """Remove the cgroup; where processes are still in it, leave it, and say so."""


class Directory:
    """A cgroup made by hand, /cputune/NAME below the mount; on v1 also in the hierarchy that counts usage."""

    def __init__(self, cgroups: Cgroups, name: str) -> None:
        hierarchy = cgroups.hierarchy
        top = hierarchy.root.rstrip("/") if os.geteuid() == 0 else cgroups.of_pid(os.getpid()).rstrip("/")
        self.cgroups = cgroups
        self.parent = f"{top}/cputune"
        self.path = f"{self.parent}/{file_name(name)}"
        self._parents = [mount + hierarchy.inside(self.parent) for mount in _mounts(cgroups)]
        self._folders = [mount + hierarchy.inside(self.path) for mount in _mounts(cgroups)]

    def enter(self, pid: int) -> str:
        """Make the directories, enable the controller above them, move the process in."""
        host = self.cgroups.host
        if self._procs():
            raise WrongState(f"cgroup {self.path} is there already, with processes in it", OTHER_NAME)
        try:
            for parent, folder in zip(self._parents, self._folders, strict=True):
                self._make(parent)
                self._make(folder)
            if self.cgroups.hierarchy.version == 2:
                self._enable()
            for folder in self._folders:
                host.write(f"{folder}/cgroup.procs", str(pid))
        except OSError as error:
            self._remove()
            raise _explain(self.cgroups, error, f"put process {pid} into {self._folders[0]}") from error
        except CpuTuneError:
            self._remove()
            raise
        return self.path

    def leave(self) -> str | None:
        """Remove the directories, and the common parent if it is empty."""
        procs = self._procs()
        if procs:
            return _left_behind(procs, self._folders[0])
        self._remove()
        return None

    def _procs(self) -> list[str]:
        return (self.cgroups.host.read_or_none(f"{self._folders[0]}/cgroup.procs") or "").split()

    def _make(self, folder: str) -> None:
        with contextlib.suppress(FileExistsError):
            self.cgroups.host.mkdir(folder)

    def _enable(self) -> None:
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
        for folder in (*self._folders, *self._parents):
            deadline = time.monotonic() + 1
            # The kernel lets go of a dead process a moment after its parent has heard of it.
            while self.cgroups.host.is_dir(folder) and time.monotonic() < deadline:
                try:
                    self.cgroups.host.rmdir(folder)
                except OSError:
                    if folder in self._parents:
                        break
                    time.sleep(0.01)


class Scope:
    """A transient scope of systemd's: of the system manager for root, else of the user's own."""

    def __init__(self, cgroups: Cgroups, name: str) -> None:
        """Raises Unsupported where the user's manager has no cpu controller."""
        self.cgroups = cgroups
        self.systemd = Systemd(cgroups.host)
        self.unit = Unit(f"cputune-{escape(name)}.scope", None if os.geteuid() == 0 else os.getuid())
        if not enables(self.unit, cgroups.hierarchy.version):
            raise Unsupported(
                "cgroup v1 delegates no cpu controller to users' managers", "run it as root: sudo cputune run ..."
            )
        self._name = name
        self._holder: Command | None = None

    def enter(self, pid: int) -> str:
        """Start the scope with the process in it, and wait for that.

        A second process holds the scope, so that the counters can be read after the command's end: systemd removes
        an empty scope at once.
        """
        self._holder = Command(["true"])
        try:
            self.systemd.start_scope(
                self.unit, [pid, self._holder.pid], {"CPUWeight": 100}, f"cputune run {self._name}"
            )
            return self._arrived(pid)
        except BaseException:
            self._holder.cancel()
            self._holder = None
            raise

    def _arrived(self, pid: int) -> str:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            path = self.cgroups.of_pid(pid)
            if path.rpartition("/")[2] == self.unit.name:
                return path
            time.sleep(0.002)
        raise Refused(
            f"systemd did not move process {pid} into {self.unit.name} in {_PATIENCE:g} s",
            f"systemctl {'' if self.unit.uid is None else '--user '}status {self.unit.name}",
        )

    def leave(self) -> str | None:
        """Let the scope go: systemd removes it when the last process of it ends."""
        if self._holder is None:
            return None
        path = self.cgroups.of_pid(self._holder.pid)
        held = str(self._holder.pid)
        procs = [
            pid
            for pid in (self.cgroups.host.read_or_none(f"{self.cgroups.directory(path)}/cgroup.procs") or "").split()
            if pid != held
        ]
        self._holder.cancel()
        if procs:
            return _left_behind(procs, self.unit.name)
        return None


def sweep(cgroups: Cgroups) -> None:
    """Remove what commands left whose last process ended after their `cputune run` did."""
    for record in run.dead(cgroups):
        run.remove(cgroups.host, record.name)
        if not cgroups.hierarchy.inside(record.cgroup).startswith("/cputune/"):
            continue  # a scope, which systemd removes
        for mount in _mounts(cgroups):
            with contextlib.suppress(OSError):
                cgroups.host.rmdir(mount + cgroups.hierarchy.inside(record.cgroup))


def _mounts(cgroups: Cgroups) -> list[str]:
    """Where a command's cgroup is made: on v1 also in the hierarchy that counts usage."""
    return list(dict.fromkeys((cgroups.hierarchy.mount, cgroups.hierarchy.acct or cgroups.hierarchy.mount)))


def _left_behind(procs: list[str], where: str) -> str:
    return f"processes of it still run in {where}, which stays, with its limits: {' '.join(procs)}"


def place_for(cgroups: Cgroups, name: str) -> CommandCgroup:
    """A scope where systemd is PID 1, else a directory."""
    return Scope(cgroups, name) if Systemd(cgroups.host).booted() else Directory(cgroups, name)


def wait(command: Command) -> int:
    """Wait for the command and pass signals on to it; its exit status, or 128 + N where signal N ended it."""
    while True:
        info = signal.sigwaitinfo({signal.SIGCHLD, *_FORWARDED})
        if info.si_signo != signal.SIGCHLD:
            # A terminal that is closed tells only the leader of its session.
            if info.si_code != _FROM_KERNEL or info.si_signo == signal.SIGHUP:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(command.pid, info.si_signo)
            continue
        pid, status = os.waitpid(command.pid, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            return 128 - code if code < 0 else code


def refuse_interrupted() -> None:
    """Raise Interrupted where a signal came that should end the command before it began."""
    pending = signal.sigpending() & {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    if pending:
        raise Interrupted(signal.sigwait(pending))


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Block what `wait` takes, from before the fork on, so that none is lost and none kills us half-way."""
    # Whoever started us may have it ignored, and then nobody hears of the command's end.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, *_FORWARDED})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _explain(cgroups: Cgroups, error: OSError, action: str) -> CpuTuneError:
    found = from_os_error(error, action)
    if isinstance(found, NoPermission) and os.geteuid() != 0:
        found.hint = "run it as root: sudo cputune run ..."
    if isinstance(found, WrongState):
        return Refused(found.message)
    return found
