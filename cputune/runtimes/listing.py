"""What the modules of runtimes have in common."""

from __future__ import annotations

from collections.abc import Callable

from cputune.core.errors import Unsupported
from cputune.core.model import Domain
from cputune.host.cgroup.cgroups import Cgroups

PAUSED = ("paused", "yes")


def at_most_one(domain: Domain | None) -> tuple[Domain, ...]:
    """What a `find` returns whose names are unique."""
    return () if domain is None else (domain,)


def running(domain: Domain | None) -> Domain | None:
    """A domain that runs, and has a cgroup that could be limited; else none."""
    return domain if domain and domain.running and domain.limit else None


def paused(cgroups: Cgroups, cgroup: str | None) -> tuple[tuple[str, str], ...]:
    """The fact that a container is paused: on v2 its cgroup tells (Documentation/admin-guide/cgroup-v2.rst, freeze)."""
    if cgroup is None or cgroups.hierarchy.version == 1:
        return ()
    text = cgroups.host.read_or_none(f"{cgroups.directory(cgroup)}/cgroup.freeze")
    return (PAUSED,) if text and text.strip() == "1" else ()


def visible(find: Callable[[Cgroups, str], Domain | None], cgroups: Cgroups, name: str) -> Domain | None:
    """What `find` finds; None where its cgroup is outside our mount, so that a list goes on without it."""
    try:
        return find(cgroups, name)
    except Unsupported:
        return None
