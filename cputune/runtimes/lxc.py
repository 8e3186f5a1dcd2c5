"""lxc:NAME, a container of LXC 3 to 6, root's or an unprivileged user's."""

from __future__ import annotations

from collections.abc import Iterator

from cputune.core.model import Domain
from cputune.core.names import is_component
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import liblxc
from cputune.runtimes.listing import at_most_one, paused, running, visible

LXCPATH = "/var/lib/lxc"
# These run containers of their own, under their own names.
_OTHERS = ("/var/lib/incus/", "/var/lib/lxd/", "/var/snap/lxd/")


def find(cgroups: Cgroups, name: str) -> tuple[Domain, ...]:
    """The container `name`, running or not."""
    return at_most_one(_found(cgroups, name, _running(cgroups)))


def domains(cgroups: Cgroups) -> Iterator[Domain]:
    """The running containers, and those that are defined in LXC's own directory."""
    there = _running(cgroups)
    defined = [name for name in cgroups.host.names(LXCPATH) if _defined(cgroups, LXCPATH, name)]
    for name in sorted({*there, *defined}):
        if domain := visible(lambda cgroups, name: _found(cgroups, name, there), cgroups, name):
            yield domain


def of_cgroup(cgroups: Cgroups, cgroup: str) -> Domain | None:
    """The container whose payload's cgroup this is, once its init is there."""
    names = liblxc.names_in(cgroup)
    there = _running(cgroups) if names else {}
    found = (running(visible(lambda cgroups, name: _found(cgroups, name, there), cgroups, name)) for name in names)
    return next((domain for domain in found if domain and domain.limit == cgroup), None)


def _found(cgroups: Cgroups, name: str, there: dict[str, str]) -> Domain | None:
    if not is_component(name):
        return None
    if name in there:
        return _domain(cgroups, there[name], name)
    return Domain("lxc", name, running=False, persistent=True) if _defined(cgroups, LXCPATH, name) else None


def _defined(cgroups: Cgroups, lxcpath: str, name: str) -> bool:
    return cgroups.host.exists(f"{lxcpath}/{name}/config")


def _running(cgroups: Cgroups) -> dict[str, str]:
    """The names of the running containers, each with its LXCPATH; root's own directory wins."""
    found: dict[str, str] = {}
    for lxcpath, name in liblxc.sockets(cgroups):
        if not f"{lxcpath}/".startswith(_OTHERS) and (name not in found or lxcpath == LXCPATH):
            found[name] = lxcpath
    return found


def _domain(cgroups: Cgroups, lxcpath: str, name: str) -> Domain | None:
    persistent = _defined(cgroups, lxcpath, name)
    place = liblxc.place(cgroups, lxcpath, name)
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
        facts=(("pid", str(init)), ("lxcpath", lxcpath), *paused(cgroups, payload)),
    )
