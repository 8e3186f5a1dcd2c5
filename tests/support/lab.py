"""Hosts for tests: a lab with a fresh cgroup on any kernel, and domains of the runtimes on a fake one."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cputune.app.schedinfo import SchedInfo, schedinfo
from cputune.app.tuner import Tuner
from cputune.core.errors import CpuTuneError
from cputune.core.goals import Where
from cputune.core.knobs import KNOB
from cputune.core.model import Change, CpuTune, Domain, Request
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.system import Host
from cputune.planning.plan import Job, Outcome, Plan
from tests.support.fakekernel import FakeKernel
from tests.support.waiting import until

_NUMBERS = itertools.count(1)
_PIDS = itertools.count(40001)


class RealHost(Host):
    """This machine; records the writes."""

    def __init__(self, folder: Path) -> None:
        super().__init__("/", str(folder / "config"), str(folder / "state"), str(folder / "data"))
        self.writes: list[tuple[str, str]] = []

    def write(self, path: str, text: str) -> None:
        """Write, and take down what the kernel took."""
        super().write(path, text)
        self.writes.append((path, text))


class Unavailable(Exception):
    """Why there is no cpu hierarchy here that a test may write."""


def docker_id(number: int) -> str:
    """An id of docker's for a container of this process's tests: a guard on the real kernel sees all tests' cgroups."""
    return f"{os.getpid():016x}{number:048x}"


