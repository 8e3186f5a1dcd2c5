"""Hypothesis without a clock, since a busy machine is no failure; hosts with three containers of LXC's."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.containers import containers
from tests.support.fakekernel import FakeKernel

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> FakeKernel:
    """Two running containers, web and db, and one that is stopped, old."""
    return containers(tmp_path, request.param)


@pytest.fixture
def v2(tmp_path: Path) -> FakeKernel:
    return containers(tmp_path, 2)


@pytest.fixture
def v1(tmp_path: Path) -> FakeKernel:
    return containers(tmp_path, 1)
