"""Having the rights of another user for a moment, as far as files and signals go."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CAP_SETGID, _CAP_SETUID = 6, 7
"""Numbers of capabilities (include/uapi/linux/capability.h)."""
_GROUPS: dict[int, int] = {}
"""The primary groups of users, as far as they were asked for."""


@contextmanager
def acting_as(user: int | None) -> Iterator[None]:
    """Have the effective ids of a user, and so his rights to files; root's again afterwards. For 0, nothing changes.

    Only the effective ids: the real and the saved ones stay root's, so that the user can neither signal nor trace us.
    A caller who is not root stays who he is. Raises PermissionError without CAP_SETUID and CAP_SETGID.
    """
    if not user or os.geteuid() != 0:
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    try:
        os.setgroups([gid := group_of(user)])
        os.setegid(gid)
        os.seteuid(user)
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def may_become_others() -> bool:
    """Return whether this process has CAP_SETUID and CAP_SETGID: proc_pid_status(5).

    Without them nothing is tried, since a service may be killed for the system call.
    """
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        text = file.read()
    effective = int(text.partition("CapEff:")[2].split(None, 1)[0], 16)
    return bool(effective >> _CAP_SETGID & 1 and effective >> _CAP_SETUID & 1)


def group_of(user: int) -> int:
    """Return a user's primary group; the number of the user where nobody knows the user."""
    if user not in _GROUPS:
        import pwd

        try:
            _GROUPS[user] = pwd.getpwuid(user).pw_gid
        except KeyError:
            _GROUPS[user] = user
    return _GROUPS[user]
