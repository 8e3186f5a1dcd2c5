"""Single flipped bits in cputune's own files: each is found, the file is named and kept, and nothing of it is used."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cputune.app.tuner import Tuner
from cputune.core.knobs import UNLIMITED
from cputune.core.model import Change, Domain
from cputune.host.system import Host
from cputune.transaction.applied import AppliedRecord, AppliedRecords
from cputune.transaction.journal import Lost
from cputune.transaction.recovery import recover
from tests.support import crash
from tests.support.containers import snapshot, two_containers
from tests.support.fakekernel import FAKES

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
