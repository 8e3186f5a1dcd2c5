"""cputune's own files: replaced whole, and not believed where others can change them."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from cputune.core.errors import NoPermission
from cputune.host.files import make_trusted_dir, read_trusted, scratch_of, write_atomically
from tests.support.commandline import CommandLine
from tests.support.fakekernel import FakeKernel
from tests.support.hostile import explained


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


def test_what_a_killed_process_with_our_number_left_is_in_nobodys_way(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    Path(scratch_of(path, os.getpid())).write_text("half of")
    write_atomically(path, "whole", sync=True)
    assert {found.name: found.read_text() for found in tmp_path.iterdir()} == {"file": "whole"}


def test_a_scratch_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    secret, path = tmp_path / "secret", str(tmp_path / "own/file")
    secret.write_text("secret")
    (tmp_path / "own").mkdir()
    os.symlink(secret, scratch_of(path, os.getpid()))
    write_atomically(path, "text", sync=False)
    assert (secret.read_text(), Path(path).read_text()) == ("secret", "text")


@pytest.mark.parametrize(("mode", "group", "ours"), [(0o755, 0, True), (0o775, 0, True), (0o757, 0, False),
                                                     (0o775, 4711, False), (0o755, 4711, True)])  # fmt: skip
def test_a_folder_is_ours_where_nobody_else_can_write(tmp_path: Path, mode: int, group: int, ours: bool) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    os.chown(folder, -1, group or -1)
    folder.chmod(mode)
    if ours:
        make_trusted_dir(str(folder))
        return
    with pytest.raises(NoPermission) as caught:
        make_trusted_dir(str(folder))
    assert caught.value.message == f"{folder} can be written by others (mode {mode:04o})"
    assert caught.value.hint == f"chmod go-w {folder}"


def test_what_belongs_to_another_user_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    os.chown(path, 4711, -1)
    with pytest.raises(NoPermission, match=r"/file belongs to user 4711, who can change it$"):
        read_trusted(str(path), 10)


def test_a_file_in_a_folder_of_others_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "folder/file"
    path.parent.mkdir()
    path.write_text("x")
    path.parent.chmod(0o777)
    with pytest.raises(NoPermission, match=r"/folder can be written by others \(mode 0777\)$"):
        read_trusted(str(path), 10)


def test_only_a_regular_file_of_some_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345\xff")
    assert read_trusted(str(path), 6) == "12345\udcff"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(path)
    for name, limit, number in (("file", 5, errno.EFBIG), ("pipe", 9, errno.EINVAL), ("link", 9, errno.ELOOP)):
        with pytest.raises(OSError, match=r".") as caught:
            read_trusted(str(tmp_path / name), limit)
        assert caught.value.errno == number


@pytest.mark.parametrize(
    ("base", "folder"), [("config", "domains"), ("config", "domains/lxc"), ("state", "applied"), ("data", "journal")]
)
def test_a_link_to_a_folder_of_roots_own_is_not_followed_either(
    v2: FakeKernel, cputune: CommandLine, base: str, folder: str, tmp_path: Path
) -> None:
    words = ("set", "lxc:web", "--live", "--config", "--quota")
    assert cputune(v2, *words, "30000").status == 0
    path = Path({"config": v2.config_dir, "state": v2.state_dir, "data": v2.data_dir}[base], folder)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    before = {file: file.read_bytes() for file in (tmp_path / "elsewhere").rglob("*") if file.is_file()}
    ended = explained(cputune(v2, *words, "6000"))
    assert ended.status == 5
    assert f"{path} is a symbolic link, which is not followed" in ended.err
    assert {file: file.read_bytes() for file in (tmp_path / "elsewhere").rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("name", ["journal", "applied", "locks", "history"])
def test_links_planted_where_cputune_writes(v2: FakeKernel, cputune: CommandLine, name: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    where = Path(v2.data_dir if name == "history" else v2.state_dir)
    where.mkdir(parents=True)
    (where / name).symlink_to(secret)
    ended = explained(cputune(v2, "set", "lxc:web", "--quota", "6000", "--live"))
    assert secret.read_text() == "secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert ended.status == {"history": 0, "journal": 5}.get(name, 7)
    assert (v2.read("/sys/fs/cgroup/lxc.payload.web/cpu.max").split()[0] == "6000") == (ended.status == 0)
