"""A recorded host: the module's HOST, or a Debian 13 with a domain of most runtimes."""

from __future__ import annotations

from pathlib import Path

import pytest

from cputune.host.cgroup.cgroups import Cgroups
from tests.support.hosts import Scratch, lay_out, read


@pytest.fixture
def scratch(request: pytest.FixtureRequest, tmp_path: Path) -> Scratch:
    return lay_out(read(getattr(request.module, "HOST", "debian13-unified")), tmp_path)


@pytest.fixture
def cgroups(scratch: Scratch) -> Cgroups:
    return Cgroups(scratch.host)
