"""The cgroup tree as it changes: the cgroups that are created, removed or written to, as inotify(7) reports them.

inotify works on cgroupfs, v1 and v2: it reports directories that are made and files that a process writes. On v1,
systemd's own hierarchy is watched too, since a unit need not have a cgroup in the hierarchy of the cpu controller.
"""

from __future__ import annotations

import errno
import os
import select
from typing import NamedTuple

from cputune.guard.inotify import CREATE, DELETE, IGNORED, ISDIR, MODIFY, OVERFLOW, Event, Inotify
from cputune.host.cgroup.cgroups import Cgroups

_MAX_READS = 32
"""How often the queue is read before the events are handled: a flood of them must not hold up everything else."""
_CGROUP_EVENTS = CREATE | DELETE | MODIFY


class Changes(NamedTuple):
    """What has happened since the last `Tree.read`."""

    created: list[str]
    """Cgroups, parents before their children."""
    removed: list[str]
    """Cgroups; one that was made again is in `created` as well."""
    written: list[tuple[str, str]]
    """Cgroup and file name."""
    overflowed: bool = False
    """Whether the kernel dropped events, so that anything may have happened besides."""
    files: tuple[tuple[str, str], ...] = ()
    """Changes in the other watched directories: the directory, and the name of the file that was created, changed or
    removed in it. The name is empty if the directory itself was removed."""


class Tree:
    """Watches all cgroups of a host, and some other directories."""

    def __init__(self, cgroups: Cgroups) -> None:
        hierarchy = cgroups.hierarchy
        self.queue = Inotify()
        self.watch_error: OSError | None = None
        """Why some cgroup is not watched: the kernel has no watches left."""
        mounts = dict.fromkeys((hierarchy.mount, hierarchy.units or hierarchy.mount))
        self._mounts = [cgroups.host.real(mount) for mount in mounts]
        self._root = hierarchy.root.rstrip("/")
        """The cgroup that is mounted, as in /proc/PID/cgroup."""
        self._cgroups: dict[int, tuple[str, str]] = {}
        """The mount and the cgroup of each watch."""
        self._watches: dict[tuple[str, str], int] = {}
        """The reverse of that."""
        self._directories: dict[int, str] = {}
        """The other watched directories, by watch."""

    def scan(self) -> list[str]:
        """Watch all cgroups that exist, and return them, parents before their children."""
        self.watch_error = None
        found: dict[str, None] = {}
        for mount in self._mounts:
            found.update(dict.fromkeys(self._watch_cgroups(mount, self._root)))
        for mount, cgroup in [one for one in self._watches if one[1] not in found and one[1] != self._root]:
            self._unwatch(mount, cgroup)
        return list(found)

    def watch(self, directory: str, mask: int) -> None:
        """Watch another directory; while it does not exist, the nearest existing directory above it."""
        while True:
            try:
                self._directories[self.queue.add(directory, mask)] = directory
                return
            except OSError as error:
                parent = os.path.dirname(directory)
                if error.errno != errno.ENOENT or parent == directory:
                    return
                directory = parent

    def read(self) -> Changes:
        """Return the changes since the last call; never waits."""
        batch = _Batch()
        for _ in range(_MAX_READS):
            events = self.queue.read()
            if not events:
                break
            for event in events:
                self._handle(event, batch)
        return batch.changes()

    def has_events(self) -> bool:
        """Whether there are events that have not been read."""
        return bool(select.select([self.queue.fd], [], [], 0)[0])

    def close(self) -> None:
        """Stop watching."""
        self.queue.close()

    def _handle(self, event: Event, batch: _Batch) -> None:
        if event.mask & OVERFLOW:
            batch.overflowed = True
        elif event.watch in self._directories:
            batch.files[self._directories[event.watch], event.name] = None
            if event.mask & IGNORED:
                del self._directories[event.watch]
        elif event.watch not in self._cgroups:
            return
        elif event.mask & IGNORED:
            self._forget(event.watch)
        elif event.mask & ISDIR:
            self._handle_child(event, batch)
        elif event.mask & MODIFY:
            batch.written[self._cgroups[event.watch][1], event.name] = None

    def _handle_child(self, event: Event, batch: _Batch) -> None:
        mount, parent = self._cgroups[event.watch]
        cgroup = f"{parent}/{event.name}"
        if event.mask & CREATE:
            batch.created.update(dict.fromkeys(self._watch_cgroups(mount, cgroup, include_top=True)))
        elif event.mask & DELETE:
            batch.created.pop(cgroup, None)
            batch.removed[cgroup] = None
            self._unwatch(mount, cgroup)

    def _watch_cgroups(self, mount: str, cgroup: str, *, include_top: bool = False) -> list[str]:
        """Watch a cgroup and all below it, and return those below it; with `include_top`, also the cgroup itself.

        Each is watched first and listed then: a child that is made in between is seen twice, but never missed.
        """
        found: list[str] = []
        pending = [(cgroup, include_top)]
        while pending:
            current, include = pending.pop()
            directory = self._directory(mount, current)
            try:
                watch = self.queue.add(directory, _CGROUP_EVENTS)
                names = [entry.name for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    self.watch_error = error
                    if include:
                        found.append(current)
                continue
            self._remember(watch, mount, current)
            if include:
                found.append(current)
            pending += [(f"{current}/{name}", True) for name in sorted(names, reverse=True)]
        return found

    def _directory(self, mount: str, cgroup: str) -> str:
        return mount + cgroup[len(self._root) :]

    def _remember(self, watch: int, mount: str, cgroup: str) -> None:
        before = self._watches.get((mount, cgroup), watch)
        if before != watch:  # of a removed cgroup with the same name
            self._forget(before)
            self.queue.remove(before)
        if self._cgroups.get(watch) not in (None, (mount, cgroup)):
            self._forget(watch)  # the cgroup has been renamed, which v1 permits
        self._cgroups[watch] = (mount, cgroup)
        self._watches[mount, cgroup] = watch

    def _forget(self, watch: int) -> None:
        key = self._cgroups.pop(watch, None)
        if key and self._watches.get(key) == watch:
            del self._watches[key]

    def _unwatch(self, mount: str, cgroup: str) -> None:
        """End the watch of a removed cgroup, unless one of the same name exists by now."""
        watch = self._watches.get((mount, cgroup))
        if watch is not None and not os.path.isdir(self._directory(mount, cgroup)):
            self._forget(watch)
            self.queue.remove(watch)


class _Batch:
    """Changes while they are collected, each once and in the order of the events."""

    def __init__(self) -> None:
        self.created: dict[str, None] = {}
        self.removed: dict[str, None] = {}
        self.written: dict[tuple[str, str], None] = {}
        self.files: dict[tuple[str, str], None] = {}
        self.overflowed = False

    def changes(self) -> Changes:
        return Changes(list(self.created), list(self.removed), list(self.written), self.overflowed, tuple(self.files))
