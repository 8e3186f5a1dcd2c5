"""docker's containers, of root's daemon, of the users' (rootless) ones, and of further daemons of root.

All is in the daemon's own files (containers/ID/config.v2.json and hostconfig.json), which it replaces as a whole; the
daemon need not run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from cputune.core.model import Details, Domain
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.processes import identify, is_on_hosts_mounts
from cputune.runtimes import oci_container
from cputune.runtimes.json_files import MAX_BYTES, Unreadable, integer_at, load_object, string_at, value_at
from cputune.runtimes.oci_container import OciContainer
from cputune.runtimes.registry import RUNTIMES
from cputune.runtimes.tolerance import each_users, tolerantly
from cputune.runtimes.users import MAX_CONTAINERS_OF_A_USER, User, local_name, uid_of

(DATA_ROOT,) = RUNTIMES["docker"].listed_in
_ID = re.compile(r"[0-9a-f]{64}")
_PROGRAMS = ("/usr/bin/dockerd", "/usr/sbin/dockerd", "/usr/local/bin/dockerd", "/snap/docker")


class Daemon(NamedTuple):
    """One dockerd, as far as its containers and its command are concerned."""

    data_root: str
    prefix: str
    """What stands before its containers' names: nothing, "UID/", or the data root and a slash."""
    socket: str | None
    """The path for `docker -H unix://PATH`; None where that is not known."""
    user: User | None = None

    @property
    def owner(self) -> int:
        """The user id that its records must belong to."""
        return uid_of(self.user)


class Container(NamedTuple):
    """One container's directory."""

    daemon: Daemon
    id: str

    @property
    def folder(self) -> str:
        """The directory of its records."""
        return f"{self.daemon.data_root}/containers/{self.id}"

    def hostconfig(self, cgroups: Cgroups) -> dict[str, Any]:
        """Return what was asked for: limits, AutoRemove, ... Raises Unreadable."""
        return load_object(cgroups, f"{self.folder}/hostconfig.json", self.daemon.owner) or {}


def find(cgroups: Cgroups, name: str) -> Iterator[Domain]:
    """Yield the containers with that name or whole id. Raises Unreadable if a record of root's is damaged."""
    return _domains(cgroups, name, lambda container, word: word == container.id or _is_named(cgroups, container, word))


def by_prefix(cgroups: Cgroups, prefix: str) -> Iterator[Domain]:
    """Yield the containers whose id begins with `prefix`. Raises Unreadable if a record of root's is damaged."""
    return _domains(cgroups, prefix, lambda container, word: bool(word) and container.id.startswith(word))


def domains(cgroups: Cgroups) -> Iterator[Domain]:
    """Yield all containers of all daemons, running or not; those whose records are damaged are named as problems."""
    for container in containers(cgroups):
        yield from _tolerantly(cgroups, container)


def of_cgroup(cgroups: Cgroups, cgroup: str) -> Domain | None:
    """Return the container with that cgroup, even if it is only being started, and no record says that it runs."""
    id_ = oci_container.id_in(cgroup)
    own = oci_container.own_cgroup(cgroup)
    for daemon in _daemons(cgroups) if id_ else ():
        container = Container(daemon, id_)
        if oci_container.may_be_of(cgroups, own, daemon.user) and cgroups.host.foreign.is_dir(
            container.folder, daemon.owner
        ):
            return _domain(cgroups, container, cgroup)
    return None


def containers(cgroups: Cgroups) -> Iterator[Container]:
    """Yield all containers of all daemons, of a user at most MAX_CONTAINERS_OF_A_USER."""
    for daemon in daemons(cgroups):
        ids = filter(_ID.fullmatch, cgroups.host.foreign.names(f"{daemon.data_root}/containers", daemon.owner))
        for id_ in islice(ids, MAX_CONTAINERS_OF_A_USER if daemon.user else None):
            yield Container(daemon, id_)


def of_domain(cgroups: Cgroups, domain: Domain) -> Container | None:
    """Return the container of a domain, by the directory of its records, since users can copy ids."""
    records = domain.details.records
    return next((container for container in containers(cgroups) if container.folder == records), None)


def daemons(cgroups: Cgroups) -> list[Daemon]:
    """Return root's daemon, further daemons of root with another data root, and those of users."""
    return list(_daemons(cgroups))


def _daemons(cgroups: Cgroups) -> Iterator[Daemon]:
    """Yield the daemons, root's own first, since it is found fastest."""
    root = _data_root_in(cgroups, "/etc/docker/daemon.json", 0) or DATA_ROOT
    found = {root: Daemon(root, "", "/run/docker.sock")}
    yield found[root]
    for argv in _running_daemons(cgroups):
        config = _option(argv, "--config-file")
        data = _option(argv, "--data-root", "-g") or _data_root_in(cgroups, config, 0) or root
        if data not in found and cgroups.host.foreign.owner(data) in (0, cgroups.host.uid):
            found[data] = Daemon(data, f"{data}/", _socket(cgroups, argv))
            yield found[data]
    yield from each_users(cgroups, "docker", partial(_daemon_of, cgroups))


