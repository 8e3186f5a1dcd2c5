"""The history, whatever has become of it."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from cputune.transaction.checksum import unsealed
from tests.support.commandline import CommandLine
from tests.support.fakekernel import FakeKernel
from tests.support.hostile import damaged, explained, one_host, resealed


@settings(parent=one_host, max_examples=300)
@given(st.data())
def test_any_history_is_shown_or_left_out(v2: FakeKernel, cputune: CommandLine, data: st.DataObject) -> None:
    """Damaged, or in its lines with the checksum of what it has become."""
    path = Path(v2.data_dir, "history")
    written = Path(v2.root, "text")
    if not written.exists():
        assert cputune(v2, "set", "lxc:web", "lxc:db", "--quota", "30000", "--live", "--config").status == 0
        path.rename(written)
    whole = written.read_bytes()
    if data.draw(st.booleans()):
        path.write_bytes(damaged(whole, data))
    else:
        content = unsealed(whole.decode())
        assert content
        path.write_bytes(resealed(damaged(content.encode(), data)))
    path.chmod(0o600)
    explained(cputune(v2, "history"))
    explained(cputune(v2, "history", "lxc:web", "--json"))
    explained(cputune(v2, "undo", "--dry-run"))
    explained(cputune(v2, "set", "lxc:web", "--weight", "5", "--config"))
