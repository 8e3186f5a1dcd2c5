"""What the host's kernel offers: the first line of `cputune status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cputune.core.errors import CpuTuneError
from cputune.host.cgroup.support import Support, support

if TYPE_CHECKING:
    from cputune.host.cgroup.cgroups import Cgroups
    from cputune.transaction.context import Context


class HostInfo(NamedTuple):
    """The host: what its kernel offers."""

    layout: str
    version: int
    mount: str
    readonly: bool
    cpus: int
    systemd: bool
    support: Support | None
    """Of the first cgroup below the root that has the controller; None where there is none yet."""


def host_info(context: Context) -> HostInfo:
    """The host that cputune runs on. Raises Unsupported without a cpu hierarchy."""
    cgroups = context.cgroups
    hierarchy = cgroups.hierarchy
    below = (f"{hierarchy.root.rstrip('/')}/{name}" for name in cgroups.children(hierarchy.root))
    offered = next((have for have in (_support(cgroups, cgroup) for cgroup in below) if have and have.weight), None)
    return HostInfo(
        hierarchy.layout,
        hierarchy.version,
        hierarchy.mount,
        hierarchy.readonly,
        context.cgroups.host.online_cpus(),
        context.systemd.booted(),
        offered,
    )


def _support(cgroups: Cgroups, cgroup: str) -> Support | None:
    try:
        return support(cgroups.read(cgroup))
    except CpuTuneError:  # it is gone meanwhile, or we may not read it
        return None
