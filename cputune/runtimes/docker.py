"""docker:NAME, a container of docker, by name or id; docker:UID/NAME one of a user's (rootless) daemon; of further
daemons of root, docker:/DATA-ROOT/NAME.

All is in the daemon's own files
(containers/ID/config.v2.json and hostconfig.json), which it replaces whole; the daemon need not run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from cputune.core.model import Domain
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import oci_place, oci_scale
from cputune.runtimes.listing import PAUSED, running
from cputune.runtimes.records import LARGEST, Unreadable, field, load, number, text
from cputune.runtimes.users import MOST_OF_A_USER, User, active, is_theirs, meant

DATA_ROOT = "/var/lib/docker"
_ID = re.compile(r"[0-9a-f]{64}")
_PROGRAMS = ("/usr/bin/dockerd", "/usr/sbin/dockerd", "/usr/local/bin/dockerd", "/snap/docker")


class Daemon(NamedTuple):
    """One dockerd, as far as its containers and its command are concerned."""

    data: str
    """Its data root."""
    prefix: str
    """What stands before its containers' names: nothing, "UID/", or the data root and a slash."""
    socket: str | None
    """Where `docker -H unix://...` reaches it; None where that is not known."""
    user: User | None = None


class Container(NamedTuple):
    """One container's directory."""

    daemon: Daemon
    id: str

    @property
    def folder(self) -> str:
        """Where its records are."""
        return f"{self.daemon.data}/containers/{self.id}"

    def hostconfig(self, cgroups: Cgroups) -> dict[str, Any]:
        """What was asked for it: limits, AutoRemove, ... Raises Unreadable."""
        return load(cgroups, f"{self.folder}/hostconfig.json") or {}


def find(cgroups: Cgroups, name: str) -> list[Domain]:
    """The container of that name, or of that whole id."""
    return list(
        _domains(cgroups, name, lambda container, word: word == container.id or _is_named(cgroups, container, word))
    )


def by_prefix(cgroups: Cgroups, name: str) -> list[Domain]:
    """The containers whose id begins so."""
    return list(_domains(cgroups, name, lambda container, word: bool(word) and container.id.startswith(word)))


def domains(cgroups: Cgroups) -> Iterator[Domain]:
    """All containers, running or not, of all daemons; without those whose records cannot be read."""
    for container in containers(cgroups):
        try:
            if domain := _domain(cgroups, container):
                yield domain
        except Unreadable:
            continue


def of_cgroup(cgroups: Cgroups, cgroup: str) -> Domain | None:
    """The container whose cgroup this is, from the moment at which it is made: no record says yet that it runs."""
    id_ = oci_place.id_in(cgroup)
    for daemon in _daemons(cgroups) if id_ else ():
        container = Container(daemon, id_)
        if oci_place.is_theirs(cgroups, oci_place.outer(cgroup), daemon.user) and cgroups.host.exists(container.folder):
            try:
                return running(_domain(cgroups, container, cgroup))
            except Unreadable:
                return None
    return None


def containers(cgroups: Cgroups) -> Iterator[Container]:
    """Every container's directory; of a user no more than he can have any use for."""
    for daemon in daemons(cgroups):
        ids = filter(_ID.fullmatch, cgroups.host.names(f"{daemon.data}/containers"))
        for id_ in islice(ids, MOST_OF_A_USER if daemon.user else None):
            yield Container(daemon, id_)


def of_domain(cgroups: Cgroups, domain: Domain) -> Container | None:
    """The container of a domain that was found here, by the place of its records: ids anybody can copy."""
    records = dict(domain.facts).get("records")
    return next((container for container in containers(cgroups) if container.folder == records), None)


def daemons(cgroups: Cgroups) -> list[Daemon]:
    """Root's daemon, those of the users, and those of root that run with a data root of their own."""
    return list(_daemons(cgroups))


def _daemons(cgroups: Cgroups) -> Iterator[Daemon]:
    """The same, root's own first, since it takes less to find."""
    root = _configured(cgroups, "/etc/docker/daemon.json") or DATA_ROOT
    found = {root: Daemon(root, "", "/run/docker.sock")}
    yield found[root]
    for words in _running_daemons(cgroups):
        data = _option(words, "--data-root", "-g") or _configured(cgroups, _option(words, "--config-file")) or root
        if data not in found:
            found[data] = Daemon(data, f"{data}/", _socket(words))
            yield found[data]
    for user in active(cgroups):
        data = _configured(cgroups, f"{user.home}/.config/docker/daemon.json") or f"{user.home}/.local/share/docker"
        if data not in found and cgroups.host.is_dir(data) and is_theirs(cgroups, data, user):
            found[data] = Daemon(data, user.prefix, f"{user.run}/docker.sock", user)
            yield found[data]


