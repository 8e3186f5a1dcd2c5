"""Each test of this folder that takes a `lab` runs over the fake kernels and the real one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fakekernel import FAKES, FakeKernel
from tests.support.lab import Lab, opened
from tests.support.machine import leave_out, real_version

HERE = Path(__file__).parent


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The kernels that a test is for: all, or those of the version that it is marked with."""
    if "lab" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("cgroup")
    versions = {**{name: kernel.version for name, kernel in FAKES.items()}, "real": real_version()}
    names = [name for name, version in versions.items() if marker is None or version in (None, marker.args[0])]
    metafunc.parametrize("lab", names, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In user-mode-linux leave out what needs neither its kernel nor its root: that runs outside already."""
    if "CPUTUNE_UML" in os.environ:
        leave_out(config, items, lambda item: HERE in item.path.parents and not needs_a_guest(item))


def needs_a_guest(item: pytest.Item) -> bool:
    """Whether this test is on the real kernel, or mounts a file system."""
    return item.get_closest_marker("kernel") is not None or "disk" in getattr(item, "fixturenames", ())


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """A kernel with a cgroup of the test's own."""
    if request.param == "real":
        yield request.getfixturevalue("real")
        return
    with opened(Lab(FakeKernel(tmp_path, FAKES[request.param]))) as lab:
        yield lab
