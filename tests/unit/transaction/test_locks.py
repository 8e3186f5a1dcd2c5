"""Locks between processes: one at a time for what is shared, all at once for what is not."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cputune.core.errors import CpuTuneError, NoPermission
from cputune.core.model import Domain
from cputune.host.cgroup.cgroups import Cgroups
from cputune.transaction.locks import Busy, Keys, Locks, keys_of
from tests.support.fakekernel import FAKES, FakeKernel
from tests.support.locks import free, held, keys, locks, waiting
from tests.support.waiting import until


def test_one_at_a_time_for_one_name_and_any_number_for_others(tmp_path: Path) -> None:
    with held(tmp_path, "a,b", "p"):
        assert not free(tmp_path, "a")
        assert not free(tmp_path, "x b")
        assert not free(tmp_path, "", "a")
        assert not free(tmp_path, "p")
        assert free(tmp_path, "x", "p")
    assert free(tmp_path, "a b p")


def test_the_error_names_who_holds_it(tmp_path: Path) -> None:
    own = locks(tmp_path)
    with held(tmp_path, "lxc:web") as holder, pytest.raises(Busy) as caught, own.hold(keys("lxc:web"), seconds=0):
        pytest.fail("two hold the lock")
    assert caught.value.message.startswith(f"process {holder.pid} ({sys.executable} -c ")
    assert caught.value.message.endswith(") holds the lock on lxc:web")
    assert caught.value.hint == f"ps -fp {holder.pid}"


def waiter(folder: Path, holder: subprocess.Popen[str], exclusive: str = "", shared: str = "", end: int = 42) -> int:
    """A process that waits for a lock, and ends with this status (41: it did not have to wait) when it has it."""
    child = os.fork()
    if child == 0:
        try:
            assert holder.stdin
            os.close(holder.stdin.fileno())  # or the other one never sees the end of it
            with locks(folder).hold(keys(exclusive, shared)) as waited:
                os._exit(end if waited else 41)
        finally:
            os._exit(40)
    until(lambda: child in waiting())
    return child


def status_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    with held(tmp_path, "a") as holder:
        child = waiter(tmp_path, holder, "a")
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
    assert status_of(child) == 42
    with locks(tmp_path).hold(keys("a")) as waited:
        assert not waited


@pytest.mark.parametrize("killed", [None, 3])
def test_those_who_wait_have_their_turn_in_the_order_in_which_they_came(tmp_path: Path, killed: int | None) -> None:
    """One has died meanwhile, which stops nobody; the kernel wakes those behind it, and they stand in line anew."""
    order = tmp_path / "order"
    with held(tmp_path, "a") as holder:
        children = []
        for number in range(6):
            child = os.fork()
            if child == 0:
                try:
                    assert holder.stdin
                    os.close(holder.stdin.fileno())
                    with locks(tmp_path).hold(keys("a")), open(order, "a") as file:
                        file.write(str(number))
                finally:
                    os._exit(0)
            until(lambda child=child: child in waiting())  # type: ignore[misc]
            children.append(child)
        if killed is not None:
            os.kill(children[killed], signal.SIGKILL)
            os.waitpid(children.pop(killed), 0)
    for child in children:
        os.waitpid(child, 0)
    found = order.read_text()
    assert [number for number in found if killed is None or int(number) < killed] == list("012345")[:killed]
    assert sorted(found) == [str(number) for number in range(6) if number != killed]


def test_who_wants_it_alone_is_not_passed_by_those_who_share_it(tmp_path: Path) -> None:
    with held(tmp_path, "", "a") as holder:
        assert free(tmp_path, "", "a")
        alone = waiter(tmp_path, holder, "a", end=43)
        sharing = waiter(tmp_path, holder, "", "a", end=44)
        assert {alone, sharing} <= waiting()
    assert (status_of(alone), status_of(sharing)) == (43, 44)


class Line:
    """A lock that is never had, and who holds it each time that somebody looks: a second passes for each look."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *holders: int | None) -> None:
        self.holders = holders
        self.now = 0
        monkeypatch.setattr(Locks, "_try", lambda *_: False)
        monkeypatch.setattr(Locks, "_lock_within", self.sleep)
        monkeypatch.setattr(Locks, "_holder", lambda *_: self.holders[min(self.now, len(self.holders) - 1)])
        monkeypatch.setattr("cputune.transaction.locks.time.monotonic", lambda: self.now)
        monkeypatch.setattr("cputune.transaction.locks.LOCK_SECONDS", 5)

    def sleep(self, *_: object) -> bool:
        self.now += 1
        return False


