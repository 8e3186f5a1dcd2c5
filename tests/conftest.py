"""Fixtures for all tests: the command line, and a real kernel or the reason why there is none."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cputune.host.system import Host
from tests.support.commandline import CommandLine, Ended
from tests.support.lab import Lab, RealHost, Unavailable, opened
from tests.support.machine import MEMORY, give_up, leave_out, memory_is_large, real_version

KERNEL = Path(__file__).parent / "kernel"


def pytest_configure(config: pytest.Config) -> None:
    if memory_is_large():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", MEMORY)  # pytest makes its temporary folders there
    config.addinivalue_line("markers", "cgroup(version): only for kernels with this cgroup version")
    config.addinivalue_line("markers", "kernel: uses a real kernel (set by itself); not in `tests/run --fast`")
    # A shell lets what it starts in the background ignore these, and so would all that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)  # before pytest looks at -m
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what uses a real kernel, and leave out what is for the other cgroup version."""
    for item in items:
        if uses_a_kernel(item):
            item.add_marker("kernel")
    leave_out(config, items, for_another_kernel)


def uses_a_kernel(item: pytest.Item) -> bool:
    """Whether this test runs on a real kernel: by what it takes, so that nobody has to remember a mark."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    fixtures = {"real", "uml", "fuse_mount"} & set(getattr(item, "fixturenames", ()))
    return params.get("lab") == "real" or bool(fixtures) or KERNEL in item.path.parents


def for_another_kernel(item: pytest.Item) -> bool:
    marker = item.get_closest_marker("cgroup")
    real = "real" in getattr(item, "fixturenames", ())
    return marker is not None and real and real_version() not in (None, marker.args[0])


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Lab]:
    """The real kernel, with a cgroup of the test's own."""
    lab = Lab(RealHost(tmp_path))
    try:
        with opened(lab):
            yield lab
    except Unavailable as reason:
        give_up(str(reason))


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
