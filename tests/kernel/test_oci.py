"""Real containers of runc and crun on a real kernel where systemd is not PID 1: the cgroup file is all there is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from cputune.app.tuner import Tuner
from cputune.host.system import Host
from tests.support.bundle import bundle
from tests.support.commandline import CommandLine

PROGRAMS = ("runc", "crun")


class Container(NamedTuple):
    """A running container, and the host for cputune."""

    program: str
    id: str
    host: Host
    tuner: Tuner

    @property
    def name(self) -> str:
        return f"oci:{self.program}/{self.id}"

    def file(self, name: str) -> str:
        limit = self.tuner.find(self.name).limit_cgroup
        assert limit is not None
        return self.host.read(f"{self.tuner.cgroups.directory(limit)}/{name}").strip()

    def quota(self) -> str:
        if self.tuner.cgroups.hierarchy.version == 2:
            return self.file("cpu.max").split()[0]
        return self.file("cpu.cfs_quota_us")


def run(program: str, id_: str, folder: Path) -> None:
    Path(f"/run/{program}").mkdir(parents=True, exist_ok=True)
    command = [program, "run", "-d", "--bundle", str(folder), id_]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
    assert done.returncode == 0


@pytest.fixture(params=PROGRAMS)
def container(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Container]:
    program, id_ = request.param, f"box-{os.getpid()}"
    bundle(tmp_path / "bundle", program, f"/cputune-{program}-{id_}")
    run(program, id_, tmp_path / "bundle")
    host = Host("/", *(str(tmp_path / name) for name in ("config", "state", "data")))
    try:
        yield Container(program, id_, host, Tuner(host))
    finally:
        subprocess.run([program, "delete", "-f", id_], check=True)


def test_it_is_found_where_it_is_and_changed(container: Container, cputune: CommandLine) -> None:
    found = container.tuner.find(container.name)
    assert found.limit_cgroup == f"/cputune-{container.program}-{container.id}"
    assert not found.mirrored
    done = cputune(container.host, "set", container.name, "--cpus", "0.25", "--live")
    assert (done.status, done.err) == (0, "")
    assert container.quota() == "25000"


def test_shares_are_what_the_program_itself_makes_of_them(container: Container, cputune: CommandLine) -> None:
    """The same number, given by its own update and by cputune, is the same weight."""
    version = container.tuner.cgroups.hierarchy.version
    file = "cpu.shares" if version == 1 else "cpu.weight"
    subprocess.run([container.program, "update", "--cpu-share", "512", container.id], check=True)
    theirs = container.file(file)
    assert "cpu_shares     : 512\n" in cputune(container.host, "schedinfo", container.name).out or version == 2
    cputune(container.host, "set", container.name, "--weight", "77", "--live")
    assert cputune(container.host, "set", container.name, "--shares", "512", "--live").status == 0
    assert container.file(file) == theirs


def test_what_is_saved_is_put_into_force_in_the_next_one_of_that_id(
    container: Container, cputune: CommandLine, tmp_path: Path
) -> None:
    assert cputune(container.host, "set", container.name, "--quota", "33000", "--config").status == 0
    assert container.quota() in ("max", "-1")
    subprocess.run([container.program, "delete", "-f", container.id], check=True)
    assert cputune(container.host, "schedinfo", container.name).status == 3
    run(container.program, container.id, tmp_path / "bundle")
    assert cputune(container.host, "apply").status == 0
    assert container.quota() == "33000"


def test_it_has_no_memory_to_hand_a_change_to(container: Container, cputune: CommandLine) -> None:
    done = cputune(container.host, "set", container.name, "--quota", "33000", "--live", "--config", "--native")
    assert done.status == 4
    assert container.quota() in ("max", "-1")
