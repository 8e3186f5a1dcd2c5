"""Containers of LXC 3 to 6, root's or an unprivileged user's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from cputune.core.model import Details, Domain
from cputune.core.names import is_component
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import liblxc
from cputune.runtimes.registry import RUNTIMES
from cputune.runtimes.tolerance import tolerantly
from cputune.runtimes.users import MAX_CONTAINERS_OF_A_USER, local_name, prefix_of

(LXCPATH,) = RUNTIMES["lxc"].listed_in
_OF_OTHER_RUNTIMES = ("/var/lib/incus/", "/var/lib/lxd/", "/var/snap/lxd/")

is_settled = liblxc.is_settled


def find(cgroups: Cgroups, name: str) -> Iterator[Domain]:
    """Yield the containers that the name can mean, running or not: root's, the caller's own, or UID's for UID/NAME."""
    seen = _Seen(cgroups)
    for owner, own, lxcpath in (*seen.running(), *(() if (0, name) in seen.lxcpaths else ((0, name, LXCPATH),))):
        if is_component(own) and local_name(cgroups, name, prefix_of(owner), owner) == own:
            yield from seen.domain(owner, own, lxcpath)


def domains(cgroups: Cgroups) -> Iterator[Domain]:
    """Yield the running containers, and those that are defined in root's own directory."""
    seen = _Seen(cgroups)
    defined = {(0, name): LXCPATH for name in cgroups.host.foreign.names(LXCPATH)}
    for (owner, name), lxcpath in sorted({**defined, **seen.lxcpaths}.items()):
        yield from tolerantly(
            cgroups, f"lxc:{prefix_of(owner)}{name}", owner, partial(seen.domain, owner, name, lxcpath)
        )


def of_cgroup(cgroups: Cgroups, cgroup: str) -> Domain | None:
    """Return the container with that payload cgroup, once its init is there."""
    names = liblxc.possible_names(cgroup)
    seen = _Seen(cgroups) if names else None
    for owner, name, lxcpath in seen.running() if seen else ():
        found = partial(seen.domain, owner, name, lxcpath) if seen and name in names else list
        for domain in tolerantly(cgroups, f"lxc:{prefix_of(owner)}{name}", owner, found):
            if domain.limit_cgroup == cgroup:
                return domain
    return None


def own_name(domain: Domain) -> str:
    """Return what LXC calls the container."""
    return domain.name.rpartition("/")[2]


class _Seen:
    """The containers with a command socket, of root and of users, at one moment."""

    def __init__(self, cgroups: Cgroups) -> None:
        self._cgroups = cgroups
        self._monitors = liblxc.Monitors(cgroups)
        self.lxcpaths: dict[tuple[int, str], str] = {}
        """LXCPATH by owner (user id) and name; of two with one name, root's own directory wins."""
        owners: dict[str, int | None] = {}
        count: dict[int, int] = {}
        for lxcpath, name in liblxc.running(cgroups):
            if f"{lxcpath}/".startswith(_OF_OTHER_RUNTIMES):
                continue
            if lxcpath not in owners:
                owners[lxcpath] = cgroups.host.foreign.owner(lxcpath)
            owner = owners[lxcpath]
            if owner is None or (owner and count.get(owner, 0) >= MAX_CONTAINERS_OF_A_USER):
                continue
            count[owner] = count.get(owner, 0) + 1
            if (owner, name) not in self.lxcpaths or lxcpath == LXCPATH:
                self.lxcpaths[owner, name] = lxcpath

    def running(self) -> list[tuple[int, str, str]]:
        """Return owner, name and LXCPATH of all of them."""
        return [(owner, name, lxcpath) for (owner, name), lxcpath in self.lxcpaths.items()]

    def domain(self, owner: int, name: str, lxcpath: str) -> Iterator[Domain]:
        """Yield the container, if it runs or is defined. Raises Unsupported if its cgroup is outside our mount."""
        if not is_component(name):
            return
        own = self._cgroups.host.foreign
        persistent = own.exists(f"{lxcpath}/{name}/config", owner, stray=True)
        found = self._monitors.init_and_payload(lxcpath, name, owner) if (owner, name) in self.lxcpaths else None
        if found:
            init, payload = found
            paused = self._cgroups.is_frozen(payload)
            details = Details(pid=init, lxcpath=lxcpath, owner=owner or None, paused=paused)
            yield Domain("lxc", prefix_of(owner) + name, True, persistent, payload, payload, details=details)
        elif persistent:
            details = Details(owner=owner or None)
            yield Domain("lxc", prefix_of(owner) + name, running=False, persistent=True, details=details)
