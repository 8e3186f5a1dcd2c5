"""The guard in the test's own process, over a lab: its turns and its clock are the test's."""

from __future__ import annotations

import json
import math
import os
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cputune.app.tuner import Tuner
from cputune.config.store import Store
from cputune.core.goals import Where
from cputune.core.model import Change, Domain
from cputune.guard.dispatcher import Dispatcher
from cputune.host.system import Host
from tests.support.fakekernel import FakeKernel
from tests.support.lab import Lab, change_domains, docker_id, request
from tests.support.waiting import SECONDS


class Clock:
    """A clock that stands still unless it is moved, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Guarded:
    """A lab with containers of docker's, and a guard whose turns the test takes."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        root = folder if isinstance(lab.host, FakeKernel) else folder / "root"
        self.records = root / "var/lib/docker/containers"
        self.records.mkdir(parents=True)
        if isinstance(lab.host, FakeKernel):
            self.host: Host = lab.host
        else:
            for name in ("proc", "sys"):
                (root / name).symlink_to(f"/{name}")
            self.host = Host(str(root), str(folder / "config"), str(folder / "state"), str(folder / "data"))
        self.tuner = Tuner(self.host)
        self.told: list[tuple[str, dict[str, str]]] = []
        self.clock = Clock()
        self.dispatcher: Dispatcher | None = None

    def log(self, priority: int, message: str, **fields: str) -> None:
        self.told.append((message, fields))

    def begin(self, *, enforce: bool = False) -> Dispatcher:
        self.dispatcher = Dispatcher(self.tuner, self.log, enforce=enforce, clock=self.clock)  # type: ignore[arg-type]
        self.dispatcher.scan()
        return self.dispatcher

    def save(self, name: str, **values: Any) -> None:
        """Of a container that docker need not know so far."""
        runtime, _, own = name.partition(":")
        store, domain = Store(self.host), Domain(runtime, own, running=False, persistent=True)
        store.save(domain, store.load(domain), Change(**values))

    def set(self, name: str, where: Where, **values: Any) -> None:
        change_domains(Tuner(self.host), [name], request(**values), where)

    def define(self, name: str, number: int) -> str:
        """A container's records; docker writes them before it starts it. Returns its cgroup's name in the lab."""
        id_ = docker_id(number)
        folder = self.records / id_
        folder.mkdir(exist_ok=True)
        self._record(folder, name, 0)
        (folder / "hostconfig.json").write_text("{}")
        return f"docker/{id_}"

    def start(self, name: str, number: int) -> str:
        cgroup = self.define(name, number)
        self.lab.make(cgroup)
        return cgroup

    def has_started(self, name: str, cgroup: str) -> None:
        """Its records say so from now on."""
        self._record(self.records / cgroup.rpartition("/")[2], name, self.lab.spawn(cgroup))

    @staticmethod
    def _record(folder: Path, name: str, pid: int) -> None:
        record = {"Name": f"/{name}", "State": {"Running": pid > 0, "Pid": pid}}
        (folder / "config.v2.json").write_text(json.dumps(record, separators=(",", ":")))

    def turn(self) -> None:
        """One turn of the guard: for the events that there are, else when it next has something to do."""
        assert self.dispatcher
        if not self._has_events(0):
            due = self._next()
            if due < math.inf:
                self.clock.now = due
            else:
                assert self._has_events(SECONDS), f"nothing more will happen: {self.told}"
        self.dispatcher.step()

    def _has_events(self, seconds: float) -> bool:
        assert self.dispatcher
        return bool(select.select([self.dispatcher.tree.queue.fd], [], [], seconds)[0])

    def until(self, condition: Callable[[], object]) -> None:
        """Take the guard's turns until that is so."""
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.told
            self.turn()

    def turn_for(self, seconds: float) -> None:
        """All the guard's turns in so many seconds of its clock."""
        assert self.dispatcher
        end = self.clock.now + seconds
        while self._has_events(0) or self._next() <= end:
            self.turn()
        self.clock.now = max(end, self.clock.now)

    def _next(self) -> float:
        """When the guard next has something to do."""
        assert self.dispatcher
        waiting = self.dispatcher.timeout()
        return math.inf if waiting is None else self.clock.now + waiting

    def quota(self, cgroup: str) -> object:
        return self.lab.state(cgroup).quota

    def actions(self) -> list[str]:
        return [fields.get("action", "") for _, fields in self.told]

    def pass_time(self) -> None:
        """As if all domains had started long ago."""
        assert self.dispatcher
        self.dispatcher.registry.started.clear()
        self.dispatcher.registry.checks.clear()

    def age_records(self) -> None:
        """As if all that is in force had been set a second ago: what is set next is newer by every clock."""
        for folder, _, names in os.walk(os.path.join(self.host.state_dir, "applied")):
            for path in (os.path.join(folder, name) for name in names):
                found = os.stat(path)
                os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns - 10**9))

    def calm(self) -> None:
        """Let it look at all that seemed suspicious so far."""
        assert self.dispatcher
        while self._has_events(0) or self.dispatcher.registry.checks:
            self.turn()
