"""Which files nobody but root can change: decided link by link, directory by directory."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cputune.core.errors import NoPermission
from cputune.host.ownership import ChangeableByUser, read_own, resolved

USER = 4242


def test_links_of_roots_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real/inner").mkdir(parents=True)
    (tmp_path / "real/inner/file").touch()
    (tmp_path / "to real").symlink_to(tmp_path / "real")
    (tmp_path / "real/inner/up").symlink_to("../inner/./file")
    real = os.path.realpath(tmp_path)
    assert resolved(f"{tmp_path}/to real/inner/up") == f"{real}/real/inner/file"
    assert resolved(f"{tmp_path}//to real/inner/..") == f"{real}/real"
    assert resolved(f"{tmp_path}/to real/new/file") == f"{real}/real/new/file"


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(OSError, match="Too many levels") as caught:
        resolved(f"{tmp_path}/one")
    assert caught.value.errno == errno.ELOOP


def test_a_link_of_a_users_is_not_followed_wherever_it_leads(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.chown(tmp_path / "link", USER, USER, follow_symlinks=False)
    with pytest.raises(ChangeableByUser) as caught:
        resolved(f"{tmp_path}/link")
    assert (caught.value.uid, caught.value.exit) == (USER, 5)


@pytest.mark.parametrize("lasting", [False, True])
def test_a_directory_such_as_tmp_is_good_enough_for_now(tmp_path: Path, lasting: bool) -> None:
    assert resolved("/tmp") == "/tmp"
    if lasting:
        with pytest.raises(NoPermission, match="can be written by others"):
            resolved("/tmp/file", lasting=True)


def test_only_a_file_is_read_and_never_more_than_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert read_own(str(path), 10) is None
    path.write_bytes(b"12345\xff")
    found = read_own(str(path), 6)
    assert found is not None
    assert found[0] == "12345\udcff"
    with pytest.raises(OSError, match="File too large"):
        read_own(str(path), 5)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        read_own(str(path), 10)
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="Too many levels"):
        read_own(str(path), 10)