def _daemon_of(cgroups: Cgroups, user: User) -> Daemon | None:
    config = f"{user.home}/.config/docker/daemon.json"
    data = _data_root_in(cgroups, config, user.uid) or f"{user.home}/.local/share/docker"
    if not cgroups.host.foreign.is_dir(data, user.uid):
        return None
    return Daemon(data, user.prefix, f"{user.runtime_dir}/docker.sock", user)


def _domains(cgroups: Cgroups, name: str, is_wanted: Callable[[Container, str], bool]) -> Iterator[Domain]:
    """Yield the containers that a name means; `is_wanted` gets the name without the part that says whose it is."""
    for container in containers(cgroups):
        word = local_name(cgroups, name, container.daemon.prefix, container.daemon.owner)
        if word is not None and is_wanted(container, word):
            yield from _tolerantly(cgroups, container, named=True)


def _tolerantly(cgroups: Cgroups, container: Container, *, named: bool = False) -> Iterator[Domain]:
    daemon = container.daemon
    subject = f"docker:{daemon.prefix}{container.id[:12]}"
    return tolerantly(cgroups, subject, daemon.owner, partial(_domain, cgroups, container), named=named)


def _is_named(cgroups: Cgroups, container: Container, name: str) -> bool:
    """Whether the container has that name; most are ruled out without parsing their records."""
    path = f"{container.folder}/config.v2.json"
    if f'"Name":"/{name}"' not in (cgroups.host.foreign.read_or_none(path, container.daemon.owner, MAX_BYTES) or ""):
        return False
    try:
        return string_at(load_object(cgroups, path, container.daemon.owner), "Name") == f"/{name}"
    except Unreadable:
        return container.daemon.user is None  # then `_domain` raises it


def _domain(cgroups: Cgroups, container: Container, new_cgroup: str | None = None) -> Domain | None:
    """Return the domain of a container; with `new_cgroup`, of one that is being started in that cgroup.

    Raises Unreadable."""
    daemon, id_ = container.daemon, container.id
    record = load_object(cgroups, f"{container.folder}/config.v2.json", daemon.owner)
    name = string_at(record, "Name").removeprefix("/")
    if not name:
        return None
    asked = container.hostconfig(cgroups)
    return oci_container.domain_of(
        cgroups,
        "docker",
        daemon.prefix + name,
        OciContainer(
            program="crun" if "crun" in string_at(asked, "Runtime") else "runc",
            pid=integer_at(record, "State", "Pid") if value_at(record, "State", "Running") is True else 0,
            cgroup_names=(f"docker-{id_}.scope", id_),
            user=daemon.user,
            pid_is_sure=daemon.user is not None,  # only a user's container can be without a cgroup of its own
        ),
        Details(id=id_, records=container.folder, owner=daemon.owner or None),
        new_cgroup=new_cgroup,
        persistent=value_at(asked, "AutoRemove") is not True,
        paused=value_at(record, "State", "Paused") is True,
    )


def _data_root_in(cgroups: Cgroups, path: str | None, owner: int) -> str | None:
    """Return the data root that a daemon.json sets; None if it sets none, or is damaged."""
    try:
        return string_at(load_object(cgroups, path, owner), "data-root").rstrip("/") or None if path else None
    except Unreadable:
        return None


def _running_daemons(cgroups: Cgroups) -> Iterator[list[str]]:
    """Yield the command lines of root's dockerd processes; /proc is searched only if docker is installed."""
    if not any(map(cgroups.host.foreign.exists, _PROGRAMS)):
        return
    for pid in filter(str.isdigit, cgroups.host.names("/proc")):
        # The name is only where to look further: whoever likes can have it.
        if cgroups.host.read_or_none(f"/proc/{pid}/comm") != "dockerd\n":
            continue
        process = identify(cgroups.host, int(pid))
        # A dockerd in a container sees other files by the same names.
        if process and process.is_roots("dockerd") and is_on_hosts_mounts(cgroups.host, process.pid):
            yield list(process.command)


def _option(argv: list[str], *names: str) -> str | None:
    """Return the value of an option, given as --name=value or as two words, without a slash at its end."""
    for word, following in zip(argv, [*argv[1:], None], strict=True):
        name, equals, value = word.partition("=")
        if name in names:
            found = value if equals else following
            return None if found is None else found.rstrip("/")
    return None


def _socket(cgroups: Cgroups, argv: list[str]) -> str | None:
    """Return the path of the socket on which root's daemon listens; None where others could put one of theirs."""
    path = (_option(argv, "-H", "--host") or "").removeprefix("unix://")
    return path if path.startswith("/") and cgroups.host.foreign.owner(path) == 0 else None
