"""What a killed cputune leaves, whatever has become of it, even where its checksum says that nothing has."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cputune.transaction.checksum import unsealed
from tests.support import crash
from tests.support.commandline import CommandLine
from tests.support.fakekernel import FakeKernel
from tests.support.hostile import damaged, explained, one_host, resealed

SET = ("set", "lxc:web", "lxc:db", "--quota", "30000", "--live", "--config")


@settings(parent=one_host, max_examples=300)
@given(st.data())
def test_any_journal_is_put_back_or_explained(
    v2: FakeKernel, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch, data: st.DataObject
) -> None:
    monkeypatch.chdir(v2.root)  # a path in it may have become a relative one
    folder = Path(v2.data_dir, "journal")
    page = folder / "01795572235706755657-99999"
    if not Path(v2.root, "text").exists():
        killed = crash.attempt(v2, SET, 12, crash.kill)
        assert killed.status == -signal.SIGKILL
        (written,) = folder.iterdir()
        written.rename(v2.root + "/text")
    content = unsealed(Path(v2.root, "text").read_text())
    assert content
    page.write_bytes(resealed(damaged(content.encode(), data)))
    page.chmod(0o600)
    ended = explained(cputune(v2, "recover"))
    explained(cputune(v2, "set", "lxc:web", "--quota", "40000", "--live"))
    explained(cputune(v2, "recover", "--discard"))
    assert not list(folder.iterdir()), ended
    assert explained(cputune(v2, "set", "lxc:web", "--quota", "50000", "--live")).status == 0
