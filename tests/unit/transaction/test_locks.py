"""Locks between processes: one at a time for what is shared, all at once for what is not."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cputune.core.errors import CpuTuneError, NoPermission
from cputune.core.model import Domain
from cputune.host.cgroup.cgroups import Cgroups
from cputune.transaction.locks import Busy, Keys, keys_of
from tests.support.fakekernel import FAKES, FakeKernel
from tests.support.locks import free, held, keys, locks


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


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    ready, go = os.pipe()
    with held(tmp_path, "a") as holder:
        assert holder.stdin
        child = os.fork()
        if child == 0:
            try:
                os.close(holder.stdin.fileno())  # or the other one never sees the end of it
                naps = iter((b"x",))
                time.sleep = lambda _: os.write(go, next(naps, b""))  # type: ignore[assignment]
                with locks(tmp_path).hold(keys("a"), seconds=60) as waited:
                    os._exit(42 if waited else 1)
            finally:
                os._exit(2)
        os.read(ready, 1)
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    with locks(tmp_path).hold(keys("a")) as waited:
        assert not waited


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
        with own.hold(keys("a b")):
            assert seen() == "[False, False]"
        assert seen() == "[False, True]"
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
