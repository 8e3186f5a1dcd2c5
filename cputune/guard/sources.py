"""Where the guard learns of domains: the saved configurations, the records of what is in force, the runtimes' lists."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cputune.core.errors import CpuTuneError
from cputune.core.model import Domain
from cputune.core.names import name_of
from cputune.guard import service
from cputune.guard.inotify import CREATE, DELETE, MODIFY, MOVED_TO
from cputune.guard.saved import Configurations
from cputune.runtimes import lookup
from cputune.runtimes.registry import PERSISTENT, QUALIFIED_ONLY, RUNTIMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cputune.app.tuner import Tuner
    from cputune.guard.service import Log
    from cputune.guard.tree import Tree

_FILES = CREATE | MOVED_TO | DELETE | MODIFY


class Sources:
    """Of one host."""

    def __init__(self, tuner: Tuner, tree: Tree, log: Log) -> None:
        self.tuner = tuner
        self.tree = tree
        self.log = log
        self.saved = Configurations(self._complain)
        self.wanted: tuple[str, ...] = ()
        """The runtimes that anything is saved for."""
        self._folders: set[str] = set()

    @property
    def records(self) -> str:
        """The folder of the records."""
        return self.tuner.context.state.records

    def renew(self) -> set[str]:
        """Read what was saved since, and watch what folders there are; those that are new."""
        store = self.tuner.store()
        there = set()
        for folder in (store.directory, self.records):
            self.tree.watch(folder, _FILES)
            own = (os.path.join(folder, runtime) for runtime in RUNTIMES)
            there |= {path for path in own if os.path.isdir(path)}
        for path in there:
            self.tree.watch(path, _FILES)
        new, self._folders = there - self._folders, there
        self.saved.renew(store)
        self.wanted = tuple(runtime for runtime in PERSISTENT if runtime in self.saved.runtimes)
        lookup.warm_up(self.tuner.cgroups, self.wanted)
        return new

    def _complain(self, what: str, error: CpuTuneError) -> None:
        """A configuration that cannot be read counts as none."""
        self.log(service.ERROR, f"{what}: {error.message}", domain=what, action="unreadable")

    def owner(self, cgroup: str) -> Domain | None:
        """The domain whose own cgroup this is; of several, the first that something is saved for."""
        owners = lookup.of_cgroup(self.tuner.cgroups, cgroup, self.wanted)
        return next((domain for domain in owners if self.saved.of(domain).named()), None)

    def find(self, runtime: str, name: str) -> Domain | None:
        """A domain that runs, with its cgroup to itself by now."""
        try:
            domain = self.tuner.find(f"{runtime}:{name}")
        except CpuTuneError:
            return None
        return domain if lookup.is_settled(domain) else None

    def listed(self) -> Iterator[Domain]:
        """All running domains that something is saved for or in force in, as far as lists and records tell."""
        recorded = self.tuner.context.state.recorded()
        of = {runtime for runtime, _ in recorded} | set(self.wanted)
        listing = tuple(runtime for runtime in RUNTIMES if runtime in of)
        try:
            yield from filter(lookup.is_settled, lookup.domains(self.tuner.cgroups, listing) if listing else ())
        except CpuTuneError as error:
            self.log(service.ERROR, error.message)
        for runtime, file in recorded:
            name = name_of(file)
            if runtime in QUALIFIED_ONLY and name is not None and (domain := self.find(runtime, name)):
                yield domain
