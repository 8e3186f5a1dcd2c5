"""`cputune schedinfo`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.commandline import CommandLine
from tests.support.containers import add_lxc
from tests.support.fakekernel import FakeKernel, Kernel


def test_schedinfo_is_virshs_byte_for_byte(host: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(host, "schedinfo", "web") == (
        0,
        "Scheduler      : posix\n"
        "cpu_shares     : 1024\n"
        "vcpu_period    : 100000\n"
        "vcpu_quota     : -1\n"
        "\n",
        "",
    )  # fmt: skip


def test_schedinfo_of_a_config_that_is_not_there(host: FakeKernel, cputune: CommandLine) -> None:
    zeros = "Scheduler      : posix\ncpu_shares     : 0\nvcpu_period    : 0\nvcpu_quota     : 0\n\n"
    assert cputune(host, "schedinfo", "old").out == zeros
    assert cputune(host, "schedinfo", "web", "--config").out == zeros


@pytest.mark.parametrize("form", ["options", "words"])
def test_schedinfo_sets_as_virsh_does(host: FakeKernel, cputune: CommandLine, form: str) -> None:
    assignments = ["cpu_shares=512", "vcpu_quota=50000"]
    words = assignments if form == "words" else [word for text in assignments for word in ("--set", text)]
    assert cputune(host, "schedinfo", "web", *words).out == (
        "Scheduler      : posix\ncpu_shares     : 512\nvcpu_period    : 100000\nvcpu_quota     : 50000\n\n"
    )


def test_schedinfo_sets_live_and_config_and_shows_live(v2: FakeKernel, cputune: CommandLine) -> None:
    shown = cputune(v2, "schedinfo", "web", "--live", "--config", "--set", "vcpu_quota=50000")
    assert (shown.status, shown.out.splitlines()[3]) == (0, "vcpu_quota     : 50000")
    assert cputune(v2, "schedinfo", "web", "--config").out.splitlines()[3] == "vcpu_quota     : 50000"


def test_schedinfo_for_programs(host: FakeKernel, cputune: CommandLine) -> None:
    data = json.loads(cputune(host, "schedinfo", "web", "--json", "--all").out)
    assert data == {
        "domain": "lxc:web",
        "source": "live",
        "scheduler": "posix",
        "parameters": 6,
        "cpu_shares": 1024,
        "vcpu_period": 100000,
        "vcpu_quota": -1,
        "cpu_weight": 100,
        "vcpu_burst": 0,
        "cpu_idle": False,
    }


def test_schedinfo_without_bandwidth(tmp_path: Path, cputune: CommandLine) -> None:
    host = FakeKernel(tmp_path, Kernel(2, bandwidth=False, burst=False))
    add_lxc(host, "web")
    assert cputune(host, "schedinfo", "web").out == "Scheduler      : posix\ncpu_shares     : 1024\n\n"
    assert json.loads(cputune(host, "schedinfo", "web", "--json").out)["parameters"] == 1
