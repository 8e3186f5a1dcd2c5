"""What lists of domains have in common."""

from __future__ import annotations

from collections.abc import Callable

from cputune.cgroup import Cgroups
from cputune.errors import Unsupported
from cputune.model import Domain


def visible(find: Callable[[Cgroups, str], Domain | None], site: Cgroups, name: str) -> Domain | None:
    """What `find` finds; None where its cgroup is outside our mount, so that a list goes on without it."""
    try:
        return find(site, name)
    except Unsupported:
        return None
