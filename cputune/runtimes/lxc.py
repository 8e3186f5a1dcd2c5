"""Containers of LXC 3 to 6, root's or an unprivileged user's."""

from __future__ import annotations

from collections.abc import Iterator

from cputune.core.model import Details, Domain
from cputune.core.names import is_component
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import liblxc
from cputune.runtimes.registry import RUNTIMES

(LXCPATH,) = RUNTIMES["lxc"].listed_in
_OF_OTHER_RUNTIMES = ("/var/lib/incus/", "/var/lib/lxd/", "/var/snap/lxd/")

is_settled = liblxc.is_settled


def find(cgroups: Cgroups, name: str) -> Iterator[Domain]:
    """Yield the container of that name, running or not."""
    if domain := _found(cgroups, name, _lxcpaths(cgroups)):
        yield domain


def domains(cgroups: Cgroups) -> Iterator[Domain]:
    """Yield the running containers, and those that are defined in root's own directory."""
    lxcpaths = _lxcpaths(cgroups)
    defined = [name for name in cgroups.host.names(LXCPATH) if _is_defined(cgroups, LXCPATH, name)]
    return liblxc.visible(sorted({*lxcpaths, *defined}), lambda name: _found(cgroups, name, lxcpaths))


def of_cgroup(cgroups: Cgroups, cgroup: str) -> Domain | None:
    """Return the container with that payload cgroup, once its init is there."""
    names = liblxc.possible_names(cgroup)
    lxcpaths = _lxcpaths(cgroups) if names else {}
    found = liblxc.visible(names, lambda name: _found(cgroups, name, lxcpaths))
    return next((domain for domain in found if domain.limit_cgroup == cgroup), None)


def _lxcpaths(cgroups: Cgroups) -> dict[str, str]:
    """Return the LXCPATH of every running container by its name; of two, root's own directory wins."""
    found: dict[str, str] = {}
    for lxcpath, name in liblxc.running(cgroups):
        if not f"{lxcpath}/".startswith(_OF_OTHER_RUNTIMES) and (name not in found or lxcpath == LXCPATH):
            found[name] = lxcpath
    return found


def _found(cgroups: Cgroups, name: str, lxcpaths: dict[str, str]) -> Domain | None:
    if not is_component(name):
        return None
    lxcpath = lxcpaths.get(name, LXCPATH)
    persistent = _is_defined(cgroups, lxcpath, name)
    running = liblxc.init_and_payload(cgroups, lxcpath, name) if name in lxcpaths else None
    if running is None:
        return Domain("lxc", name, running=False, persistent=True) if persistent else None
    init, payload = running
    details = Details(pid=init, lxcpath=lxcpath, paused=cgroups.is_frozen(payload))
    return Domain("lxc", name, True, persistent, payload, payload, details=details)


def _is_defined(cgroups: Cgroups, lxcpath: str, name: str) -> bool:
    return cgroups.host.exists(f"{lxcpath}/{name}/config")
