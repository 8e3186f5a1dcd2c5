"""What cputune has put into force, by all the names of a cgroup: `docker:web` may be `cgroup:/docker/ID` as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cputune.names import file_name, name_of

if TYPE_CHECKING:
    from cputune.model import Change, Domain
    from cputune.state import Applied
    from cputune.transaction import Tools


class Put(NamedTuple):
    """What was put into force under another name."""

    name: str
    change: Change


class InForce:
    """All records of a host, each read once."""

    def __init__(self, tools: Tools) -> None:
        self._site = tools.site
        self._files: dict[tuple[str, str], Applied] = {}
        self._of_cgroup: dict[int, list[tuple[str, str]]] = {}
        """Which records are of a cgroup, by the number of its directory."""
        for runtime, file in tools.state.recorded():
            _, applied = tools.state.newest_in(runtime, file) or (0, None)
            if applied:
                self._files[runtime, file] = applied
                if applied.inode is not None:
                    self._of_cgroup.setdefault(applied.inode, []).append((runtime, file))

    def names(self) -> list[tuple[str, str]]:
        """Runtime and name of every domain that there is a record of, but for those that are too long for a file."""
        return [(runtime, name) for runtime, file in self._files if (name := name_of(file)) is not None]

    def last(self, domain: Domain) -> Applied | None:
        """What was put into force under this name, perhaps in a cgroup that is gone."""
        return self._files.get((domain.runtime, file_name(domain.name)))

    def here(self, domain: Domain) -> Change | None:
        """The same, where it was in the very cgroup that the domain has now, and anything at all."""
        applied = self.last(domain)
        there = applied is not None and domain.limit is not None and applied.inode == self._site.inode(domain.limit)
        return applied.change if applied and there and applied.change.named() else None

    def elsewhere(self, domain: Domain) -> list[Put]:
        """What was put into force in any of its cgroups under other names."""
        if not self._of_cgroup:  # as on most hosts: of thousands of cgroups none has to be looked at
            return []
        own = (domain.runtime, file_name(domain.name))
        inodes = {self._site.inode(seat.cgroup) for seat in domain.seats()}
        keys = [key for inode in inodes if inode is not None for key in self._of_cgroup.get(inode, ()) if key != own]
        return [Put(f"{key[0]}:{name_of(key[1]) or key[1]}", self._files[key].change) for key in keys]
