"""The users of a host whose containers are looked for besides root's: those who are logged in, or linger."""

from __future__ import annotations

from typing import NamedTuple

from cputune.host.cgroup.cgroups import Cgroups

MAX_CONTAINERS_OF_A_USER = 1000
"""No more containers of one user are looked at: a user can write as many records as he likes."""


MAX_PASSWD_BYTES = 16 << 20
"""Of /etc/passwd: a large site has a hundred thousand users in it."""


class User(NamedTuple):
    """One user."""

    uid: int
    home: str
    runtime_dir: str
    """$XDG_RUNTIME_DIR."""

    @property
    def prefix(self) -> str:
        """What the names of the user's containers begin with, as those of the user's units do."""
        return prefix_of(self.uid)


def logged_in(cgroups: Cgroups) -> list[User]:
    """Return the users other than root who have a runtime directory: without one, they run no containers."""
    uids = [int(name) for name in cgroups.host.foreign.names("/run/user") if name.isascii() and name.isdigit()]
    return [User(uid, home, f"/run/user/{uid}") for uid in uids if uid and (home := home_of(cgroups, uid))]


def uid_of(user: User | None) -> int:
    """Return the user id that the records of a user's (None: root's) containers belong to."""
    return user.uid if user else 0


def owns_cgroup(cgroups: Cgroups, uid: int, cgroup: str) -> bool:
    """Whether a cgroup is this user's: nobody else but root can have made it."""
    return cgroup.startswith(f"/user.slice/user-{uid}.slice/") or cgroups.host.owner(cgroups.directory(cgroup)) == uid


def prefix_of(owner: int) -> str:
    """Return what the names of the containers of this user id begin with; root's with nothing."""
    return f"{owner}/" if owner else ""


def local_name(cgroups: Cgroups, name: str, prefix: str, owner: int) -> str | None:
    """Return what a name means among the containers of one owner (user id): the name without the owner's prefix.

    None if it means none of them. Without a prefix, a name means a container of root's or of the caller's own; for
    root it never means another user's, since users can give their containers any name.
    """
    if prefix and name.startswith(prefix):
        return name.removeprefix(prefix)
    return name if owner in (0, cgroups.host.uid) else None


def home_of(cgroups: Cgroups, uid: int) -> str | None:
    """Return a user's home directory, by the host's /etc/passwd or our own directory service; None if unknown."""
    for line in (cgroups.host.foreign.read_or_none("/etc/passwd", limit=MAX_PASSWD_BYTES) or "").splitlines():
        fields = line.split(":")
        if len(fields) > 5 and fields[2] == str(uid):
            return fields[5]
    if cgroups.host.root:
        return None
    import pwd

    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        return None
