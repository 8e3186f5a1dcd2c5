"""What cputune has put into force in each cgroup, by any of its names: `docker:web` may be `cgroup:/docker/ID` too."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cputune.core.names import file_name, name_of

if TYPE_CHECKING:
    from cputune.core.model import Change, Domain
    from cputune.transaction.applied import AppliedRecord
    from cputune.transaction.context import Context


class OtherName(NamedTuple):
    """Another name under which a cgroup was changed, RUNTIME:NAME, and that change."""

    name: str
    change: Change


class AppliedIndex:
    """All applied records of a host, read once."""

    def __init__(self, context: Context) -> None:
        self._cgroups = context.cgroups
        self._records: dict[tuple[str, str], AppliedRecord] = {}
        """By runtime and file name."""
        self._by_inode: dict[int, list[tuple[str, str]]] = {}
        """The keys of the records about a cgroup, by its inode number: a cgroup that is made again has another one."""
        for key in context.records.names():
            if (found := context.records.newest_in(*key)) and (record := found[1]):
                self._records[key] = record
                if record.inode is not None:
                    self._by_inode.setdefault(record.inode, []).append(key)

    def names(self) -> list[tuple[str, str]]:
        """Return runtime and name of each recorded domain. Names that are too long for a file name are missing."""
        return [(runtime, name) for runtime, file in self._records if (name := name_of(file)) is not None]

    def latest(self, domain: Domain) -> AppliedRecord | None:
        """Return the record under the domain's own name. It may be about a cgroup that the domain has no longer."""
        return self._records.get((domain.runtime, file_name(domain.name)))

    def current(self, domain: Domain) -> Change | None:
        """Return what was put into force under the domain's own name in its present cgroup; None for nothing."""
        record = self.latest(domain)
        if record is None or domain.limit_cgroup is None or record.inode != self._cgroups.inode(domain.limit_cgroup):
            return None
        return record.change if record.change.named() else None

    def under_other_names(self, domain: Domain) -> list[OtherName]:
        """Return what was put into force in the domain's cgroups under other names."""
        if not self._by_inode:  # on most hosts, which saves a stat() of thousands of cgroups
            return []
        own = (domain.runtime, file_name(domain.name))
        inodes = set(map(self._cgroups.inode, domain.cgroups))
        keys = [key for inode in inodes if inode is not None for key in self._by_inode.get(inode, ()) if key != own]
        return [OtherName(f"{key[0]}:{name_of(key[1]) or key[1]}", self._records[key].change) for key in keys]
