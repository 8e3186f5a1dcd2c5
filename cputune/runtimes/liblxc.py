"""What LXC, incus and LXD have in common, since liblxc runs the containers of all three.

That one runs is seen by its command socket in /proc/1/net/unix; its init by its monitor, whose command line is
"[lxc monitor] LXCPATH NAME"; its payload cgroup is the one in init's path that bears its name: lxc.payload.NAME
(LXC 4 and later, with -1, -2 ... when that was taken), lxc.payload/NAME (3.1 and 3.2), lxc/NAME (3.0).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cputune.core.errors import NoSuchDomain
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import oci_place

_PAYLOAD = re.compile(r"(?:/.*)?/(?:lxc\.payload[./]|lxc/)(?=([^/]+))(?:(.+)-[0-9]+|[^/]+)")
_SOCKET = re.compile(r" @(/.*)/([^/]+)/command$")


def sockets(cgroups: Cgroups) -> Iterator[tuple[str, str]]:
    """LXCPATH and name of every running container, whoever started it."""
    # The sockets are in the network namespace of the host's init, not in ours when we look from a container.
    # Of the host's network, whichever is ours: a sandboxed service has one of its own.
    text = cgroups.host.read_or_none("/proc/1/net/unix") or cgroups.host.read_or_none("/proc/net/unix") or ""
    for line in text.splitlines():
        if match := _SOCKET.search(line):
            yield match[1], match[2]


def names_in(cgroup: str) -> list[str]:
    """What a container may be called whose own cgroup this is: the number behind it may be a part of its name."""
    match = _PAYLOAD.fullmatch(cgroup)
    return [name for name in (match[1], match[2]) if name] if match else []


def place(cgroups: Cgroups, lxcpath: str, name: str) -> tuple[int, str] | None:
    """The pid of a container's init, the child of its monitor, and the container's own cgroup."""
    init = _init(cgroups, lxcpath, name)
    payload = _payload(cgroups, init, name, lxcpath) if init else None
    return (init, payload) if init and payload and _may_be_theirs(cgroups, payload, lxcpath) else None


def _may_be_theirs(cgroups: Cgroups, cgroup: str, lxcpath: str) -> bool:
    """Whether a container of whoever has this directory can be in a cgroup: what a user says is believed of his own."""
    owner = _owner(cgroups, lxcpath)
    return owner in (0, cgroups.host.uid) or oci_place.is_of_user(cgroups, cgroup, owner)


def _owner(cgroups: Cgroups, path: str) -> int:
    """Who a directory belongs to, or who could make it."""
    while (owner := cgroups.host.owner(path)) is None and path not in ("", "/"):
        path = path.rpartition("/")[0] or "/"
    return owner or 0


def _init(cgroups: Cgroups, lxcpath: str, name: str) -> int | None:
    monitor = next((pid for pid in _likely_monitors(cgroups, name) if _is_monitor(cgroups, pid, lxcpath, name)), None)
    if monitor is None:
        return None
    text = cgroups.host.read_or_none(f"/proc/{monitor}/task/{monitor}/children")
    if text is not None:
        return next((int(word) for word in text.split()), None)
    return next(
        (int(pid) for pid in filter(str.isdigit, cgroups.host.names("/proc")) if _parent(cgroups, pid) == monitor), None
    )


def _likely_monitors(cgroups: Cgroups, name: str) -> Iterator[str]:
    """The processes in cgroups named as LXC names its monitors', then all."""
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
    # Anybody can call his process so: it has to belong to whoever the containers there belong to.
    return _owner(cgroups, lxcpath) == cgroups.host.owner(f"/proc/{pid}")


def _parent(cgroups: Cgroups, pid: str) -> str:
    fields = (cgroups.host.read_or_none(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
    return fields[1] if len(fields) > 1 else ""


def _payload(cgroups: Cgroups, init: int, name: str, lxcpath: str) -> str | None:
    """The container's own cgroup: an init such as systemd has moved itself further down."""
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
