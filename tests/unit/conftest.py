"""Hypothesis without a clock, since a busy machine is no failure; hosts with three containers of LXC's."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.fakekernel import FakeKernel, Kernel
from tests.support.lab import add_lxc, define_lxc

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


def containers(folder: Path, version: int) -> FakeKernel:
    host = FakeKernel(folder, Kernel(version))
    for name in ("web", "db"):
        add_lxc(host, name)
    define_lxc(host, "old")
    return host
