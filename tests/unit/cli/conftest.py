"""A recorded host for command lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.hosts import Scratch, lay_out, read


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    """Debian 13 with a domain of most runtimes."""
    return lay_out(read("debian13-unified"), tmp_path / "root")
