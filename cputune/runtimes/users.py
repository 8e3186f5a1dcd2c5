"""The users of a host whose containers are looked for: root, and those who are logged in (or linger)."""

from __future__ import annotations

from typing import NamedTuple

from cputune.host.cgroup.cgroups import Cgroups

MOST_OF_A_USER = 1000
"""So many containers of one user are looked at: his records can be as many as he likes."""


class User(NamedTuple):
    """One user."""

    uid: int
    home: str
    run: str
    """His $XDG_RUNTIME_DIR."""

    @property
    def prefix(self) -> str:
        """What the names of his containers begin with, as those of his units do."""
        return f"{self.uid}/"


def active(cgroups: Cgroups) -> list[User]:
    """The users other than root who have a runtime directory: without one, nothing of theirs runs."""
    uids = [int(name) for name in cgroups.host.names("/run/user") if name.isascii() and name.isdigit()]
    return [User(uid, home, f"/run/user/{uid}") for uid in uids if uid and (home := home_of(cgroups, uid))]


def is_theirs(cgroups: Cgroups, path: str, user: User) -> bool:
    """Whether a directory that a user's settings name is that user's own."""
    return cgroups.host.owner(path) == user.uid


def meant(cgroups: Cgroups, name: str, prefix: str, user: User | None) -> str | None:
    """What `name` is among the containers of `user` (None: root), whose names begin with `prefix`; None: none of them.

    Without a prefix it is one of root's, or the caller's own; to root never a user's, who could take any name.
    """
    if prefix and name.startswith(prefix):
        return name.removeprefix(prefix)
    return name if user is None or user.uid == cgroups.host.uid else None


def home_of(cgroups: Cgroups, uid: int) -> str | None:
    """A user's home directory, by the host's own list of users."""
    for line in (cgroups.host.read_or_none("/etc/passwd") or "").splitlines():
        fields = line.split(":")
        if len(fields) > 5 and fields[2] == str(uid):
            return fields[5]
    if cgroups.host.root:
        return None
    import pwd

    try:
        return pwd.getpwuid(uid).pw_dir  # from a directory service
    except KeyError:
        return None