class Lab:
    """A kernel, real or fake, and in it one cgroup of the test's own, made anew and removed at the end."""

    def __init__(self, host: RealHost | FakeKernel) -> None:
        self.host = host
        self.cgroups = Cgroups(host)
        self.group = f"/cputune-test-{os.getpid()}-{next(_NUMBERS)}"
        self._pids: list[int] = []

    def open(self) -> None:
        """Make the cgroup. Raises Unavailable."""
        try:
            hierarchy = self.cgroups.hierarchy
            self.group = hierarchy.root.rstrip("/") + self.group
            self.tuner = Tuner(self.host)
            self.make()
            if self.read("weight") is None or self.read("quota") is None:
                self.close()
                raise Unavailable(f"no CPU limits in {hierarchy.mount}")
        except CpuTuneError as error:
            raise Unavailable(error.message) from error
        except OSError as error:
            self.remove()
            raise Unavailable(f"cannot make a cgroup in {hierarchy.mount}: {error.strerror}") from error
        self.host.writes.clear()

    def close(self) -> None:
        """End the processes, and remove the cgroup with all that are in it."""
        for pid in self._pids:
            self._end(pid)
        self.remove()

    # --- cgroups ------------------------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """1 or 2."""
        return self.cgroups.hierarchy.version

    @property
    def weight_key(self) -> str:
        """What the kernel counts in: shares or weight."""
        return self.cgroups.backend.weight_key

    def path(self, name: str = "") -> str:
        """The cgroup NAME inside the test's own, which is the one without a name."""
        return f"{self.group}/{name}" if name else self.group

    def name(self, name: str = "") -> str:
        """The same as the name of a domain."""
        return f"cgroup:{self.path(name)}"

    def directory(self, name: str = "") -> str:
        """Its directory."""
        return self.cgroups.directory(self.path(name))

    def _folders(self, name: str) -> list[str]:
        """Its directory, and the one in the hierarchy that counts usage (v1, where that is another)."""
        hierarchy = self.cgroups.hierarchy
        mounts = dict.fromkeys((hierarchy.mount, hierarchy.acct or hierarchy.mount))
        return [mount + hierarchy.inside(self.path(name)) for mount in mounts]

    def make(self, name: str = "", **values: Any) -> str:
        """Make a cgroup, the ones above it too, with the cpu controller and these values."""
        above = name.rpartition("/")[0]
        if name and not self.host.is_dir(self.directory(above)):
            self.make(above)
        if name and self.version == 2:
            self.host.write(f"{self.directory(above)}/cgroup.subtree_control", "+cpu")
        for folder in self._folders(name):
            self.host.mkdir(folder)
        self.put(name, **values)
        return self.path(name)

    def remove(self, name: str = "") -> None:
        """Remove a cgroup with all that are in it."""
        for folder in self._folders(name):
            remove_tree(self.host, folder)

    def spawn(self, name: str = "", command: str = "sleep 1000") -> int:
        """Start a process in a cgroup, and return its pid."""
        if isinstance(self.host, FakeKernel):
            self._pids.append(next(_PIDS))
            self.host.add_process(self._pids[-1], self.path(name), command)
            return self._pids[-1]
        self._pids.append(os.posix_spawnp("sh", ["sh", "-c", f"exec {command}"], os.environ))
        for folder in self._folders(name):
            self.host.write(f"{folder}/cgroup.procs", str(self._pids[-1]))
        return self._pids[-1]

    def _end(self, pid: int) -> None:
        if isinstance(self.host, FakeKernel):
            self.host.end_process(pid)
        else:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    # --- knobs, as the kernel has them --------------------------------------------------------------------------------

    def file(self, knob: str, name: str = "") -> str:
        """The file of a knob: "weight" is v1's cpu.shares too; on v2 quota and period are one file."""
        file = self.cgroups.backend.file(knob) if knob in KNOB else None
        return f"{self.directory(name)}/{file.name if file else knob}"

    def read(self, knob: str, name: str = "") -> str | None:
        """What a knob's file says; None where it is not there."""
        text = self.host.read_or_none(self.file(knob, name))
        return None if text is None else text.strip()

    def write(self, knob: str, text: str, name: str = "") -> None:
        """Write a knob's file, or any other."""
        self.host.write(self.file(knob, name), text)

    def put(self, name: str = "", **values: Any) -> None:
        """Bring a cgroup into a state by raw writes, in an order that any kernel takes; quota None is unlimited."""
        state = {"quota": None, "period": 100000, "burst": 0, **values}
        if "idle" in values or "weight" in values:
            self.write("idle", "0", name)
        if "weight" in values:
            self.write("weight", str(state["weight"]), name)
        if {"quota", "period", "burst"} & set(values):
            self.put_band(name, state["quota"], state["period"], state["burst"])
        if values.get("idle"):
            self.write("idle", "1", name)
        self.host.writes.clear()

    def put_band(self, name: str, quota: object, period: object, burst: object) -> None:
        """The bandwidth part of `put`: without limit, anything goes."""
        self.write("quota", self.words(None), name)
        self.write("burst", "0", name)
        if self.version == 1:
            self.write("period", str(period), name)
        self.write("quota", self.words(quota, period), name)
        self.write("burst", str(burst), name)

    def words(self, quota: object, period: object = None) -> str:
        """A quota (and period, on v2) as it is written."""
        if self.version == 1:
            return "-1" if quota is None else str(quota)
        return f"{'max' if quota is None else quota}{'' if period is None else f' {period}'}"

    # --- cputune ------------------------------------------------------------------------------------------------------

    def state(self, name: str = "") -> CpuTune:
        """What is in force, as cputune reads it."""
        return self.cgroups.read(self.path(name))

    def set(self, *names: str, dry_run: bool = False, **values: Any) -> list[Outcome]:
        """`cputune set` on these cgroups (the test's own if none is named), live."""
        domains = [self.name(name) for name in names or ("",)]
        return list(change_domains(self.tuner, domains, request(**values), "live", dry_run=dry_run).outcomes)

    def schedinfo(self, name: str = "") -> SchedInfo:
        """`cputune schedinfo` on a cgroup."""
        return schedinfo(self.tuner, self.name(name))

    def domain(self, name: str = "") -> Domain:
        """The domain of a cgroup."""
        return self.tuner.find(self.name(name))

    def written(self) -> list[tuple[str, str]]:
        """The writes since the last `put`: the file below the test's cgroup, and the text."""
        return [(path.removeprefix(f"{self.directory()}/"), text) for path, text in self.host.writes]


def change_domains(tuner: Tuner, names: list[str], wanted: Request, where: Where, *, dry_run: bool = False) -> Plan:
    """`cputune set` of the same for some domains."""
    return tuner.change([Job(tuner.find(name), wanted, where) for name in names], dry_run=dry_run)


def request(zeros: tuple[str, ...] = (), **values: Any) -> Request:
    """A request; `cpus` in millionths."""
    return Request(Change(**values), frozenset(zeros))


def remove_tree(host: Host, directory: str) -> None:
    """Remove a cgroup with all that are in it; the kernel lets go of a killed process a moment later."""
    for name in host.children(directory):
        remove_tree(host, f"{directory}/{name}")
    until(lambda: _removed(host, directory), lambda: f"{directory} cannot be removed")


def _removed(host: Host, directory: str) -> bool:
    if not host.is_dir(directory):
        return True
    with contextlib.suppress(OSError):
        host.rmdir(directory)
    return not host.is_dir(directory)


@contextlib.contextmanager
def opened(lab: Lab) -> Iterator[Lab]:
    """The lab, open; closed at the end, whatever happens. Raises Unavailable."""
    lab.open()
    try:
        yield lab
    finally:
        lab.close()