@pytest.mark.parametrize(
    ("holders", "after"),
    [
        ((7,), 5),
        ((*range(1, 100), 0), 104),
        ((7, 7, 7, 7, None, 7), 10),
        ((None,) * 60 + (0,), 65),
    ],
)
def test_one_gives_up_when_the_same_process_has_held_it_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holders: tuple[int | None, ...], after: int
) -> None:
    line = Line(monkeypatch, *holders)
    with pytest.raises(Busy) as caught, locks(tmp_path).hold(keys("a")):
        pytest.fail("had it")
    assert line.now == after
    who = f"process {holders[-1]} (" if holders[-1] else "another cputune process holds"
    assert caught.value.message.startswith(who)


def test_who_has_so_many_seconds_waits_no_longer_whoever_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(monkeypatch, *range(1, 100))
    with pytest.raises(Busy, match=r"^process 9 \("), locks(tmp_path).hold(keys("a"), seconds=8):
        pytest.fail("had it")
    assert line.now == 8


def test_a_timer_that_was_set_ends_the_wait_and_is_set_afterwards(tmp_path: Path) -> None:
    """As that of a hook, which holds up the start of a container."""
    rung = []

    def ring(*_: object) -> None:
        rung.append(1)
        raise KeyError

    before = signal.signal(signal.SIGALRM, ring)
    try:
        with held(tmp_path, "a"):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(KeyError), locks(tmp_path).hold(keys("a")):
                pytest.fail("two hold the lock")
            signal.setitimer(signal.ITIMER_REAL, 600, 7)
            with pytest.raises(Busy), locks(tmp_path).hold(keys("a"), seconds=0.01):
                pytest.fail("two hold the lock")
            left, interval = signal.getitimer(signal.ITIMER_REAL)
            assert 1 < left <= 600
            assert interval == 7
        assert rung == [1]
        assert signal.getsignal(signal.SIGALRM) is ring
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    with held(tmp_path, "a") as holder:
        holder.kill()
        holder.wait()
        assert free(tmp_path, "a")


def test_the_lock_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locks(tmp_path).hold(keys("a")):
        raise KeyError
    with held(tmp_path, "a"):
        assert not free(tmp_path, "a")


def test_within_a_lock_there_may_be_another_one(tmp_path: Path) -> None:
    """As the history's within that of a domain; and what is had already is not given back by the inner one."""
    own = locks(tmp_path)
    script = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        + """
from pathlib import Path
from tests.support.locks import free
print([free(Path(sys.argv[1]), name) for name in ("a", "b")])
"""
    )

    def seen() -> str:
        done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    with own.hold(keys("a")):
        with own.hold(keys("a b", "c")):
            assert seen() == "[False, False]"
        assert seen() == "[False, True]"
        with held(tmp_path, "", "c"):
            pass  # neither the byte nor its gate is kept
    assert seen() == "[True, True]"


def test_a_process_forked_under_the_lock_does_not_keep_it(tmp_path: Path) -> None:
    """As the one that holds a scope open for `cputune run`."""
    gate, go = os.pipe()
    with locks(tmp_path).hold(keys("a")):
        pid = os.fork()
        if pid == 0:
            os.close(go)
            os.read(gate, 1)
            os._exit(0)
    assert free(tmp_path, "a")
    os.close(go)
    os.waitpid(pid, 0)


def test_nobody_else_may_open_the_file(tmp_path: Path) -> None:
    with locks(tmp_path).hold(keys("a")):
        assert stat.S_IMODE((tmp_path / "state/locks").stat().st_mode) == 0o600


def test_a_state_directory_that_others_can_write_in_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)
    with pytest.raises(NoPermission, match=r"can be written by others \(mode 0777\)$"), locks(tmp_path).hold(keys("a")):
        pytest.fail("trusted it")


def test_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a directory")
    with pytest.raises(CpuTuneError) as caught, locks(tmp_path).hold(keys("a")):
        pytest.fail("locked a file")
    assert caught.value.message == f"cannot lock {tmp_path}/state/locks: Not a directory"


@pytest.mark.parametrize(("kernel", "shared"), [("fake-v1", {"cgroup:/p", "cgroup:/p/q"}), ("fake-v2", set())])
def test_a_child_keeps_its_parents_as_they_are_where_they_bound_it(
    tmp_path: Path, kernel: str, shared: set[str]
) -> None:
    cgroups = Cgroups(FakeKernel(tmp_path, FAKES[kernel]))
    domain = Domain("lxc", "web", True, True, "/p/q/web", "/p/q/web")
    assert keys_of(cgroups, [domain]) == Keys(frozenset({"lxc:web", "cgroup:/p/q/web"}), frozenset(shared))
    parent = Domain("cgroup", "/p/q", True, True, "/p/q", "/p/q")
    found = keys_of(cgroups, [domain, parent])
    assert found.shared == frozenset(shared - {"cgroup:/p/q"})
    assert "cgroup:/p/q" in found.exclusive
