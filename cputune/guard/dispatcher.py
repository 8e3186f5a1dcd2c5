"""Dispatches the kernel's events to the parts of the guard, and runs what they have scheduled."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cputune.guard import service
from cputune.guard.checker import DriftChecker
from cputune.guard.discovery import Discovery
from cputune.guard.records import RecordWatcher
from cputune.guard.registry import Registry
from cputune.guard.startup import Startup
from cputune.guard.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from cputune.app.tuner import Tuner
    from cputune.guard.service import Log
    from cputune.guard.tree import Changes

_POLL_SECONDS = 10.0
"""Seconds between two scans of the whole tree while the kernel has no inotify watches left for some cgroups."""
_RESCAN_SECONDS = 1.0
"""Seconds until the whole tree is scanned after the kernel dropped events: during a flood, once for all of them."""
_LOCK_SECONDS = 0.2
"""Seconds for which the guard waits for a locked domain; it tries again later, after its other work."""


class Dispatcher:
    """The guard without its process: `scan` first, then `step` whenever there are events or `timeout` has passed."""

    def __init__(self, tuner: Tuner, log: Log, *, enforce: bool, clock: Callable[[], float] = time.monotonic) -> None:
        tuner.patience = _LOCK_SECONDS
        self.tuner = tuner
        self.log = log
        self.clock = clock
        self.tree = Tree(tuner.cgroups)
        self.registry = Registry()
        self.discovery = Discovery(tuner, self.tree, log)
        self.startup = Startup(tuner, self.discovery, self.registry, log, clock)
        self.checker = DriftChecker(tuner, self.registry, log, clock, enforce=enforce)
        self.records = RecordWatcher(tuner, self.discovery, self.registry)
        self._scan_due: float | None = None
        """When to scan the whole tree."""
        self._polling = False
        """Whether the tree is scanned every now and then, since not every cgroup can be watched."""

    @staticmethod
    def preload() -> None:
        """Import the modules that the first start of a domain would otherwise have to wait for."""
        import fnmatch
        import json
        import pwd

        from cputune.host.cgroup import v1, v2
        from cputune.planning import planner
        from cputune.transaction import codec, history, journal, recovery

        del fnmatch, json, pwd, planner, v1, v2, codec, history, journal, recovery

    def scan(self) -> None:
        """Look at every cgroup and domain: at first, and after events were lost.

        Watching begins before looking, so that nothing in between is missed.
        """
        self._scan_due = None
        # First of all, roll back what a killed guard was doing: its applied records go with it.
        self.tuner.tidy()
        self.discovery.refresh()
        cgroups = self.tree.scan()
        existing = set(cgroups)
        for cgroup in [one for one in (*self.registry.by_cgroup, *self.startup.pending) if one not in existing]:
            self._cgroup_removed(cgroup)
        self._poll_where_unwatched()
        running = list(self.discovery.running())
        identified = {cgroup for domain in running for cgroup in domain.cgroups}
        # The others may belong to domains that are being started, which no list has yet.
        self.startup.cgroups_created(
            cgroup for cgroup in cgroups if cgroup not in identified and cgroup not in self.startup.pending
        )
        self.startup.start(running)
        self.registry.check_all(self.clock())

    def reload(self) -> None:
        """Scan, and take up again the domains that were left alone."""
        self.registry.forget_reports()
        self.scan()

    def summary(self) -> str:
        """Return the guard's status in a few words, for systemctl status."""
        watched = self.registry.names()
        left_alone = sum(map(self.registry.backoff.is_left_alone, watched))
        saved = f"{len(self.discovery.configs)} configurations in {self.tuner.store().directory}"
        return f"{saved}, {len(watched)} domains watched{f', {left_alone} left alone' if left_alone else ''}"

    def timeout(self) -> float | None:
        """Return for how many seconds there is nothing to do but to wait for events; None for no limit."""
        deadlines = [
            *self.startup.deadlines(),
            *self.registry.checks.values(),
            *([self._scan_due] if self._scan_due is not None else []),
        ]
        return max(0.0, min(deadlines) - self.clock()) if deadlines else None

    def step(self) -> None:
        """Handle the events that have arrived, then do what is due: starts before checks."""
        self._handle(self.tree.read())
        if self._scan_due is not None and self._scan_due <= self.clock():
            self.scan()
        self.startup.run_due()
        self.checker.run_due(self.tree.has_events)

    def scan_soon(self) -> None:
        """Scan the whole tree in a moment, because the guard may have missed something."""
        due = self.clock() + _RESCAN_SECONDS
        self._scan_due = due if self._scan_due is None else min(self._scan_due, due)

    def _handle(self, changes: Changes) -> None:
        if changes.overflowed:
            if self._scan_due is None or self._polling:
                self.log(service.WARNING, "the kernel dropped events: scanning all cgroups", action="rescan")
            self.scan_soon()
        for cgroup in changes.removed:
            self._cgroup_removed(cgroup)
        self.startup.cgroups_created(changes.created)
        for cgroup, file in changes.written:
            self.startup.cgroup_written(cgroup)
            if file in self.tuner.cgroups.backend.names:
                self.startup.limit_changed(cgroup)
                self.checker.limit_changed(cgroup)
        self.records.files_changed(changes.files)
        self._poll_where_unwatched()

    def _poll_where_unwatched(self) -> None:
        """Schedule a scan if some cgroups cannot be watched."""
        if self.tree.watch_error is None:
            self._polling = False
            return
        if not self._polling:
            self.log(
                service.ERROR,
                f"cannot watch every cgroup: {self.tree.watch_error.strerror}; "
                f"scanning all of them every {_POLL_SECONDS:g} s; sysctl fs.inotify.max_user_watches=1048576",
                action="blind",
            )
        self._polling = True
        if self._scan_due is None:
            self._scan_due = self.clock() + _POLL_SECONDS

    def _cgroup_removed(self, cgroup: str) -> None:
        self.startup.cgroup_removed(cgroup)
        domain = self.registry.remove(cgroup)
        if domain:
            self.records.remove_of(domain)
