"""Changes to the records of what cputune has put into force: by other cputune processes, and when domains are gone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cputune.core.errors import CpuTuneError
from cputune.core.names import file_name, name_of
from cputune.transaction.locks import keys_of

if TYPE_CHECKING:
    from cputune.app.tuner import Tuner
    from cputune.core.model import Domain
    from cputune.guard.discovery import Discovery
    from cputune.guard.registry import Registry


class RecordWatcher:
    """Follows the records: what another cputune process has changed is no drift, and is watched from then on."""

    def __init__(self, tuner: Tuner, discovery: Discovery, registry: Registry) -> None:
        self.tuner = tuner
        self.discovery = discovery
        self.registry = registry

    def files_changed(self, files: tuple[tuple[str, str], ...]) -> None:
        """Handle changes in the watched directories of configurations and records: (directory, file name)."""
        refresh = False
        for directory, file in files:
            if file.startswith("."):
                continue  # temporary: it is still being written
            name = name_of(file) if file else None
            if os.path.dirname(directory) == self.discovery.records_dir and name is not None:
                self._record_changed(os.path.basename(directory), name)
            else:
                refresh = True
        if refresh:
            self._refresh()

    def _refresh(self) -> None:
        """Read the configurations again, and every record in a directory that was not watched until now."""
        records = f"{self.discovery.records_dir}/"
        new = {os.path.basename(path) for path in self.discovery.refresh() if path.startswith(records)}
        for runtime, file in self.tuner.context.records.names() if new else ():
            if runtime in new and (name := name_of(file)) is not None:
                self._record_changed(runtime, name)

    def _record_changed(self, runtime: str, name: str) -> None:
        """Watch a domain that another cputune process has changed, or stop watching it if its limits were lifted."""
        qualified = f"{runtime}:{name}"
        record = self.tuner.context.records.newest_in(runtime, file_name(name))
        if record is not None and record == self.registry.records.get(qualified):
            return  # the guard wrote it
        domain = self.discovery.find(runtime, name) or self.registry.get(qualified)
        if domain is None:
            return
        self.registry.backoff.reset(qualified)
        self.registry.reported.pop(qualified, None)
        if record is None or not self.tuner.context.current_record(domain):
            for cgroup in self.registry.cgroups_of(qualified):
                self.registry.remove(cgroup)
        else:
            self.registry.add(domain)
            self.registry.records[qualified] = record

    def remove_of(self, domain: Domain) -> None:
        """Remove the record of a domain whose cgroups are gone: otherwise the records would pile up until a reboot."""
        context = self.tuner.context
        try:
            with context.locks.hold(keys_of(context.cgroups, [domain]), 0):
                if not context.current_record(domain) and not context.cgroups.exists(domain.limit_cgroup or ""):
                    context.records.write(domain, None)
        except CpuTuneError:
            return  # another cputune process is changing it
