"""Which cgroup is an OCI container's own: the one on the path of its init that bears its name.

By the path of the process and not by the records alone, which can be older than what they tell of. crun puts the
process of a scope one level further down, in `container`, and writes every limit to both levels (the scope's through
systemd).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from cputune.core.errors import NoSuchDomain, Unsupported
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes.users import User

_INNER = "container"
_HEX_ID = re.compile(r"(?:.*-)?([0-9a-f]{64})(?:\.scope)?")


class OciPlacement(NamedTuple):
    """The part of a Domain that tells where it is."""

    limit: str | None
    weight: str | None
    mirrored: bool = False
    obstacle: str | None = None


def find(cgroups: Cgroups, pid: int, names: tuple[str, ...], *, crun: bool, user: User | None) -> OciPlacement | None:
    """Where the container is whose init is `pid` and whose cgroup has one of `names`; None where it does not run."""
    path = _of_pid(cgroups, pid)
    if path is None:
        return None
    parts = path.split("/")
    depth = next((at for at, part in enumerate(parts, 1) if part in names), None)
    return _none_of_its_own(path) if depth is None else at(cgroups, pid, "/".join(parts[:depth]), crun=crun, user=user)


def at(cgroups: Cgroups, pid: int, cgroup: str, *, crun: bool, user: User | None) -> OciPlacement | None:
    """The same for a container that is known to be in `cgroup`.

    What a user's records say is believed only as far as the cgroup is that user's: otherwise they could name anybody's.
    """
    path = _of_pid(cgroups, pid)
    if path is None:
        return None
    if not f"{path}/".startswith(f"{cgroup}/"):
        return _none_of_its_own(path)
    if user and not is_of_user(cgroups, cgroup, user.uid):
        return OciPlacement(None, None, obstacle=f"its cgroup {cgroup} does not belong to user {user.uid}")
    inner = f"{cgroup}/{_INNER}"
    if crun and cgroup.endswith(".scope") and f"{path}/".startswith(f"{inner}/"):
        return OciPlacement(inner, cgroup, mirrored=True)
    return OciPlacement(cgroup, cgroup)


def made(
    cgroups: Cgroups, cgroup: str, names: tuple[str, ...], *, crun: bool, user: User | None
) -> OciPlacement | None:
    """Where a container is whose own cgroup, which has one of `names`, has just been made: nothing need be in it yet.

    None for another's, and where crun has still to make the inner one.
    """
    cgroup = outer(cgroup)
    if cgroup.rpartition("/")[2] not in names or not is_theirs(cgroups, cgroup, user):
        return None
    if not (crun and cgroup.endswith(".scope")):
        return OciPlacement(cgroup, cgroup)
    inner = f"{cgroup}/{_INNER}"
    return OciPlacement(inner, cgroup, mirrored=True) if cgroups.exists(inner) else None


def outer(cgroup: str) -> str:
    """A container's own cgroup, from that one or crun's inner one."""
    above, _, name = cgroup.rpartition("/")
    return above if name == _INNER and above.endswith(".scope") else cgroup


def id_in(cgroup: str) -> str:
    """The id in the name of a container's own cgroup: ID, PREFIX-ID or PREFIX-ID.scope; empty where there is none."""
    match = _HEX_ID.fullmatch(outer(cgroup).rpartition("/")[2])
    return match[1] if match else ""


def is_theirs(cgroups: Cgroups, cgroup: str, user: User | None) -> bool:
    """Whether only a container's owner can have made its cgroup: else anybody could make one that is called so."""
    if user:
        return is_of_user(cgroups, cgroup, user.uid)
    return cgroups.host.owner(cgroups.directory(cgroup)) in (0, cgroups.host.uid)


def is_of_user(cgroups: Cgroups, cgroup: str, uid: int) -> bool:
    """Whether only this user, or root, can have made the cgroup."""
    return cgroup.startswith(f"/user.slice/user-{uid}.slice/") or cgroups.host.owner(cgroups.directory(cgroup)) == uid


def _of_pid(cgroups: Cgroups, pid: int) -> str | None:
    try:
        return cgroups.of_pid(pid)
    except (NoSuchDomain, Unsupported):
        return None


def _none_of_its_own(path: str) -> OciPlacement:
    return OciPlacement(None, None, obstacle=f"it has no cpu cgroup of its own, but is in {path}")


def name_of(cgroups_path: str) -> str:
    """What the cgroup is called that a `cgroupsPath` of an OCI configuration asks for: SLICE:PREFIX:NAME, or a path."""
    _, colon, unit = cgroups_path.partition(":")
    if not colon:
        return cgroups_path.rpartition("/")[2]
    prefix, _, name = unit.partition(":")
    return f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
