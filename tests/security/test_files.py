"""What users can make of the files that root's cputune reads: nothing that is not theirs, and no waiting."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cputune.host import foreign
from cputune.host.foreign import Foreign, NotTheirs
from cputune.host.rights import acting_as
from tests.support.machine import give_up
from tests.support.users import HOME, OTHER, USER, Users

SECRET = "root:$y$j9T$secret:"


def test_each_reads_what_is_his(users: Users, files: Foreign) -> None:
    users.file("/conf", "root's")
    users.file(f"{HOME}/own", "his", USER, mode=0o600)
    assert files.read("/conf") == "root's"
    assert files.read(f"{HOME}/own", USER) == "his"
    assert [files.owner(path) for path in ("/conf", f"{HOME}/own", f"{HOME}/not/there", "/not/there")] == [
        0, USER, USER, 0,
    ]  # fmt: skip


@pytest.mark.parametrize("owner", [0, OTHER])
def test_what_is_a_users_is_no_other_ones(users: Users, files: Foreign, owner: int) -> None:
    users.file(f"{HOME}/own", "his", USER)
    with pytest.raises(NotTheirs, match=f"it is user {USER}'s"):
        files.read(f"{HOME}/own", owner)
    assert not files.exists(f"{HOME}/own", owner)
    assert files.names(HOME, owner) == []


@pytest.mark.parametrize("secret_of", [0, OTHER])
@pytest.mark.parametrize("at", ["conf", "dir/conf"])
def test_his_link_leads_to_nothing_that_is_not_his(users: Users, files: Foreign, secret_of: int, at: str) -> None:
    """Before: cputune read /etc/shadow as root, and later wrote it into a file of the user's."""
    users.folder("/secrets")
    users.file("/secrets/conf", SECRET, secret_of, mode=0o600)
    name, _, rest = at.partition("/")
    users.link(f"{HOME}/{name}", "/secrets" if rest else "/secrets/conf")
    for owner in (USER, 0):
        with pytest.raises(NotTheirs):
            files.read(f"{HOME}/{at}", owner)


def test_his_link_to_what_is_his_is_followed(users: Users, files: Foreign) -> None:
    users.folder("/data")
    users.folder("/data/mallory", USER)
    users.file("/data/mallory/conf", "his", USER)
    users.link(f"{HOME}/storage", "../../data/mallory")
    assert files.read(f"{HOME}/storage/conf", USER) == "his"


def test_roots_link_is_followed(users: Users, files: Foreign) -> None:
    users.folder("/data")
    users.file("/data/conf", "root's")
    users.link("/var", "/data", uid=0)
    assert files.read("/var/conf") == "root's"


def test_links_in_a_circle_end(users: Users, files: Foreign) -> None:
    users.link(f"{HOME}/one", "two")
    users.link(f"{HOME}/two", "one")
    with pytest.raises(OSError, match="symbolic links"):
        files.read(f"{HOME}/one", USER)


def test_roots_file_in_his_directory_is_read_with_his_rights(users: Users, files: Foreign) -> None:
    """As a hard link of his to it would be, too."""
    users.file(f"{HOME}/conf", SECRET, 0, mode=0o600)
    with pytest.raises(PermissionError, match="Permission denied"):
        files.read(f"{HOME}/conf", USER)
    users.path(f"{HOME}/conf").chmod(0o644)
    assert files.read(f"{HOME}/conf", USER) == SECRET
    with pytest.raises(NotTheirs):
        files.read(f"{HOME}/conf", 0)


def test_where_several_can_write_what_is_roots_is_nobodys(users: Users, files: Foreign) -> None:
    users.folder("/tmp", mode=0o1777)
    users.file("/tmp/roots", "moved here")
    users.folder("/tmp/lxc")
    users.file("/tmp/lxc/conf")
    users.file("/tmp/his", "his", USER)
    for path in ("/tmp/roots", "/tmp/lxc/conf"):
        assert files.owner(path) is None
        with pytest.raises(NotTheirs, match="nobody can tell whose it is"):
            files.read(path)
    assert files.owner("/tmp/new") is None
    assert files.read("/tmp/his", USER) == "his"


