"""What LXC, incus and LXD have in common, since the library liblxc runs the containers of all three.

A running container is seen by its command socket in /proc/1/net/unix; its init by its monitor, whose command line is
"[lxc monitor] LXCPATH NAME"; its payload cgroup is the one in init's path that bears its name: lxc.payload.NAME
(LXC 4 and later, with -1, -2 ... when that was taken), lxc.payload/NAME (3.1 and 3.2), lxc/NAME (3.0).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial

from cputune.core.errors import NoSuchDomain
from cputune.core.model import Domain
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.processes import identify
from cputune.host.systemd import unit_of
from cputune.runtimes.tolerance import tolerantly
from cputune.runtimes.users import owns_cgroup

_PAYLOAD = r"(?:/.*)?/(?:lxc\.payload[./]|lxc/)(?=([^/]+))(?:(.+)-[0-9]+|[^/]+)"
"""Compiled when it is needed, since only the guard asks whose a cgroup is."""
_SOCKET = re.compile(r" @(/.*)/([^/]+)/command$")


def visible(
    cgroups: Cgroups, runtime: str, names: Iterable[str], find: Callable[[str], Domain | None]
) -> Iterator[Domain]:
    """Yield the domains that `find` finds by these names, except those whose cgroup is outside our mount."""
    for name in names:
        yield from tolerantly(cgroups, f"{runtime}:{name}", 0, partial(find, name))


def is_settled(domain: Domain) -> bool:
    """Whether a running container is in its payload cgroup; before that, it is in a cgroup of its starter's unit."""
    return unit_of(domain.limit_cgroup or "") is None


def running(cgroups: Cgroups) -> Iterator[tuple[str, str]]:
    """Yield LXCPATH and name of every container that has a command socket; whether it is one, its monitor tells."""
    # The sockets are in the network namespace of the host's init. Ours may be another one, as in a sandboxed service;
    # it is used only if init's cannot be read.
    lines: Iterator[str] = iter(())
    try:
        lines = cgroups.host.lines("/proc/1/net/unix")
    except OSError:
        with suppress(OSError):
            lines = cgroups.host.lines("/proc/net/unix")
    yield from ((match[1], match[2]) for line in lines if (match := _SOCKET.search(line)))


def possible_names(cgroup: str) -> list[str]:
    """Return the names that the container with that payload cgroup may have: its name may end with -NUMBER, too."""
    match = re.fullmatch(_PAYLOAD, cgroup)
    return [name for name in (match[1], match[2]) if name] if match else []


class Monitors:
    """The monitors of a host's containers, by their command lines; all processes are searched once at most."""

    def __init__(self, cgroups: Cgroups) -> None:
        self._cgroups = cgroups
        self._all: dict[str, list[int]] | None = None
        """The pids of all processes with the command line of a monitor."""

    def init_and_payload(self, lxcpath: str, name: str, owner: int) -> tuple[int, str] | None:
        """Return the pid of a container's init and its payload cgroup; None if it does not run.

        `owner` is the user id that LXCPATH belongs to. A user's container is believed to be in that user's cgroups
        only. Raises Unsupported for one outside our mount.
        """
        init = self._init(lxcpath, name, owner)
        payload = _payload(self._cgroups, init, name, lxcpath, owner) if init else None
        is_his = payload and (owner in (0, self._cgroups.host.uid) or owns_cgroup(self._cgroups, owner, payload))
        return (init, payload) if init and payload and is_his else None

    def _init(self, lxcpath: str, name: str, owner: int) -> int | None:
        """Return the pid of the container's init, which is the child of its monitor."""
        command = f"[lxc monitor] {lxcpath} {name}"
        monitor = next((pid for pid in self._candidates(name, command) if self._is_of(pid, command, owner)), None)
        if monitor is None:
            return None
        host = self._cgroups.host
        text = host.read_or_none(f"/proc/{monitor}/task/{monitor}/children")
        if text is not None:
            return next((int(word) for word in text.split()), None)
        pids = filter(str.isdigit, host.names("/proc"))  # the kernel may be without CONFIG_PROC_CHILDREN
        return next((int(pid) for pid in pids if _parent(self._cgroups, pid) == str(monitor)), None)

    def _candidates(self, name: str, command: str) -> Iterator[int]:
        """Yield the pids in cgroups with names of monitors, then all that have that command line."""
        host = self._cgroups.host
        for folder in ("/", "/lxc.monitor", "/lxc") if self._all is None else ():
            for child in self._cgroups.children(folder):
                if child.startswith((name, f"lxc.monitor.{name}")):
                    path = f"{folder.rstrip('/')}/{child}"
                    pids = host.read_or_none(f"{self._cgroups.directory(path)}/cgroup.procs") or ""
                    yield from map(int, pids.split())
        if self._all is None:
            self._all = {}
            for pid in filter(str.isdigit, host.names("/proc")):
                text = (host.read_or_none(f"/proc/{pid}/cmdline") or "").replace("\0", " ").rstrip()
                if text.startswith("[lxc monitor] "):
                    self._all.setdefault(text, []).append(int(pid))
        yield from self._all.get(command, ())

    def _is_of(self, pid: int, command: str, owner: int) -> bool:
        """Whether a process is that monitor: it has to belong to whoever the containers there belong to."""
        if (self._cgroups.host.read_or_none(f"/proc/{pid}/cmdline") or "").replace("\0", " ").rstrip() != command:
            return False
        process = identify(self._cgroups.host, pid)
        return process is not None and process.owner == owner


def _parent(cgroups: Cgroups, pid: str) -> str:
    fields = (cgroups.host.read_or_none(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
    return fields[1] if len(fields) > 1 else ""


def _payload(cgroups: Cgroups, init: int, name: str, lxcpath: str, owner: int) -> str | None:
    """Return the payload cgroup, which init is in or below: an init such as systemd moves itself further down."""
    try:
        path = cgroups.of_pid(init)
    except NoSuchDomain:
        return None
    named = rf"{re.escape(name)}(?:-[0-9]+)?(?=/|$)"
    for prefix in (r"/lxc\.payload\.", r"/lxc\.payload/", "/lxc/", "/"):
        if match := re.match(rf".*?{prefix}{named}", path):
            return match[0]
    text = cgroups.host.foreign.read_or_none(f"{lxcpath}/{name}/config", owner, stray=True) or ""
    lines = (line.partition("=") for line in text.splitlines())
    named_there = (value.strip().strip("/") for key, _, value in lines if key.strip() == "lxc.cgroup.dir.container")
    configured = next((f"/{directory}" for directory in named_there if directory), None)
    return configured if configured and f"{path}/".startswith(f"{configured}/") else path
