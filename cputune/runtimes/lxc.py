"""lxc:NAME, a container of LXC 3 to 6, root's or an unprivileged user's."""

from __future__ import annotations

from collections.abc import Iterator

from cputune.cgroup import Cgroups
from cputune.model import Domain
from cputune.names import is_component
from cputune.runtimes import monitored
from cputune.runtimes.listing import at_most_one, paused, running, visible

LXCPATH = "/var/lib/lxc"
# These run containers of their own, under their own names.
_OTHERS = ("/var/lib/incus/", "/var/lib/lxd/", "/var/snap/lxd/")


def find(site: Cgroups, name: str) -> tuple[Domain, ...]:
    """The container `name`, running or not."""
    return at_most_one(_found(site, name, _running(site)))


def domains(site: Cgroups) -> Iterator[Domain]:
    """The running containers, and those that are defined in LXC's own directory."""
    there = _running(site)
    defined = [name for name in site.host.names(LXCPATH) if _defined(site, LXCPATH, name)]
    for name in sorted({*there, *defined}):
        if domain := visible(lambda site, name: _found(site, name, there), site, name):
            yield domain


def of_cgroup(site: Cgroups, cgroup: str) -> Domain | None:
    """The container whose payload's cgroup this is, once its init is there."""
    names = monitored.names_in(cgroup)
    there = _running(site) if names else {}
    found = (running(visible(lambda site, name: _found(site, name, there), site, name)) for name in names)
    return next((domain for domain in found if domain and domain.limit == cgroup), None)


def _found(site: Cgroups, name: str, there: dict[str, str]) -> Domain | None:
    if not is_component(name):
        return None
    if name in there:
        return _domain(site, there[name], name)
    return Domain("lxc", name, running=False, persistent=True) if _defined(site, LXCPATH, name) else None


def _defined(site: Cgroups, lxcpath: str, name: str) -> bool:
    return site.host.exists(f"{lxcpath}/{name}/config")


def _running(site: Cgroups) -> dict[str, str]:
    """The names of the running containers, each with its LXCPATH; root's own directory wins."""
    found: dict[str, str] = {}
    for lxcpath, name in monitored.sockets(site):
        if not f"{lxcpath}/".startswith(_OTHERS) and (name not in found or lxcpath == LXCPATH):
            found[name] = lxcpath
    return found


def _domain(site: Cgroups, lxcpath: str, name: str) -> Domain | None:
    persistent = _defined(site, lxcpath, name)
    place = monitored.place(site, lxcpath, name)
    if place is None:
        return Domain("lxc", name, running=False, persistent=True) if persistent else None
    init, payload = place
    return Domain(
        "lxc",
        name,
        True,
        persistent,
        payload,
        payload,
        facts=(("pid", str(init)), ("lxcpath", lxcpath), *paused(site, payload)),
    )
