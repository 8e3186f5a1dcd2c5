"""Runs programs, also as another user who may keep them from ending: bounded in output and time, whatever they do."""

from __future__ import annotations

import errno
import os
import select
import signal
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING, NamedTuple

from cputune.host.rights import acting_as, group_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

MAX_OUTPUT, MAX_OUTPUT_OF_USER = 16 << 20, 1 << 20
"""Bytes that a program may print, ours and one that runs as another user."""
_END_SECONDS = 1.0
"""For how long to wait for a killed program: one that a user traces stays until its tracer lets it go."""
_CHUNK = 65536
_BUS_VARIABLES = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
"""The environment variables that tell busctl --user where the user's bus is."""


class Completed(NamedTuple):
    """The exit status and the output of a process."""

    status: int
    stdout: str
    stderr: str


def run(argv: Sequence[str], user: int | None = None, timeout: float = 30.0, text: str | None = None) -> Completed:
    """Run a program, without a shell, and wait until it ends, at most `timeout` seconds. Its stdin is `text`.

    With `user`, a user id, it runs as that user, with that user's bus, and none of the caller's environment.
    Raises OSError if it cannot be started or prints too much (EFBIG), TimeoutError if it does not end in time. It is
    killed then; where even that is prevented, it is left behind.
    """
    import subprocess

    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=_own_environment() if user is None else environment_of(user),
        user=user,
        group=None if user is None else group_of(user),
        extra_groups=None if user is None else (),
        cwd=None if user is None else "/",
        start_new_session=True,  # ^C at the terminal must reach cputune only, which then decides what to do
    )
    limit = MAX_OUTPUT if user is None else MAX_OUTPUT_OF_USER
    try:
        out, err = _communicate(process, (text or "").encode(), limit, time.monotonic() + timeout)
        status = process.wait()
    except TimeoutError as error:
        raise TimeoutError(errno.ETIMEDOUT, f"{argv[0]} did not answer in {timeout:g} s") from error
    finally:
        _end(process, user)
    return Completed(status, out.decode(errors="replace"), err.decode(errors="replace"))


def _communicate(process: subprocess.Popen[bytes], text: bytes, limit: int, deadline: float) -> tuple[bytes, bytes]:
    """Feed and read a process until it has ended; what it has started may live on, and have its output open.

    Raises TimeoutError, OSError with EFBIG.
    """
    pipes = (process.stdin, process.stdout, process.stderr)
    stdin, out, err = (pipe.fileno() for pipe in pipes if pipe)
    printed = {out: bytearray(), err: bytearray()}
    rest = memoryview(text)
    ended = os.pidfd_open(process.pid)
    poll = select.poll()
    try:
        for fd in (*printed, ended):
            poll.register(fd, select.POLLIN)
        for fd in (*printed, stdin):
            os.set_blocking(fd, False)
        if rest:
            poll.register(stdin, select.POLLOUT)
        else:
            _close(process.stdin)
        while True:
            seconds = deadline - time.monotonic()
            ready = [fd for fd, _ in poll.poll(max(0.0, seconds) * 1000)]
            if not ready and seconds <= 0:
                raise TimeoutError
            for fd in ready:
                if fd == stdin:
                    rest = _feed(stdin, rest)
                    if not rest:
                        poll.unregister(stdin)
                        _close(process.stdin)
                elif fd in printed and not _read(fd, printed[fd]):
                    poll.unregister(fd)
            if sum(map(len, printed.values())) > limit:
                raise OSError(errno.EFBIG, f"it printed more than {limit} bytes")
            if ready == [ended]:
                return tuple(map(bytes, printed.values()))  # type: ignore[return-value]
    finally:
        os.close(ended)


def _feed(stdin: int, rest: memoryview) -> memoryview:
    """Write as much as the process takes now; return what is left, which is nothing where it takes no more."""
    try:
        return rest[os.write(stdin, rest[:_CHUNK]) :]
    except BlockingIOError:
        return rest
    except BrokenPipeError:
        return rest[:0]


def _close(pipe: IO[bytes] | None) -> None:
    if pipe:
        pipe.close()


def _read(fd: int, into: bytearray) -> bool:
    """Read what is there; return whether more can follow."""
    try:
        data = os.read(fd, _CHUNK)
    except BlockingIOError:
        return True
    into += data
    return bool(data)


def _end(process: subprocess.Popen[bytes], user: int | None) -> None:
    """Close our ends of the pipes; kill the process and those that it started, unless it has ended by itself."""
    for pipe in (process.stdin, process.stdout, process.stderr):
        _close(pipe)
    if process.returncode is not None:
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:  # without CAP_KILL the user himself can
        with suppress(OSError), acting_as(user):
            os.killpg(process.pid, signal.SIGKILL)
    ended = os.pidfd_open(process.pid)
    try:
        select.select([ended], [], [], _END_SECONDS)
    finally:
        os.close(ended)
    process.poll()


def _own_environment() -> dict[str, str]:
    env = {**os.environ, "LC_ALL": "C"}
    if os.geteuid() != 0 and "XDG_RUNTIME_DIR" not in env:  # as under sudo -u
        env |= {key: value for key, value in environment_of(os.geteuid()).items() if key in _BUS_VARIABLES}
    return env


def environment_of(user: int) -> dict[str, str]:
    """Return the environment for a program that runs as this user id."""
    import pwd

    run_dir = f"/run/user/{user}"
    env = {"PATH": f"{os.defpath}:/usr/sbin:/sbin", "LC_ALL": "C", "XDG_RUNTIME_DIR": run_dir}
    env["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={run_dir}/bus"
    try:
        entry = pwd.getpwuid(user)
    except KeyError:
        return env
    return env | {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name}
