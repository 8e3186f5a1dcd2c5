"""A command as a child process: forked early, executed when its cgroup and limits are ready, and waited for."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

from cputune.core.errors import CpuTuneError, Interrupted

_FORWARDED = (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGQUIT)
"""Signals that are passed on to the command, rather than ending cputune before it."""
_FROM_KERNEL = 128
"""si_code SI_KERNEL: the terminal sent it, to the whole foreground process group, so the command has it already."""


class NotExecuted(CpuTuneError):
    """The program does not exist (status 127) or cannot be executed (status 126), as env(1) and nohup(1) report it."""

    def __init__(self, program: str, number: int) -> None:
        super().__init__(f"cannot execute {program}: {os.strerror(number)}")
        self.status = 127 if number == 2 else 126


class Command:
    """A child process that has been forked, and waits for `execute` to become the command."""

    def __init__(self, argv: list[str]) -> None:
        self._argv = argv
        self._reaped = False
        start, self._start_writer = os.pipe()
        self._errors, errors_writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._start_writer)
            os.close(self._errors)
            self._run_child(start, errors_writer)
        os.close(start)
        os.close(errors_writer)

    def _run_child(self, start: int, errors: int) -> None:
        """Wait for the start, then become the command, with the signals as they were before Python. Never returns."""
        try:
            if os.read(start, 1):
                signal.pthread_sigmask(signal.SIG_SETMASK, ())
                # Python ignores these two, and a command would inherit that.
                signal.signal(signal.SIGPIPE, signal.SIG_DFL)
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                os.execvp(self._argv[0], self._argv)
        except OSError as error:
            os.write(errors, str(error.errno).encode())
        finally:
            os._exit(127)

    def execute(self) -> None:
        """Execute the command in the child. Raises NotExecuted if that fails."""
        os.write(self._start_writer, b"s")
        os.close(self._start_writer)
        number = os.read(self._errors, 16)
        os.close(self._errors)
        if number:
            os.waitpid(self.pid, 0)
            self._reaped = True
            raise NotExecuted(self._argv[0], int(number))

    def cancel(self) -> None:
        """Kill the child, so that the command is never executed."""
        # Closing the pipe would not be enough: a process forked since then holds it open, too.
        if not self._reaped:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self._reaped = True


@contextlib.contextmanager
def signals_blocked() -> Iterator[None]:
    """Block the signals that `wait` handles, from before the fork on: none is lost, and none kills cputune half-way."""
    # Our parent may have it ignored: then the kernel would not tell us that the command has ended.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, *_FORWARDED})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def raise_if_interrupted() -> None:
    """Raise Interrupted if a signal has arrived that should end the command before it begins."""
    pending = signal.sigpending() & {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    if pending:
        raise Interrupted(signal.sigwait(pending))


def wait(command: Command) -> int:
    """Wait until the command ends, and pass signals on to it. Returns its exit status, or 128 + N after signal N."""
    while True:
        info = signal.sigwaitinfo({signal.SIGCHLD, *_FORWARDED})
        if info.si_signo != signal.SIGCHLD:
            # When a terminal is closed, only the session leader gets SIGHUP.
            if info.si_code != _FROM_KERNEL or info.si_signo == signal.SIGHUP:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(command.pid, info.si_signo)
            continue
        pid, status = os.waitpid(command.pid, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            return 128 - code if code < 0 else code