def test_a_file_of_roots_that_others_can_write_is_nobodys(users: Users, files: Foreign) -> None:
    users.file("/anybody", "anything", mode=0o666)
    with pytest.raises(NotTheirs):
        files.read("/anybody")
    users.path("/anybody").chmod(0o664)
    os.chown(users.path("/anybody"), 0, 50)
    assert files.owner("/anybody") is None


def test_a_stray_file_of_roots_is_roots_where_that_is_asked_for(users: Users, files: Foreign) -> None:
    users.file(f"{HOME}/backup.yaml", "root's", mode=0o400)
    assert files.read(f"{HOME}/backup.yaml", stray=True) == "root's"
    os.link(users.path(f"{HOME}/backup.yaml"), users.path("/elsewhere"))
    with pytest.raises(NotTheirs):
        files.read(f"{HOME}/backup.yaml", stray=True)
    users.file("/secret", SECRET)
    users.link(f"{HOME}/link", "/secret")
    with pytest.raises(NotTheirs):
        files.read(f"{HOME}/link", stray=True)


def test_what_is_no_regular_file_is_not_opened(users: Users, files: Foreign) -> None:
    """Before: a FIFO held up `status`, `set` and the guard for ever."""
    users.pipe(f"{HOME}/pipe")
    users.folder(f"{HOME}/folder", USER)
    os.mknod(users.path(f"{HOME}/zero"), 0o666 | 0o020000, os.makedev(1, 5))
    os.chown(users.path(f"{HOME}/zero"), USER, USER)
    for name in ("pipe", "folder", "zero"):
        with pytest.raises(OSError, match="not a regular file"):
            files.read(f"{HOME}/{name}", USER)


def test_what_he_can_make_long_is_bounded(users: Users, files: Foreign, monkeypatch: pytest.MonkeyPatch) -> None:
    users.file(f"{HOME}/long", "x" * 101, USER)
    with pytest.raises(OSError, match="File too large"):
        files.read(f"{HOME}/long", USER, limit=100)
    os.truncate(users.path(f"{HOME}/long"), 1 << 40)  # sparse
    with pytest.raises(OSError, match="File too large"):
        files.read(f"{HOME}/long", USER)
    users.folder(f"{HOME}/many", USER)
    for number in range(9):
        users.file(f"{HOME}/many/{number}", uid=USER)
    monkeypatch.setattr(foreign, "MAX_NAMES", 5)
    assert len(files.names(f"{HOME}/many", USER)) == 5


def test_who_exchanges_files_while_they_are_read_gains_nothing(users: Users, files: Foreign) -> None:
    users.file("/secret", SECRET)
    users.folder("/secrets")
    users.file("/secrets/conf", SECRET)
    users.folder(f"{HOME}/dir", USER)
    users.file(f"{HOME}/dir/conf", "his", USER)
    home = os.open(users.path(HOME), os.O_PATH)
    child = os.fork()
    if child == 0:
        try:
            os.setresuid(USER, USER, USER)
            while True:
                os.rename("dir", "away", src_dir_fd=home, dst_dir_fd=home)
                os.symlink("../../secrets", "dir", dir_fd=home)
                os.unlink("dir", dir_fd=home)
                os.rename("away", "dir", src_dir_fd=home, dst_dir_fd=home)
        finally:
            os._exit(1)
    seen = set()
    try:
        for _ in range(2000):
            seen.add(files.read_or_none(f"{HOME}/dir/conf", USER))
    finally:
        assert os.waitpid(child, os.WNOHANG) == (0, 0)  # it has exchanged them all the time
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(home)
    assert seen == {"his", None}


def test_afterwards_we_are_root_again(users: Users, files: Foreign) -> None:
    before = os.getresuid(), os.getresgid(), os.getgroups()
    users.file(f"{HOME}/conf", SECRET, 0, mode=0o600)
    with pytest.raises(PermissionError):
        files.read(f"{HOME}/conf", USER)
    assert (os.getresuid(), os.getresgid(), os.getgroups()) == before
    with acting_as(USER):
        assert os.getresuid() == (0, USER, 0)
        assert os.getgroups() == [USER]