def _domains(cgroups: Cgroups, name: str, wanted: Callable[[Container, str], bool]) -> Iterator[Domain]:
    """The containers that a name, without the part that says whose, is wanted of."""
    for container in containers(cgroups):
        word = meant(cgroups, name, container.daemon.prefix, container.daemon.user)
        if word is not None and wanted(container, word) and (domain := _of_anybody(cgroups, container)):
            yield domain


def _of_anybody(cgroups: Cgroups, container: Container) -> Domain | None:
    """The domain; a user's broken record is no container, since it must not stand in the way of others'."""
    try:
        return _domain(cgroups, container)
    except Unreadable:
        if container.daemon.user is None:
            raise
        return None


def _is_named(cgroups: Cgroups, container: Container, name: str) -> bool:
    """Whether the container has that name; most are ruled out without reading their records as JSON."""
    path = f"{container.folder}/config.v2.json"
    if f'"Name":"/{name}"' not in (cgroups.host.read_regular_or_none(path, LARGEST) or ""):
        return False
    try:
        return text(load(cgroups, path), "Name") == f"/{name}"
    except Unreadable:
        return container.daemon.user is None  # root's is to be complained of


def _domain(cgroups: Cgroups, container: Container, made: str | None = None) -> Domain | None:
    """The domain of a container; with `made`, of one whose cgroup that is."""
    daemon, id_ = container.daemon, container.id
    record = load(cgroups, f"{container.folder}/config.v2.json")
    name = text(record, "Name").removeprefix("/")
    if not name:
        return None
    asked = container.hostconfig(cgroups)
    program = "crun" if "crun" in text(asked, "Runtime") else "runc"
    pid = number(record, "State", "Pid") if field(record, "State", "Running") is True else 0
    names = (f"docker-{id_}.scope", id_)
    crun = program == "crun"
    if made:
        place = oci_place.made(cgroups, made, names, crun=crun, user=daemon.user)
    else:
        place = oci_place.find(cgroups, pid, names, crun=crun, user=daemon.user) if pid > 0 else None
    if place and place.limit is None and daemon.user is None:
        place = None  # only a user's container can be without a cgroup: this is another process of that number
    scale, guess = oci_scale.scale_of(cgroups, program)
    facts = [("id", id_), *([("pid", str(pid))] if place else []), ("records", container.folder), *guess]
    if place and field(record, "State", "Paused") is True:
        facts.append(PAUSED)
    persistent = field(asked, "AutoRemove") is not True
    limit, weight, mirrored, obstacle = place or oci_place.OciPlacement(None, None)
    return Domain(
        "docker",
        daemon.prefix + name,
        place is not None,
        persistent,
        limit,
        weight,
        scale,
        tuple(facts),
        mirrored,
        obstacle,
    )


def _configured(cgroups: Cgroups, path: str | None) -> str | None:
    """The data root that a daemon.json sets; a broken one is the daemon's own affair."""
    try:
        return text(load(cgroups, path), "data-root").rstrip("/") or None if path else None
    except Unreadable:
        return None


def _running_daemons(cgroups: Cgroups) -> Iterator[list[str]]:
    """The command lines of the dockerd processes; where docker is not installed, nothing is looked at."""
    if not any(map(cgroups.host.exists, _PROGRAMS)):
        return
    for pid in filter(str.isdigit, cgroups.host.names("/proc")):
        if cgroups.host.read_or_none(f"/proc/{pid}/comm") == "dockerd\n":
            # One inside a container, where root may call anything dockerd, sees other files by the same names.
            ours = cgroups.host.link("/proc/1/ns/mnt")
            if cgroups.host.owner(f"/proc/{pid}") == 0 and ours and cgroups.host.link(f"/proc/{pid}/ns/mnt") == ours:
                yield (cgroups.host.read_or_none(f"/proc/{pid}/cmdline") or "").split("\0")


def _option(words: list[str], *names: str) -> str | None:
    """The value of an option on a command line, as --name=value or as two words."""
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in names:
            return value.rstrip("/") if equals else words[at + 1].rstrip("/") if at + 1 < len(words) else None
    return None


def _socket(words: list[str]) -> str | None:
    host = _option(words, "-H", "--host") or ""
    return host.removeprefix("unix://") if host.startswith("unix://") else None
