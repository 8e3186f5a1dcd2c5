"""A cgroup by its path in the cpu hierarchy, for what no runtime knows."""

from __future__ import annotations

from collections.abc import Iterator

from cputune.core.errors import UsageError
from cputune.core.model import Domain
from cputune.core.names import printable
from cputune.host.cgroup.cgroups import Cgroups


def find(cgroups: Cgroups, name: str) -> Iterator[Domain]:
    """Yield the cgroup at `name`: a path as in /proc/PID/cgroup, or pasted with the mount point before it.

    Raises UsageError for what is not an absolute path, or has "." or ".." in it.
    """
    mount, root = cgroups.hierarchy.mount, cgroups.hierarchy.root
    path = name[len(mount) :] or "/" if name == mount or name.startswith(f"{mount}/") else name
    parts = path.strip("/").split("/")
    if not path.startswith("/") or "." in parts or ".." in parts:
        raise UsageError(
            f"cgroup:{printable(name)}: not an absolute path without . and ..", "cputune status cgroup:/system.slice"
        )
    path = "/" + "/".join(part for part in parts if part)
    if root != "/" and not path.startswith(root):
        path = root + path
    if cgroups.exists(path) and not _leaves(cgroups, path):
        yield Domain("cgroup", path, running=True, persistent=False, limit_cgroup=path, weight_cgroup=path)


def _leaves(cgroups: Cgroups, path: str) -> bool:
    """Whether a symbolic link in the path leads out of the hierarchy, as one below --root can."""
    import os

    top = os.path.realpath(cgroups.host.real(cgroups.hierarchy.mount))
    real = os.path.realpath(cgroups.host.real(cgroups.directory(path)))
    return real != top and not real.startswith(f"{top}/")


def domains(cgroups: Cgroups) -> Iterator[Domain]:
    """Yield nothing: every directory would be a domain."""
    return iter(())
