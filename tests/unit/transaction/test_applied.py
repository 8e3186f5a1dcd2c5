"""cputune's memory of this boot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cputune.core.errors import Refused
from cputune.core.knobs import UNLIMITED
from cputune.core.model import Change, Domain
from cputune.host.system import Host
from cputune.transaction.applied import AppliedRecord, AppliedRecords
from cputune.transaction.checksum import sealed
from tests.support.commandline import CommandLine
from tests.support.containers import containers
from tests.support.strategies import changes

WEB = Domain("lxc", "web", running=True, persistent=True)
shared_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def records(folder: Path) -> AppliedRecords:
    return AppliedRecords(Host("/", str(folder / "config"), str(folder / "state")))


def record_of(folder: Path) -> Path:
    return folder / "state/applied/lxc/web"


numbers = st.none() | st.integers(0, 1 << 63)


@shared_folder
@given(st.builds(AppliedRecord, changes, numbers, numbers, changes))
def test_what_was_recorded_is_read_again(tmp_path: Path, applied: AppliedRecord) -> None:
    known = records(tmp_path)
    known.write(WEB, applied)
    assert known.of(WEB) == applied


def test_a_record_is_a_line_for_each_value(tmp_path: Path) -> None:
    records(tmp_path).write(WEB, AppliedRecord(Change(quota=UNLIMITED, idle=True), inode=7, weight=100))
    assert record_of(tmp_path).read_text() == sealed("quota unlimited\nidle true\ninode 7\nbefore-idle 100\n")
    records(tmp_path).write(WEB, AppliedRecord(Change(quota=1000), found=Change(quota=UNLIMITED, idle=False)))
    assert record_of(tmp_path).read_text() == sealed("quota 1000\nfound-quota unlimited\nfound-idle false\n")


def test_two_writings_within_a_tick_of_the_clock_of_files_are_two_versions(tmp_path: Path) -> None:
    known, applied = records(tmp_path), AppliedRecord(Change(quota=1000))
    seen = []
    for _ in range(3):
        known.write(WEB, applied)
        os.utime(record_of(tmp_path), ns=(10**18, 10**18))
        seen.append(known.newest(WEB))
    assert seen[0] != seen[1] != seen[2]
    assert [found[1] for found in seen if found] == [applied] * 3


def damaged_record(folder: Path, data: bytes) -> Path:
    path = record_of(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_a_damaged_record_is_named_once_and_moved_aside(tmp_path: Path) -> None:
    said: list[str] = []
    known = AppliedRecords(Host("/", str(tmp_path / "config"), str(tmp_path / "state")), said.append)
    path = damaged_record(tmp_path, b"quota 1000\n")
    assert known.newest(WEB) is known.newest(WEB) is None
    (aside,) = (tmp_path / "state/damaged").iterdir()
    assert said == [f"{path} is damaged and not used: it is now {aside}"]
    assert aside.read_bytes() == b"quota 1000\n"
    assert known.names() == []
    known.write(WEB, AppliedRecord(Change(shares=2)))
    assert known.of(WEB) == AppliedRecord(Change(shares=2))


def test_what_another_has_put_in_place_of_a_damaged_record_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, rename = records(tmp_path), os.rename
    damaged_record(tmp_path, b"quota 1000\n")

    def meanwhile(old: str, new: str) -> None:
        monkeypatch.setattr(os, "rename", rename)
        records(tmp_path).write(WEB, AppliedRecord(Change(shares=2)))
        rename(old, new)

    monkeypatch.setattr(os, "rename", meanwhile)
    assert known.of(WEB) is None
    assert known.of(WEB) == AppliedRecord(Change(shares=2))
    assert list((tmp_path / "state/damaged").iterdir()) == []


def test_a_damaged_record_that_cannot_be_moved_is_named_and_not_used(tmp_path: Path) -> None:
    said: list[str] = []
    known = AppliedRecords(Host("/", str(tmp_path / "config"), str(tmp_path / "state")), said.append)
    path = damaged_record(tmp_path, b"quota 1000\n")
    (tmp_path / "state/damaged").write_text("no directory")
    assert known.of(WEB) is None
    assert said == [f"cannot move {path} aside, which is damaged: Not a directory"]


def test_a_record_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    said: list[str] = []
    known = AppliedRecords(Host("/", str(tmp_path / "config"), str(tmp_path / "state")), said.append)
    known.write(WEB, AppliedRecord(Change(shares=2)))
    record_of(tmp_path).chmod(0o666)
    assert known.of(WEB) is None
    assert known.of(WEB) is None  # and is said once
    assert said == [f"{record_of(tmp_path)} can be written by others (mode 0666)"]


def test_nothing_is_known_before_and_after(tmp_path: Path) -> None:
    known = records(tmp_path)
    assert known.of(WEB) is None
    known.write(WEB, None)
    known.write(WEB, AppliedRecord(Change(shares=2)))
    known.write(WEB, None)
    assert known.of(WEB) is None
    assert not record_of(tmp_path).exists()


@pytest.mark.parametrize(
    "text",
    [
        "quota\n",
        "quota -1\n",
        "quota max\n",
        "quota 5ms\n",
        "quota 005\n",
        "idle 2\n",
        "idle 1\n",
        "inode -1\n",
        "inode 99999999999999999999999\n",
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
    known = records(tmp_path)
    damaged_record(tmp_path, sealed(text).encode())
    assert known.of(WEB) is None


@shared_folder
@given(
    st.binary(max_size=200) | st.text(max_size=200).map(lambda text: sealed(text).encode("utf-8", "surrogateescape"))
)
def test_no_record_is_an_error(tmp_path: Path, data: bytes) -> None:
    damaged_record(tmp_path, data)
    found = records(tmp_path).of(WEB)
    assert found is None or isinstance(found, AppliedRecord)


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    known = records(tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("quota 5000\n")
    record_of(tmp_path).parent.mkdir(parents=True)
    record_of(tmp_path).symlink_to(secret)
    assert known.of(WEB) is None
    known.write(WEB, AppliedRecord(Change(shares=2)))
    assert secret.read_text() == "quota 5000\n"
    assert not record_of(tmp_path).is_symlink()


def test_no_name_leaves_the_state_directory(tmp_path: Path) -> None:
    known = records(tmp_path)
    known.write(WEB._replace(name="../../../evil"), AppliedRecord(Change(shares=2)))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.parent for path in files] == [tmp_path / "state/applied/lxc"]


def test_a_record_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a directory")
    with pytest.raises(Refused) as caught:
        records(tmp_path).write(WEB, AppliedRecord(Change(shares=2)))
    assert caught.value.message == f"cannot write {record_of(tmp_path)}: Not a directory"


def test_a_weight_that_was_remembered_is_forgotten_when_it_is_restored(tmp_path: Path, cputune: CommandLine) -> None:
    host = containers(tmp_path, 1)
    for words in (("--shares", "300"), ("--idle",), ("--no-idle",), ("--shares", "700")):
        assert cputune(host, "set", "web", *words).status == 0
    record = Path(host.state_dir, "applied/lxc/web").read_text()
    assert "before-idle" not in record
