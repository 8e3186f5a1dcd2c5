"""Which domains the guard has to do with: by saved configurations, applied records, and the runtimes' lists."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cputune.core.errors import CpuTuneError
from cputune.core.model import Domain
from cputune.core.names import name_of
from cputune.guard import service
from cputune.guard.config_cache import ConfigCache
from cputune.guard.inotify import CREATE, DELETE, MODIFY, MOVED_TO
from cputune.runtimes import lookup
from cputune.runtimes.registry import PERSISTENT, QUALIFIED_ONLY, RUNTIMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cputune.app.tuner import Tuner
    from cputune.guard.service import Log
    from cputune.guard.tree import Tree

_FILE_EVENTS = CREATE | MOVED_TO | DELETE | MODIFY


class Discovery:
    """Finds the domains of one host, and has the directories watched where files about them change."""

    def __init__(self, tuner: Tuner, tree: Tree, log: Log) -> None:
        self.tuner = tuner
        self.tree = tree
        self.log = log
        self.configs = ConfigCache(self._report_unreadable)
        self.runtimes: tuple[str, ...] = ()
        """The runtimes for which anything is saved."""
        self._directories: set[str] = set()
        """The directories of single runtimes that are watched, of configurations and of records."""

    @property
    def records_dir(self) -> str:
        """The directory of the applied records."""
        return self.tuner.context.records.folder

    def refresh(self) -> set[str]:
        """Read new and changed configurations, and watch all directories; returns those that were not watched yet."""
        store = self.tuner.store()
        existing = set()
        for parent in (store.directory, self.records_dir):
            self.tree.watch(parent, _FILE_EVENTS)
            by_runtime = (os.path.join(parent, runtime) for runtime in RUNTIMES)
            existing |= {path for path in by_runtime if os.path.isdir(path)}
        for path in existing:
            self.tree.watch(path, _FILE_EVENTS)
        new, self._directories = existing - self._directories, existing
        self.configs.refresh(store)
        self.runtimes = tuple(runtime for runtime in PERSISTENT if runtime in self.configs.runtimes)
        lookup.warm_up(self.tuner.cgroups, self.runtimes)
        return new

    def _report_unreadable(self, subject: str, error: CpuTuneError) -> None:
        self.log(service.ERROR, f"{subject}: {error.message}", domain=subject, action="unreadable")

    def owner_of(self, cgroup: str) -> Domain | None:
        """Return the domain that a cgroup belongs to, if anything is saved for it; of several, the first."""
        owners = lookup.of_cgroup(self.tuner.cgroups, cgroup, self.runtimes)
        return next((domain for domain in owners if self.configs.effective(domain).named()), None)

    def find(self, runtime: str, name: str) -> Domain | None:
        """Return a domain, if it runs in a cgroup of its own."""
        try:
            domain = self.tuner.find(f"{runtime}:{name}")
        except CpuTuneError:
            return None
        return domain if lookup.is_settled(domain) else None

    def running(self) -> Iterator[Domain]:
        """List the running domains of all runtimes for which anything is saved or has been applied."""
        recorded = self.tuner.context.records.names()
        concerned = {runtime for runtime, _ in recorded} | set(self.runtimes)
        listed = tuple(runtime for runtime in RUNTIMES if runtime in concerned)
        try:
            yield from filter(lookup.is_settled, lookup.domains(self.tuner.cgroups, listed) if listed else ())
        except CpuTuneError as error:
            self.log(service.ERROR, error.message)
        for runtime, file in recorded:
            name = name_of(file)
            if runtime in QUALIFIED_ONLY and name is not None and (domain := self.find(runtime, name)):
                yield domain
