"""The cgroup tree as it changes: which cgroups were made, went away, or had a file written, by the kernel's events.

inotify works on the directories of cgroup v1 and v2: a directory made, a file written by a process. On v1, systemd's
tree of units is watched too: a unit need not have a cgroup in the cpu hierarchy.
"""

from __future__ import annotations

import errno
import os
import select
from typing import NamedTuple

from cputune.guard.inotify import CREATE, DELETE, IGNORED, ISDIR, MODIFY, OVERFLOW, Inotify
from cputune.host.cgroup.cgroups import Cgroups

_BUFFERS = 32
"""Read at once."""
_MASK = CREATE | DELETE | MODIFY


class Seen(NamedTuple):
    """What happened since the last look."""

    made: list[str]
    """Cgroups, each after those above it."""
    gone: list[str]
    """Those that went away; one by the same name may be among the others."""
    written: list[tuple[str, str]]
    """Cgroup and file."""
    lost: bool = False
    """Whether events were lost: then anything may have happened."""
    others: tuple[tuple[str, str], ...] = ()
    """Of the other directories that are watched: which, and the name of what was made, changed or removed there; no
    name where it went away itself."""


class Tree:
    """Watches all cgroups of a host, and some other directories."""

    def __init__(self, cgroups: Cgroups) -> None:
        hierarchy = cgroups.hierarchy
        self.cgroups = cgroups
        self.queue = Inotify()
        self.full: OSError | None = None
        """Why some cgroup is not watched: the kernel has no more watches for us."""
        mounts = dict.fromkeys((hierarchy.mount, hierarchy.units or hierarchy.mount))
        self._tops = [cgroups.host.real(mount) for mount in mounts]
        self._root = hierarchy.root.rstrip("/")
        self._watched: dict[int, tuple[str, str]] = {}
        """Directory's top and the cgroup, by the number of the watch."""
        self._numbers: dict[tuple[str, str], int] = {}
        self._others: dict[int, str] = {}

    def look(self) -> list[str]:
        """Watch all there are now; all of them, each after those above it."""
        self.full = None
        found: dict[str, None] = {}
        for top in self._tops:
            found.update(dict.fromkeys(self._enter(top, self._root)))
        for top, gone in [place for place in self._numbers if place[1] not in found and place[1] != self._root]:
            self._leave(top, gone)
        return list(found)

    def watch(self, directory: str, mask: int) -> None:
        """Watch another directory too; until it is there, the nearest above it."""
        while True:
            try:
                self._others[self.queue.add(directory, mask)] = directory
                return
            except OSError as error:
                above = os.path.dirname(directory)
                if error.errno != errno.ENOENT or above == directory:
                    return
                directory = above

    def read(self) -> Seen:
        """What happened."""
        made: dict[str, None] = {}
        gone: dict[str, None] = {}
        written: dict[tuple[str, str], None] = {}
        others: dict[tuple[str, str], None] = {}
        lost = False
        for _ in range(_BUFFERS):  # others have their turn, too
            events = self.queue.read()
            if not events:
                break
            for watch, mask, name in events:
                if mask & OVERFLOW:
                    lost = True
                elif watch in self._others:
                    others[self._others[watch], name] = None
                    if mask & IGNORED:
                        del self._others[watch]
                elif watch not in self._watched:
                    continue
                elif mask & IGNORED:
                    self._drop(watch)
                elif mask & ISDIR:
                    top, parent = self._watched[watch]
                    cgroup = f"{parent}/{name}"
                    if mask & CREATE:
                        made.update(dict.fromkeys(self._enter(top, cgroup, own=True)))
                    elif mask & DELETE:
                        made.pop(cgroup, None)
                        gone[cgroup] = None
                        self._leave(top, cgroup)
                elif mask & MODIFY:
                    written[self._watched[watch][1], name] = None
        return Seen(list(made), list(gone), list(written), lost, tuple(others))

    def has_more(self) -> bool:
        """Whether anything has happened that was not read so far."""
        return bool(select.select([self.queue.fd], [], [], 0)[0])

    def close(self) -> None:
        """End watching."""
        self.queue.close()

    def _enter(self, top: str, cgroup: str, *, own: bool = False) -> list[str]:
        """Watch a cgroup and those below it; with `own`, it is one of those returned.

        First the watch, then the look at what is there: what is made in between is seen twice, never missed.
        """
        found: list[str] = []
        pending = [(cgroup, own)]
        while pending:
            one, counts = pending.pop()
            directory = top + one[len(self._root) :]
            try:
                watch = self.queue.add(directory, _MASK)
                names = [entry.name for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    self.full = error
                    if counts:
                        found.append(one)
                continue
            before = self._numbers.get((top, one), watch)
            if before != watch:  # of one that was there by that name
                self._drop(before)
                self.queue.remove(before)
            if self._watched.get(watch) not in (None, (top, one)):
                self._drop(watch)  # it has another name by now
            self._watched[watch] = (top, one)
            self._numbers[top, one] = watch
            if counts:
                found.append(one)
            pending += [(f"{one}/{name}", True) for name in sorted(names, reverse=True)]
        return found

    def _drop(self, watch: int) -> None:
        place = self._watched.pop(watch, None)
        if place and self._numbers.get(place) == watch:
            del self._numbers[place]

    def _leave(self, top: str, cgroup: str) -> None:
        """End the watch of a directory that is gone, unless another one is there by now."""
        watch = self._numbers.get((top, cgroup))
        if watch is not None and not os.path.isdir(top + cgroup[len(self._root) :]):
            self._drop(watch)
            self.queue.remove(watch)
