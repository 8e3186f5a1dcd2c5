"""Fixtures for all tests: the command line, and a real kernel or the reason why there is none."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest

from cputune.core.errors import CpuTuneError
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.system import Host
from tests.support.lab import Lab, RealHost, Unavailable, opened

LAB = "CPUTUNE_LAB"
"""Set where the lab is complete: what would be skipped there is a failure."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cgroup(version): only for kernels with this cgroup version")
    # A shell lets what it starts in the background ignore these, and so would all that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


@cache
def real_version() -> int | None:
    """The version of the real kernel's cpu hierarchy; None where there is none."""
    try:
        return Cgroups(Host()).hierarchy.version
    except CpuTuneError:
        return None


def give_up(reason: str) -> NoReturn:
    """Skip; in the complete lab, fail."""
    if LAB in os.environ:
        pytest.fail(f"{LAB} is set, but {reason}")
    pytest.skip(reason)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of the real kernel that are for the other cgroup version."""
    leave_out(config, items, for_another_kernel)


def for_another_kernel(item: pytest.Item) -> bool:
    marker = item.get_closest_marker("cgroup")
    real = "real" in getattr(item, "fixturenames", ())
    return marker is not None and real and real_version() not in (None, marker.args[0])


def leave_out(config: pytest.Config, items: list[pytest.Item], unwanted: Callable[[pytest.Item], bool]) -> None:
    """Not skipped: what has no meaning here cannot be missed."""
    left_out = [item for item in items if unwanted(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Lab]:
    """The real kernel, with a cgroup of the test's own."""
    lab = Lab(RealHost(tmp_path))
    try:
        with opened(lab):
            yield lab
    except Unavailable as reason:
        give_up(str(reason))


class Ended(NamedTuple):
    """How a command line ended."""

    status: int
    out: str
    err: str


CommandLine = Callable[..., Ended]


@pytest.fixture
def cputune(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Run a command line on a host: cputune(host, "set", "web", "--shares", "512")."""
    from cputune.cli.main import run

    def call(host: Host, *words: str) -> Ended:
        monkeypatch.setattr("cputune.host.system.Host", lambda *_: host)
        capsys.readouterr()
        status = run(list(words))
        return Ended(status, *capsys.readouterr())

    return call
