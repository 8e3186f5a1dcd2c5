"""Single flipped bits in cputune's own files: each is found, the file is named and kept, and nothing of it is used."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cputune.app.tuner import Tuner
from cputune.app.undo import undo
from cputune.core.knobs import UNLIMITED
from cputune.core.model import Change, Domain, Request
from cputune.host.system import Host
from cputune.planning.plan import Job
from cputune.transaction.applied import AppliedRecord, AppliedRecords
from cputune.transaction.history import History
from cputune.transaction.journal import Lost
from cputune.transaction.recovery import recover
from tests.support import crash
from tests.support.containers import snapshot, two_containers
from tests.support.fakekernel import FAKES, FakeKernel

FLIPS = int(os.environ.get("CPUTUNE_FLIPS", "2000"))
"""In each file; all there are, where it has fewer bits."""


def flipped(data: bytes) -> Iterator[bytes]:
    """The data with each of many bits, one at a time, the other way round."""
    bits = 8 * len(data)
    for bit in random.Random(1).sample(range(bits), min(FLIPS, bits)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


def test_in_an_applied_record(tmp_path: Path) -> None:
    said: list[str] = []
    records = AppliedRecords(Host("/", str(tmp_path / "config"), str(tmp_path / "state")), said.append)
    web = Domain("lxc", "web", running=True, persistent=True)
    whole = AppliedRecord(
        Change(quota=50000, period=20000, burst=7, idle=False, shares=512), 4711, 77, Change(quota=UNLIMITED, weight=9)
    )
    records.write(web, whole)
    path = Path(records.path(web))
    data = path.read_bytes()
    for changed in flipped(data):
        path.write_bytes(changed)
        assert records.of(web) is None, changed
        (aside,) = (tmp_path / "state/damaged").iterdir()
        assert aside.read_bytes() == changed
        assert said.pop() == f"{path} is damaged and not used: it is now {aside}"
        aside.unlink()
    path.write_bytes(data)
    assert records.of(web) == whole
    assert said == []


def test_in_a_page_of_the_journal(tmp_path: Path) -> None:
    host = two_containers(tmp_path, FAKES["fake-v2"], "version: 1\nquota: 50000\n")
    words = ("set", "lxc:web", "lxc:db", "--quota", "30000", "--live", "--config")
    assert crash.attempt(host, words, 22, crash.kill).status == -signal.SIGKILL
    (page,) = Path(host.data_dir, "journal").iterdir()
    data = page.read_bytes()
    page.unlink()
    said: list[str] = []
    before, context = snapshot(host), Tuner(host, pytest.fail).context
    for changed in flipped(data):
        page.write_bytes(changed)
        page.chmod(0o600)
        (lost,) = recover(context).values()
        (aside,) = Path(host.data_dir, "damaged").iterdir()
        assert isinstance(lost, Lost), changed
        assert lost.message.startswith(f"{page} is damaged and not used: it is now {aside}; "), changed
        assert aside.read_bytes() == changed
        aside.unlink()
    assert snapshot(host) == before
    page.write_bytes(data)
    context.say = said.append
    assert recover(context) == {}
    assert snapshot(host) != before


def changed_host(folder: Path) -> tuple[FakeKernel, History, list[str]]:
    """A host on which something was changed three times, and taken back once; its history, and what that says."""
    host = two_containers(folder, FAKES["fake-v2"], "version: 1\nquota: 50000\n")
    said: list[str] = []
    tuner = Tuner(host, said.append, "cputune set")
    web, db = (tuner.find(name) for name in ("lxc:web", "lxc:db"))
    for quota in (30000, 31000):
        tuner.change([Job(web, Request(Change(quota=quota)), "both"), Job(db, Request(Change(quota=quota)), "live")])
    undo(tuner, "lxc:db")
    said.clear()
    return host, History(tuner.context), said


def test_in_the_history(tmp_path: Path) -> None:
    """What is still shown is as it was, but for what had become of it if that was in the line that is damaged."""
    host, history, said = changed_host(tmp_path)
    path = Path(host.data_dir, "history")
    data, whole = path.read_bytes(), {past.entry.id: past for past in history.newest_first()}
    assert len(whole) == 3
    for changed in flipped(data):
        path.write_bytes(changed)
        found = [*history.newest_first()]
        assert len(found) < 3, changed
        for past in found:
            known = whole[past.entry.id]
            assert (past.entry, past.tasks) == (known.entry, known.tasks), changed
            assert past.undone <= known.undone, changed
        (aside,) = Path(host.data_dir, "damaged").iterdir()
        assert said == [f"{path} has damaged lines, which are not used: they are now in {aside}"]
        kept = aside.read_bytes() + path.read_bytes()
        assert set(kept.split(b"\n")) == {*changed.split(b"\n"), b""}
        assert [*history.newest_first()] == found
        said.clear()
        aside.unlink()
    path.write_bytes(data)
    assert {past.entry.id: past for past in history.newest_first()} == whole


def test_in_the_file_of_a_large_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cputune.transaction.history_files.LARGE", 10)
    host, history, said = changed_host(tmp_path)
    *_, first = whole = [*history.newest_first()]
    path = Path(host.data_dir, "history.large", first.entry.id)
    data = path.read_bytes()
    for changed in flipped(data):
        path.write_bytes(changed)
        path.chmod(0o600)
        assert [*history.newest_first()] == whole[:-1], changed
        (aside,) = Path(host.data_dir, "damaged").iterdir()
        assert said == [f"{path} is damaged and not used: it is now {aside}"]
        assert aside.read_bytes() == changed
        assert not path.exists()
        said.clear()
        aside.unlink()
    path.write_bytes(data)
    path.chmod(0o600)
    assert [*history.newest_first()] == whole