@pytest.fixture
def fuse_mount(users: Users) -> Path:
    """A FUSE mount of USER's over a directory of his, that everybody may look into, and whose daemon never answers."""
    users.folder(f"{HOME}/fuse", USER)
    return users.path(f"{HOME}/fuse")


def test_a_fuse_mount_of_his_is_not_looked_into(users: Users, files: Foreign, fuse_mount: Path) -> None:
    try:
        device = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        give_up(f"there is no FUSE: {error}")
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id={USER},group_id={USER},allow_other"
    assert libc.mount(b"none", bytes(fuse_mount), b"fuse", 0, options.encode()) == 0, os.strerror(ctypes.get_errno())
    try:
        for path in (f"{HOME}/fuse", f"{HOME}/fuse/conf"):  # which would wait for ever
            with pytest.raises(NotTheirs, match="FUSE"):
                files.read(path, USER)
            assert not files.exists(path, USER)
        assert files.names(f"{HOME}/fuse", USER) == []
    finally:
        libc.umount2(bytes(fuse_mount), 2)  # MNT_DETACH
        os.close(device)


def test_a_socket_of_roots_is_roots_although_a_group_may_use_it(users: Users, files: Foreign) -> None:
    users.folder("/run")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(users.path("/run/docker.sock")))
    users.path("/run/docker.sock").chmod(0o660)
    os.chown(users.path("/run/docker.sock"), 0, 998)
    assert files.owner("/run/docker.sock") == 0
    os.chown(users.path("/run/docker.sock"), USER, 998)
    assert files.owner("/run/docker.sock") == USER


def test_a_directory_that_is_laid_out_as_lxds_is_read(users: Users, files: Foreign) -> None:
    """LXD's belongs to an account of its own; what is in it is root's, but a container's belongs to its mapped root."""
    users.folder("/lxd", 105, mode=0o711)
    users.folder("/lxd/containers", mode=0o711)
    users.folder("/lxd/pool", mode=0o711)
    users.folder("/lxd/pool/web", 100000, mode=0o100)
    users.file("/lxd/pool/web/backup.yaml", "root's", mode=0o400)
    users.link("/lxd/containers/web", "/lxd/pool/web", uid=0)
    assert files.names("/lxd/containers", stray=True) == ["web"]
    assert files.read("/lxd/containers/web/backup.yaml", stray=True) == "root's"
    users.link("/lxd/containers/evil", "/lxd/pool/web", uid=105)
    with pytest.raises(NotTheirs):
        files.read("/lxd/containers/evil/backup.yaml", stray=True)


def test_root_that_can_become_nobody_else_reads_what_is_his_alone(
    users: Users, files: Foreign, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a service without capabilities: not what root could read, in a directory of the user's."""
    users.file(f"{HOME}/own", "his", USER)
    users.file(f"{HOME}/linked", SECRET, 0, mode=0o600)

    def killed(*_: object) -> None:
        raise AssertionError("a sandbox would have killed it for this call")

    monkeypatch.setattr(foreign, "may_become_others", lambda: False)
    for name in ("setgroups", "setegid", "seteuid"):
        monkeypatch.setattr(os, name, killed)
    assert files.read(f"{HOME}/own", USER) == "his"
    assert files.names(HOME, USER) == ["linked", "own"]
    with pytest.raises(PermissionError, match="CAP_SETUID"):
        files.read(f"{HOME}/linked", USER)


@pytest.mark.parametrize(("dropped", "may"), [("", True), ("-setuid", False), ("-setgid", False), ("-all", False)])
def test_what_it_takes_to_become_others_is_known_beforehand(dropped: str, may: bool) -> None:
    if os.geteuid() != 0:
        give_up("only root has capabilities to drop")
    script = "from cputune.host.rights import may_become_others; print(may_become_others())"
    words = ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}"] if dropped else []
    done = subprocess.run([*words, sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{may}\n"
