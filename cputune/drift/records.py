"""What cputune has put into force, by all the names of a cgroup: `docker:web` may be `cgroup:/docker/ID` as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cputune.core.names import file_name, name_of

if TYPE_CHECKING:
    from cputune.core.model import Change, Domain
    from cputune.transaction.applied import AppliedRecord
    from cputune.transaction.context import Context


class OtherName(NamedTuple):
    """What was put into force under another name."""

    name: str
    change: Change


class AppliedIndex:
    """All records of a host, each read once."""

    def __init__(self, context: Context) -> None:
        self._cgroups = context.cgroups
        self._files: dict[tuple[str, str], AppliedRecord] = {}
        self._of_cgroup: dict[int, list[tuple[str, str]]] = {}
        """Which records are of a cgroup, by the number of its directory."""
        for runtime, file in context.state.recorded():
            _, applied = context.state.newest_in(runtime, file) or (0, None)
            if applied:
                self._files[runtime, file] = applied
                if applied.inode is not None:
                    self._of_cgroup.setdefault(applied.inode, []).append((runtime, file))

    def names(self) -> list[tuple[str, str]]:
        """Runtime and name of every domain that there is a record of, but for those that are too long for a file."""
        return [(runtime, name) for runtime, file in self._files if (name := name_of(file)) is not None]

    def last(self, domain: Domain) -> AppliedRecord | None:
        """What was put into force under this name, perhaps in a cgroup that is gone."""
        return self._files.get((domain.runtime, file_name(domain.name)))

    def here(self, domain: Domain) -> Change | None:
        """The same, where it was in the very cgroup that the domain has now, and anything at all."""
        applied = self.last(domain)
        there = applied is not None and domain.limit is not None and applied.inode == self._cgroups.inode(domain.limit)
        return applied.change if applied and there and applied.change.named() else None

    def elsewhere(self, domain: Domain) -> list[OtherName]:
        """What was put into force in any of its cgroups under other names."""
        if not self._of_cgroup:  # as on most hosts: of thousands of cgroups none has to be looked at
            return []
        own = (domain.runtime, file_name(domain.name))
        inodes = {self._cgroups.inode(seat.cgroup) for seat in domain.seats()}
        keys = [key for inode in inodes if inode is not None for key in self._of_cgroup.get(inode, ()) if key != own]
        return [OtherName(f"{key[0]}:{name_of(key[1]) or key[1]}", self._files[key].change) for key in keys]
