"""Programs that run as a user: whatever he does to them, they end in time, and say no more than they may."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cputune.host import programs
from cputune.host.programs import run
from tests.support.users import USER, Users


@pytest.fixture(params=[None, USER])
def user(request: pytest.FixtureRequest, users: Users) -> int | None:
    """Nobody else; or a real user."""
    found: int | None = request.param
    return found


def script(words: str) -> list[str]:
    return ["/bin/sh", "-c", words]


def test_it_is_that_user_and_has_nothing_of_ours(user: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "ours")
    done = run(script("id -u; id -G; echo $SECRET; cat"), user, text="asked\n")
    mine = f"{os.getuid()}\n{' '.join(map(str, os.getgroups() or [0]))}\nours"
    assert done.stdout == f"{mine if user is None else f'{USER}{chr(10)}{USER}{chr(10)}'}\nasked\n"


def test_what_it_prints_is_bounded(user: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before: 1 GiB from a user's bus was 2.2 GB in root's process."""
    for name in ("MAX_OUTPUT", "MAX_OUTPUT_OF_USER"):
        monkeypatch.setattr(programs, name, 1 << 16)
    with pytest.raises(OSError, match="it printed more than 65536 bytes"):
        run(script("yes"), user)
    assert run(script("yes | head -c 65536"), user).stdout == "y\n" * 32768


def test_what_does_not_answer_is_ended(user: int | None, tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match=r"did not answer in 0\.2 s"):
        run(script("trap '' TERM INT HUP; sleep 1000 & sleep 1000"), user, timeout=0.2)


def test_nobody_waits_for_those_who_have_left_the_group(user: int | None) -> None:
    """They have its output open, and would be waited for until they end."""
    done = run(script("setsid sleep 30 & echo started; exit 3"), user)
    assert (done.status, done.stdout) == (3, "started\n")


@contextmanager
def tracer(command: str) -> Iterator[int]:
    """A process of USER's that traces the first other one with that command line, and never takes its end.

    Yields a pipe, in which there is a byte once it traces.
    """
    traced, by_child = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(USER, USER, USER)
            os.setresuid(USER, USER, USER)
            while not (found := [pid for pid in filter(str.isdigit, os.listdir("/proc")) if _is(pid, command)]):
                pass
            if ctypes.CDLL(None).ptrace(0x4206, int(found[0]), None, None) == 0:  # PTRACE_SEIZE
                os.write(by_child, b"t")
                signal.pause()
        finally:
            os._exit(1)
    os.close(by_child)
    try:
        yield traced
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(traced)


def _is(pid: str, command: str) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
            return file.read().replace("\0", " ").strip() == command
    except OSError:
        return False


def test_one_that_a_user_traces_is_given_up(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end is told to the tracer first, who need not take it; before, the caller waited for that."""
    monkeypatch.setattr(programs, "_END_SECONDS", 0.1)
    with tracer("sleep 98765") as traced:
        with pytest.raises(TimeoutError):
            run(["sleep", "98765"], USER, timeout=2)
        assert os.read(traced, 1) == b"t"


def test_input_that_nobody_reads_is_no_obstacle(user: int | None) -> None:
    assert run(script("exit 4"), user, text="x" * (1 << 20)).status == 4


def test_what_is_not_there_is_an_error(user: int | None) -> None:
    with pytest.raises(FileNotFoundError):
        run(["/no/such/program"], user)
