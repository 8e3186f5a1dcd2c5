"""What LXC, incus and LXD have in common, since the library liblxc runs the containers of all three.

A running container is seen by its command socket in /proc/1/net/unix; its init by its monitor, whose command line is
"[lxc monitor] LXCPATH NAME"; its payload cgroup is the one in init's path that bears its name: lxc.payload.NAME
(LXC 4 and later, with -1, -2 ... when that was taken), lxc.payload/NAME (3.1 and 3.2), lxc/NAME (3.0).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from cputune.core.errors import NoSuchDomain, Unsupported
from cputune.core.model import Domain
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.systemd import unit_of
from cputune.runtimes.users import owns_cgroup

_PAYLOAD = r"(?:/.*)?/(?:lxc\.payload[./]|lxc/)(?=([^/]+))(?:(.+)-[0-9]+|[^/]+)"
"""Compiled when it is needed, since only the guard asks whose a cgroup is."""
_SOCKET = re.compile(r" @(/.*)/([^/]+)/command$")


def visible(names: Iterable[str], find: Callable[[str], Domain | None]) -> Iterator[Domain]:
    """Yield the domains that `find` finds by these names, except those whose cgroup is outside our mount."""
    for name in names:
        with suppress(Unsupported):
            if domain := find(name):
                yield domain


def is_settled(domain: Domain) -> bool:
    """Whether a running container is in its payload cgroup; before that, it is in a cgroup of its starter's unit."""
    return unit_of(domain.limit_cgroup or "") is None


def running(cgroups: Cgroups) -> Iterator[tuple[str, str]]:
    """Yield LXCPATH and name of every running container, whoever started it."""
    # The sockets are in the network namespace of the host's init. Ours may be another one, as in a sandboxed service;
    # it is used only if init's cannot be read.
    text = cgroups.host.read_or_none("/proc/1/net/unix") or cgroups.host.read_or_none("/proc/net/unix") or ""
    for line in text.splitlines():
        if match := _SOCKET.search(line):
            yield match[1], match[2]


def possible_names(cgroup: str) -> list[str]:
    """Return the names that the container with that payload cgroup may have: its name may end with -NUMBER, too."""
    match = re.fullmatch(_PAYLOAD, cgroup)
    return [name for name in (match[1], match[2]) if name] if match else []


def init_and_payload(cgroups: Cgroups, lxcpath: str, name: str) -> tuple[int, str] | None:
    """Return the pid of a container's init and its payload cgroup; None if it does not run.

    A user's container is believed to be in that user's cgroups only. Raises Unsupported for one outside our mount.
    """
    init = _init(cgroups, lxcpath, name)
    payload = _payload(cgroups, init, name, lxcpath) if init else None
    return (init, payload) if init and payload and _may_be_in(cgroups, payload, lxcpath) else None


def _may_be_in(cgroups: Cgroups, cgroup: str, lxcpath: str) -> bool:
    owner = _owner(cgroups, lxcpath)
    return owner in (0, cgroups.host.uid) or owns_cgroup(cgroups, owner, cgroup)


def _owner(cgroups: Cgroups, path: str) -> int:
    """Return the uid that owns a directory; if it does not exist, of whoever could create it."""
    while (owner := cgroups.host.owner(path)) is None and path not in ("", "/"):
        path = path.rpartition("/")[0] or "/"
    return owner or 0


def _init(cgroups: Cgroups, lxcpath: str, name: str) -> int | None:
    """Return the pid of the container's init, which is the child of its monitor."""
    monitor = next((pid for pid in _likely_monitors(cgroups, name) if _is_monitor(cgroups, pid, lxcpath, name)), None)
    if monitor is None:
        return None
    text = cgroups.host.read_or_none(f"/proc/{monitor}/task/{monitor}/children")
    if text is not None:
        return next((int(word) for word in text.split()), None)
    return next(  # the kernel may be without CONFIG_PROC_CHILDREN
        (int(pid) for pid in filter(str.isdigit, cgroups.host.names("/proc")) if _parent(cgroups, pid) == monitor), None
    )


def _likely_monitors(cgroups: Cgroups, name: str) -> Iterator[str]:
    """Yield the pids in cgroups with names of monitors, then all pids."""
    for folder in ("/", "/lxc.monitor", "/lxc"):
        for child in cgroups.children(folder):
            if child.startswith((name, f"lxc.monitor.{name}")):
                path = f"{folder.rstrip('/')}/{child}"
                yield from (cgroups.host.read_or_none(f"{cgroups.directory(path)}/cgroup.procs") or "").split()
    yield from filter(str.isdigit, cgroups.host.names("/proc"))


def _is_monitor(cgroups: Cgroups, pid: str, lxcpath: str, name: str) -> bool:
    command = cgroups.host.read_or_none(f"/proc/{pid}/cmdline") or ""
    if command.replace("\0", " ").rstrip() != f"[lxc monitor] {lxcpath} {name}":
        return False
    # Any process can have that command line: it has to belong to whoever the containers there belong to.
    return _owner(cgroups, lxcpath) == cgroups.host.owner(f"/proc/{pid}")


def _parent(cgroups: Cgroups, pid: str) -> str:
    fields = (cgroups.host.read_or_none(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
    return fields[1] if len(fields) > 1 else ""


def _payload(cgroups: Cgroups, init: int, name: str, lxcpath: str) -> str | None:
    """Return the payload cgroup, which init is in or below: an init such as systemd moves itself further down."""
    try:
        path = cgroups.of_pid(init)
    except NoSuchDomain:
        return None
    named = rf"{re.escape(name)}(?:-[0-9]+)?(?=/|$)"
    for prefix in (r"/lxc\.payload\.", r"/lxc\.payload/", "/lxc/", "/"):
        if match := re.match(rf".*?{prefix}{named}", path):
            return match[0]
    text = cgroups.host.read_or_none(f"{lxcpath}/{name}/config") or ""
    match = re.search(r"^\s*lxc\.cgroup\.dir\.container\s*=\s*(\S+)", text, re.MULTILINE)
    configured = f"/{match[1].strip('/')}" if match else None
    return configured if configured and f"{path}/".startswith(f"{configured}/") else path
