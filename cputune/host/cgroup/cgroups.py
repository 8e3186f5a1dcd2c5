"""The cgroups of one host: finds the cpu hierarchy, chooses v1 or v2, reads state and support from the group itself."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from cputune.core.errors import NoSuchDomain, Refused, WrongState, from_os_error
from cputune.core.knobs import QUOTA_AND_PERIOD
from cputune.core.model import CpuTune, Stats
from cputune.host.cgroup.bandwidth import Bounds, Limit, limit_of
from cputune.host.cgroup.mounts import Hierarchy, detect, parse_proc_cgroup
from cputune.host.system import Host

if TYPE_CHECKING:
    from cputune.host.cgroup.backend import Backend


class Limits(dict[str, "Limit | None"]):
    """The limits of cgroups, None for no limit: each is read once, unless it is planned, or there is one in `known`."""

    def __init__(
        self, cgroups: Cgroups, planned: Mapping[str, Limit | None] | None = None, known: Limits | None = None
    ) -> None:
        super().__init__(planned or {})
        self._cgroups = cgroups
        self._known = known

    def __missing__(self, cgroup: str) -> Limit | None:
        found = self[cgroup] = self._cgroups.limit(cgroup) if self._known is None else self._known[cgroup]
        return found


class Cgroups:
    """The cpu hierarchy of a host. Cgroups are named as in /proc/PID/cgroup: "/machine.slice/x.scope"."""

    def __init__(self, host: Host) -> None:
        self.host = host

    @cached_property
    def hierarchy(self) -> Hierarchy:
        """Where the cpu controller is. Raises Unsupported."""
        return detect(self.host)

    @cached_property
    def backend(self) -> Backend:
        """The files of this version of the controller. This is the only place that chooses between v1 and v2."""
        if self.hierarchy.version == 1:
            from cputune.host.cgroup.v1 import V1

            return V1
        from cputune.host.cgroup.v2 import V2

        return V2

    def directory(self, cgroup: str) -> str:
        """Return the directory of a cgroup. Raises Unsupported for one outside the mount."""
        return self.hierarchy.directory(cgroup)

    def exists(self, cgroup: str) -> bool:
        """Return whether the cgroup is there."""
        return self.host.is_dir(self.directory(cgroup))

    def inode(self, cgroup: str) -> int | None:
        """Return the directory's inode number, which is another one if the cgroup was made anew; None without one."""
        return self.host.inode(self.directory(cgroup))

    def children(self, cgroup: str) -> list[str]:
        """Return the names of the child cgroups."""
        return self.host.children(self.directory(cgroup))

    def is_frozen(self, cgroup: str) -> bool:
        """Return whether a cgroup of v2 is frozen (cgroup-v2.rst, cgroup.freeze); v1 has another controller for it."""
        if self.hierarchy.version == 1:
            return False
        return (self.host.read_or_none(f"{self.directory(cgroup)}/cgroup.freeze") or "").strip() == "1"

    def unit_exists(self, cgroup: str) -> bool:
        """Return whether systemd has a unit's cgroup there; on v1 it need not be one of the cpu hierarchy."""
        tree = self.hierarchy.units
        return tree is not None and self.host.is_dir(tree + self.hierarchy.inside(cgroup))

    def unit_children(self, cgroup: str) -> list[str]:
        """Return the names of the children in systemd's tree of units."""
        tree = self.hierarchy.units
        return [] if tree is None else self.host.children(tree + self.hierarchy.inside(cgroup))

    def default(self) -> CpuTune:
        """Return the state of a cgroup for which the cpu controller has just been enabled."""
        return self.backend.default()

    def read(self, cgroup: str) -> CpuTune:
        """Return what is in force in a cgroup. Raises WrongState if it went away, NoPermission."""
        directory = self.directory(cgroup)
        try:
            now = self.backend.read(self.host, directory)
            # A missing file can mean a missing knob, or that the group went away between two reads.
            partial = any(now[key] is None for key in self.backend.keys)
            if partial and not self.host.is_dir(directory):
                raise FileNotFoundError(2, "No such file or directory")
        except OSError as error:
            raise from_os_error(error, f"read {self.host.real(directory)}") from error
        except ValueError as error:
            raise Refused(f"{self.host.real(directory)} has a file that does not say what the kernel's does") from error
        return now

    def read_if_used(self, cgroup: str) -> CpuTune:
        """Do the same; return an empty state for a unit that has no cgroup in v1's cpu hierarchy so far."""
        try:
            return self.read(cgroup)
        except WrongState:
            if self.unit_exists(cgroup):
                return CpuTune()
            raise

    def of_pid(self, pid: int) -> str:
        """Return the cgroup of a process in the cpu hierarchy. Raises NoSuchDomain where there is no such process."""
        path = self.of_task(f"/proc/{pid}")
        if path is None:
            raise NoSuchDomain(f"no process {pid}", "list what runs: cputune status")
        return path

    def of_task(self, directory: str) -> str | None:
        """Do the same for a process or a thread by its directory in /proc; return None if it is gone."""
        text = self.host.read_or_none(f"{directory}/cgroup")
        path = parse_proc_cgroup(text, self.hierarchy.version) if text is not None else None
        return None if path is None else self.hierarchy.strip(path)

    def limit(self, cgroup: str) -> Limit | None:
        """Return the limit of a cgroup, or None if it has none, is gone, or cannot be read."""
        try:
            found = self.backend.read(self.host, self.directory(cgroup), QUOTA_AND_PERIOD)
        except (OSError, ValueError):
            return None
        return limit_of(cgroup, found)

    def ancestors(self, cgroup: str) -> list[str]:
        """Return the cgroups above, nearest first, without the root of the mount (which cannot be limited)."""
        top = self.hierarchy.root.rstrip("/")
        found = []
        while (cgroup := cgroup.rpartition("/")[0]) and cgroup != top:
            found.append(cgroup)
        return found

    def tightest_limit(self, cgroup: str, limits: Limits | None = None) -> Limit | None:
        """Return the smallest limit (in CPUs) of the ancestors: on v2 that one is effective. None if there is none."""
        limits = Limits(self) if limits is None else limits
        above = filter(None, map(limits.__getitem__, self.ancestors(cgroup)))
        return min(above, key=lambda limit: limit.cpus, default=None)

    def bounds(self, cgroup: str, limits: Limits | None = None) -> Bounds:
        """Return what other groups demand of a limit, by v1's rule for a hierarchy; on v2 the kernel accepts any."""
        if self.backend.version == 2:
            return Bounds()
        limits = Limits(self) if limits is None else limits
        return Bounds(self.limit_above(cgroup, limits), self._largest_below(cgroup, limits))

    def limit_above(self, cgroup: str, limits: Limits | None = None) -> Limit | None:
        """Return the limit of the nearest limited ancestor, which on v1 no limit below it may exceed."""
        limits = Limits(self) if limits is None else limits
        return next(filter(None, map(limits.__getitem__, self.ancestors(cgroup))), None)

    def _largest_below(self, cgroup: str, limits: Limits) -> Limit | None:
        found: list[Limit] = []
        pending = [cgroup]
        while pending:
            parent = pending.pop()
            for name in self.children(parent):
                child = f"{parent.rstrip('/')}/{name}"
                if own := limits[child]:
                    found.append(own)  # below a limited group nothing can be larger
                else:
                    pending.append(child)
        return max(found, key=lambda limit: limit.cpus, default=None)

    def stats(self, cgroup: str) -> Stats:
        """Return the counters of a cgroup; empty ones if they cannot be read."""
        hierarchy = self.hierarchy
        text = self.host.read_or_none(f"{self.directory(cgroup)}/cpu.stat") or ""
        usage = None
        if hierarchy.acct:
            usage = self.host.read_or_none(f"{hierarchy.acct}{hierarchy.inside(cgroup)}/cpuacct.usage")
        return self.backend.parse_stats(text, usage)
