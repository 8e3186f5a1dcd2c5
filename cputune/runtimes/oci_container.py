"""The containers that runc or crun runs for docker, podman, containerd or somebody: where they are, and as domains.

A container's own cgroup is the one on the path of its init's that bears the container's name: the records of its
manager can be older than what they tell of. crun puts the processes of a scope one level further down, into
`container`, and writes every limit to both levels (to the scope through systemd).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from cputune.core.errors import NoSuchDomain, Unsupported
from cputune.core.model import Details, Domain
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes.oci_scale import scale_of
from cputune.runtimes.users import User, owns_cgroup

_INNER = "container"
_HEX_ID = r"(?:.*-)?([0-9a-f]{64})(?:\.scope)?"
"""Compiled when it is needed, since only the guard asks whose a cgroup is."""


class OciContainer(NamedTuple):
    """A container as the records of its manager, or of runc or crun itself, tell of it."""

    program: str
    """The OCI runtime: "runc" or "crun"."""
    pid: int = 0
    """Of its init; 0 or less where it does not run."""
    cgroup_names: tuple[str, ...] = ()
    """What its own cgroup may be called."""
    user: User | None = None
    """Who runs it; None for root."""
    cgroup: str | None = None
    """Its own cgroup, where that is recorded."""
    pid_is_sure: bool = True
    """Whether `pid` is certainly its own: if not, a process elsewhere is another one that has the number now."""


class OciPlacement(NamedTuple):
    """The part of a Domain that tells where it is."""

    limit: str | None
    weight: str | None
    mirrored: bool = False
    obstacle: str | None = None


def domain_of(
    cgroups: Cgroups,
    runtime: str,
    name: str,
    container: OciContainer,
    details: Details,
    *,
    new_cgroup: str | None = None,
    persistent: bool = True,
    paused: bool | None = None,
) -> Domain:
    """Return the domain of a container; with `new_cgroup`, of one that is being started, if that cgroup is its own.

    `paused` is what the records say; None where its cgroup tells.
    """
    placement = _new_placement(cgroups, container, new_cgroup) if new_cgroup else _placement(cgroups, container)
    scale, conversion = scale_of(cgroups, container.program)
    limit, weight, mirrored, obstacle = placement or OciPlacement(None, None)
    if paused is None:
        paused = limit is not None and cgroups.is_frozen(limit)
    details = details._replace(
        pid=container.pid or None if placement else None,
        conversion=conversion,
        paused=paused and placement is not None,
    )
    return Domain(runtime, name, placement is not None, persistent, limit, weight, scale, details, mirrored, obstacle)


def _placement(cgroups: Cgroups, container: OciContainer) -> OciPlacement | None:
    """Return where a container is; None if it does not run."""
    path = _of_pid(cgroups, container.pid) if container.pid > 0 else None
    if path is None:
        return None
    found = _on_path(cgroups, path, container)
    return None if found.limit is None and not container.pid_is_sure else found


def _on_path(cgroups: Cgroups, path: str, container: OciContainer) -> OciPlacement:
    """Return where a container is whose init is in the cgroup `path`.

    What a user's records say is believed only as far as the cgroup is that user's: otherwise they could name anybody's.
    """
    cgroup = container.cgroup or _named_part(path, container.cgroup_names)
    if not cgroup or not f"{path}/".startswith(f"{cgroup}/"):
        return OciPlacement(None, None, obstacle=f"it has no cpu cgroup of its own, but is in {path}")
    user = container.user
    if user and not owns_cgroup(cgroups, user.uid, cgroup):
        return OciPlacement(None, None, obstacle=f"its cgroup {cgroup} does not belong to user {user.uid}")
    inner = f"{cgroup}/{_INNER}"
    if _has_inner(container, cgroup) and f"{path}/".startswith(f"{inner}/"):
        return OciPlacement(inner, cgroup, mirrored=True)
    return OciPlacement(cgroup, cgroup)


def _new_placement(cgroups: Cgroups, container: OciContainer, cgroup: str) -> OciPlacement | None:
    """Return where a container is whose own cgroup has just been made, and may be empty.

    None for another's cgroup, and where crun has still to make the inner one.
    """
    cgroup = own_cgroup(cgroup)
    if cgroup.rpartition("/")[2] not in container.cgroup_names or not may_be_of(cgroups, cgroup, container.user):
        return None
    if not _has_inner(container, cgroup):
        return OciPlacement(cgroup, cgroup)
    inner = f"{cgroup}/{_INNER}"
    return OciPlacement(inner, cgroup, mirrored=True) if cgroups.exists(inner) else None


def _has_inner(container: OciContainer, cgroup: str) -> bool:
    return container.program == "crun" and cgroup.endswith(".scope")


def _of_pid(cgroups: Cgroups, pid: int) -> str | None:
    try:
        return cgroups.of_pid(pid)
    except (NoSuchDomain, Unsupported):
        return None


def _named_part(path: str, names: tuple[str, ...]) -> str:
    """Return the outermost cgroup on a path that has one of these names; an empty string if there is none."""
    parts = path.split("/")
    depth = next((depth for depth, part in enumerate(parts, 1) if part in names), 0)
    return "/".join(parts[:depth])


def own_cgroup(cgroup: str) -> str:
    """Return a container's own cgroup, given that one or the inner one that crun makes."""
    above, _, name = cgroup.rpartition("/")
    return above if name == _INNER and above.endswith(".scope") else cgroup


def id_in(cgroup: str) -> str:
    """Return the id in the name of a container's cgroup: ID, PREFIX-ID or PREFIX-ID.scope; empty if it has none."""
    match = re.fullmatch(_HEX_ID, own_cgroup(cgroup).rpartition("/")[2])
    return match[1] if match else ""


def may_be_of(cgroups: Cgroups, cgroup: str, user: User | None) -> bool:
    """Whether only this user (None: root) can have made a cgroup: others could make one of the same name."""
    if user:
        return owns_cgroup(cgroups, user.uid, cgroup)
    return cgroups.host.owner(cgroups.directory(cgroup)) in (0, cgroups.host.uid)


def cgroup_name(cgroups_path: str) -> str:
    """Return the name of the cgroup for a `cgroupsPath` of an OCI configuration: SLICE:PREFIX:NAME, or a path."""
    _, colon, unit = cgroups_path.partition(":")
    if not colon:
        return cgroups_path.rpartition("/")[2]
    prefix, _, name = unit.partition(":")
    return f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
