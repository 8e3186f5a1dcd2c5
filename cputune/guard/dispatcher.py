"""The guard's mind: what the kernel's events mean, and whose turn it is."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from cputune.core.errors import CpuTuneError
from cputune.core.names import file_name, name_of
from cputune.guard import service
from cputune.guard.drifts import KNOB_FILES, Drifts
from cputune.guard.registry import Registry
from cputune.guard.sources import Sources
from cputune.guard.startup import Starts
from cputune.guard.tree import Tree
from cputune.transaction.locks import keys_of

if TYPE_CHECKING:
    from cputune.app.tuner import Tuner
    from cputune.core.model import Domain
    from cputune.guard.service import Log
    from cputune.guard.tree import Seen

_BLIND = 10.0
"""Seconds between two looks at the whole tree, where the kernel has no watches left for us."""
_RESCAN = 1.0
"""Seconds between two looks at the whole tree, where the kernel drops events."""
_PATIENCE = 0.2
"""Seconds for which another cputune that works on a domain is waited for, before others have their turn."""


class Dispatcher:
    """One guard; `step` is one turn of it. Times are seconds of the monotonic clock."""

    def __init__(self, tuner: Tuner, log: Log, *, enforce: bool) -> None:
        tuner.patience = _PATIENCE
        self.tuner = tuner
        self.cgroups = tuner.cgroups
        self.log = log
        self.tree = Tree(self.cgroups)
        self.registry = Registry()
        self.sources = Sources(tuner, self.tree, log)
        self.starts = Starts(tuner, self.sources, self.registry, log)
        self.drifts = Drifts(tuner, self.starts, self.registry, log, enforce=enforce)
        self._rescan: float | None = None
        """When to look at everything."""
        self._blind = False

    @staticmethod
    def warm() -> None:
        """Load what the first start would have to wait for."""
        import fnmatch
        import json
        import pwd

        from cputune.host.cgroup import v1, v2
        from cputune.planning import planner
        from cputune.transaction import codec, history, journal, recovery

        del fnmatch, json, pwd, planner, v1, v2, codec, history, journal, recovery

    def begin(self) -> None:
        """Look at everything: at first, and where events were lost. Nothing is missed, since watching began before."""
        self._rescan = None
        # What a killed one had begun is put back first: its records say that it is in force, and go with it.
        self.tuner.tidy()
        self.sources.renew()
        cgroups = self.tree.look()
        there = set(cgroups)
        for gone in [cgroup for cgroup in (*self.registry.known, *self.starts.unknown) if cgroup not in there]:
            self._forget(gone)
        self._mention_blindness()
        running = list(self.sources.listed())
        claimed = {seat.cgroup for domain in running for seat in domain.seats()}
        # One that is being started may be there already, and not in any list so far.
        self.starts.made(cgroup for cgroup in cgroups if cgroup not in claimed and cgroup not in self.starts.unknown)
        self.starts.begin(running)
        self.registry.suspect_all(time.monotonic())

    def reload(self) -> None:
        """The same, and what was left alone is fought for again."""
        self.registry.peace()
        self.begin()

    def summary(self) -> str:
        """How it stands, in a few words."""
        kept = self.registry.names()
        alone = sum(map(self.registry.backoff.is_over, kept))
        saved = f"{len(self.sources.saved)} configurations in {self.tuner.store().directory}"
        return f"{saved}, {len(kept)} domains kept{f', {alone} left alone' if alone else ''}"

    def timeout(self) -> float | None:
        """For how many seconds there is nothing to do but wait for events; None: for ever."""
        due = [
            *self.starts.due(),
            *self.registry.suspects.values(),
            *([self._rescan] if self._rescan is not None else []),
        ]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def step(self) -> None:
        """Do what is to be done by now: first what starts, then the rest, one slow thing at a time."""
        self._take(self.tree.read())
        if self._rescan is not None and self._rescan <= time.monotonic():
            self.begin()
        self.starts.go_on()
        self.drifts.go_on(self.tree.has_more)

    def look_again(self) -> None:
        """Look at everything soon: something is not as the guard believes."""
        self._rescan = min(self._rescan or time.monotonic() + _RESCAN, time.monotonic() + _RESCAN)

    def _take(self, seen: Seen) -> None:
        if seen.lost:
            if self._rescan is None or self._blind:
                self.log(service.WARNING, "the kernel dropped events: looking at everything", action="rescan")
            self.look_again()
        for cgroup in seen.gone:
            self._forget(cgroup)
        self.starts.made(seen.made)
        for cgroup, file in seen.written:
            self.starts.written(cgroup)
            if file in KNOB_FILES:
                self.starts.changed(cgroup)
            self.drifts.written(cgroup, file)
        self._take_files(seen.others)
        self._mention_blindness()

    def _take_files(self, others: tuple[tuple[str, str], ...]) -> None:
        """What changed in the directories of configurations and records."""
        renew = False
        for folder, name in others:
            if name.startswith("."):
                continue  # being written
            own_name = name_of(name) if name else None
            if os.path.dirname(folder) == self.sources.records and own_name is not None:
                self._recorded(os.path.basename(folder), own_name)
            else:
                renew = True
        if not renew:
            return
        new = {os.path.basename(path) for path in self.sources.renew() if path.startswith(f"{self.sources.records}/")}
        for runtime, file in self.tuner.context.state.recorded() if new else ():
            if runtime in new and (own_name := name_of(file)) is not None:
                self._recorded(runtime, own_name)

    def _recorded(self, runtime: str, name: str) -> None:
        """Somebody told cputune something else, unless it was the guard itself: so it is no drift."""
        qualified = f"{runtime}:{name}"
        record = self.tuner.context.state.newest_in(runtime, file_name(name))
        if record is not None and record == self.registry.records.get(qualified):
            return
        domain = self.sources.find(runtime, name) or self.registry.domain(qualified)
        if domain is None:
            return
        self.registry.backoff.forget(qualified)
        self.registry.reported.pop(qualified, None)
        if record is None or not self.tuner.has_put(domain):
            for cgroup in self.registry.cgroups(qualified):
                self.registry.forget(cgroup)
        else:
            self.registry.keep(domain)
            self.registry.records[qualified] = record

    def _mention_blindness(self) -> None:
        """Without a watch for every cgroup, look at all of them now and then."""
        if self.tree.full is None:
            self._blind = False
            return
        if not self._blind:
            self.log(
                service.ERROR,
                f"cannot watch every cgroup: {self.tree.full.strerror}; looking at all of them every {_BLIND:g} s; "
                "sysctl fs.inotify.max_user_watches=1048576",
                action="blind",
            )
        self._blind = True
        if self._rescan is None:
            self._rescan = time.monotonic() + _BLIND

    def _forget(self, cgroup: str) -> None:
        self.starts.gone(cgroup)
        domain = self.registry.forget(cgroup)
        if domain:
            self._drop_record(domain)

    def _drop_record(self, domain: Domain) -> None:
        """Of what went away, nothing is in force any more; else the records of all there ever were would pile up."""
        try:
            with self.tuner.context.locks.hold(keys_of(self.cgroups, [domain]), 0):
                if not self.tuner.has_put(domain) and not self.cgroups.exists(domain.limit or ""):
                    self.tuner.context.state.record(domain, None)
        except CpuTuneError:  # somebody works on it
            return
