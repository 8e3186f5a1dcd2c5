"""cputune's memory of this boot: records, the lock, and files that are replaced whole."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cputune import state as module
from cputune.errors import CpuTuneError, Refused
from cputune.host import Host
from cputune.model import MAX_QUOTA, UNLIMITED, Change, Domain
from cputune.state import Applied, State, write_atomically

WEB = Domain("lxc", "web", running=True, persistent=True)
shared_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def memory(folder: Path) -> State:
    return State(Host("/", str(folder / "config"), str(folder / "state")))


def record_of(folder: Path) -> Path:
    return folder / "state/applied/lxc/web"


changes = st.builds(
    Change,
    shares=st.none() | st.integers(2, 262144),
    weight=st.none() | st.integers(1, 10000),
    period=st.none() | st.integers(1000, 1000000),
    quota=st.none() | st.just(UNLIMITED) | st.integers(1000, MAX_QUOTA),
    burst=st.none() | st.integers(0, MAX_QUOTA),
    idle=st.none() | st.booleans(),
)
numbers = st.none() | st.integers(0, 1 << 63)


@shared_folder
@given(st.builds(Applied, changes, numbers, numbers))
def test_what_was_recorded_is_read_again(tmp_path: Path, applied: Applied) -> None:
    state = memory(tmp_path)
    state.record(WEB, applied)
    assert state.applied(WEB) == applied


def test_a_record_is_a_line_for_each_value(tmp_path: Path) -> None:
    memory(tmp_path).record(WEB, Applied(Change(quota=UNLIMITED, idle=True), inode=7, weight=100))
    assert record_of(tmp_path).read_text() == "quota unlimited\nidle 1\ninode 7\nbefore-idle 100\n"


def test_nothing_is_known_before_and_after(tmp_path: Path) -> None:
    state = memory(tmp_path)
    assert state.applied(WEB) is None
    state.record(WEB, None)
    state.record(WEB, Applied(Change(shares=2)))
    state.record(WEB, None)
    assert state.applied(WEB) is None
    assert not record_of(tmp_path).exists()


@pytest.mark.parametrize(
    "text",
    [
        "quota\n",
        "quota -1\n",
        "quota 5\n\n",
        "quota abc\n",
        "quota ٣\n",
        "evil 1\n",
        "quota 1_0\n",
        "\0",
        "quota 5 6\n",
    ],
)
def test_a_record_in_another_form_counts_for_nothing(tmp_path: Path, text: str) -> None:
    state = memory(tmp_path)
    record_of(tmp_path).parent.mkdir(parents=True)
    record_of(tmp_path).write_text(text)
    assert state.applied(WEB) is None


@shared_folder
@given(st.binary(max_size=200))
def test_no_record_is_an_error(tmp_path: Path, data: bytes) -> None:
    record_of(tmp_path).parent.mkdir(parents=True, exist_ok=True)
    record_of(tmp_path).write_bytes(data)
    found = memory(tmp_path).applied(WEB)
    assert found is None or isinstance(found, Applied)


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    state = memory(tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("quota 5000\n")
    record_of(tmp_path).parent.mkdir(parents=True)
    record_of(tmp_path).symlink_to(secret)
    assert state.applied(WEB) is None
    state.record(WEB, Applied(Change(shares=2)))
    assert secret.read_text() == "quota 5000\n"
    assert not record_of(tmp_path).is_symlink()


def test_no_name_leaves_the_state_directory(tmp_path: Path) -> None:
    state = memory(tmp_path)
    state.record(WEB._replace(name="../../../evil"), Applied(Change(shares=2)))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.parent for path in files] == [tmp_path / "state/applied/lxc"]


def test_a_record_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a directory")
    with pytest.raises(Refused) as caught:
        memory(tmp_path).record(WEB, Applied(Change(shares=2)))
    assert caught.value.message == f"cannot write {record_of(tmp_path)}: Not a directory"


HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "r+")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("written", "who", "hint"), [("4242\n", "process 4242", "ps -fp 4242"), ("", "process unknown", None)]
)
def test_a_lock_that_another_process_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, who: str, hint: str | None
) -> None:
    state = memory(tmp_path)
    with state.locked():
        pass
    lock = tmp_path / "state/lock"
    lock.write_text(written)
    monkeypatch.setattr(module, "LOCK_SECONDS", 0)
    command = [sys.executable, "-c", HOLDER, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Refused) as caught, state.locked():
            pytest.fail("two hold the lock")
        holder.communicate("")
    assert caught.value.message == f"another cputune ({who}) has held {lock} for 0 s"
    assert caught.value.hint == hint
    with state.locked():
        assert lock.read_text() == f"{os.getpid()}\n"


def test_the_lock_is_free_after_an_error(tmp_path: Path) -> None:
    state = memory(tmp_path)
    with pytest.raises(KeyError), state.locked():
        raise KeyError
    with state.locked():
        assert (tmp_path / "state/lock").exists()


def test_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a directory")
    with pytest.raises(CpuTuneError) as caught, memory(tmp_path).locked():
        pytest.fail("locked a file")
    assert caught.value.message == f"cannot lock {tmp_path}/state/lock: File exists"


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new/folder/file"
    write_atomically(str(path), "one\n", sync=True)
    inode = path.stat().st_ino
    write_atomically(str(path), "two\udcff\n", sync=False)
    assert path.read_bytes() == b"two\xff\n"
    assert path.stat().st_ino != inode
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [found.name for found in path.parent.iterdir()] == ["file"]


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_atomically(str(tmp_path / "file"), "x", sync=False)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_a_failed_replacement_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            write_atomically(str(path), "new", sync=True)
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_a_long_write_in_pieces_arrives_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
        write_atomically(str(tmp_path / "file"), "0123456789", sync=False)
    assert (tmp_path / "file").read_text() == "0123456789"


def test_a_process_forked_under_the_lock_does_not_keep_it(tmp_path: Path) -> None:
    """As the one that holds a scope open for `cputune run`."""
    gate, go = os.pipe()
    with memory(tmp_path).locked():
        pid = os.fork()
        if pid == 0:
            os.close(go)
            os.read(gate, 1)
            os._exit(0)
    lock = os.open(tmp_path / "state/lock", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(lock)
        os.close(go)
        os.waitpid(pid, 0)
