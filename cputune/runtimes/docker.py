"""docker:NAME, a container of docker, by name or id; docker:UID/NAME one of a user's (rootless) daemon; of further
daemons of root, docker:/DATA-ROOT/NAME.

All is in the daemon's own files
(containers/ID/config.v2.json and hostconfig.json), which it replaces whole; the daemon need not run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from cputune.cgroup import Cgroups
from cputune.model import Domain
from cputune.runtimes import oci_place, oci_scale
from cputune.runtimes.listing import PAUSED
from cputune.runtimes.records import Unreadable, field, load, number, text
from cputune.runtimes.users import User, active

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

    def hostconfig(self, site: Cgroups) -> dict[str, Any]:
        """What was asked for it: limits, AutoRemove, ... Raises Unreadable."""
        return load(site, f"{self.folder}/hostconfig.json") or {}


def find(site: Cgroups, name: str) -> list[Domain]:
    """The containers of that name, or of that whole id, of all daemons."""
    return list(_domains(site, lambda daemon, id_: id_ == name or _is_named(site, daemon, id_, name)))


def by_prefix(site: Cgroups, prefix: str) -> list[Domain]:
    """The containers whose id begins so."""
    return list(_domains(site, lambda _, id_: id_.startswith(prefix)))


def domains(site: Cgroups) -> Iterator[Domain]:
    """All containers, running or not, of all daemons; without those whose records cannot be read."""
    for container in containers(site):
        try:
            if domain := _domain(site, container):
                yield domain
        except Unreadable:
            continue


def containers(site: Cgroups) -> Iterator[Container]:
    """Every container's directory."""
    for daemon in daemons(site):
        for id_ in site.host.names(f"{daemon.data}/containers"):
            if _ID.fullmatch(id_):
                yield Container(daemon, id_)


def of_domain(site: Cgroups, domain: Domain) -> Container | None:
    """The container of a domain that was found here."""
    id_ = dict(domain.facts).get("id")
    return next((container for container in containers(site) if container.id == id_), None)


def daemons(site: Cgroups) -> list[Daemon]:
    """Root's daemon, those of the users, and those that run with a data root of their own."""
    root = _configured(site, "/etc/docker/daemon.json") or DATA_ROOT
    found = {root: Daemon(root, "", "/run/docker.sock")}
    for user in active(site):
        data = _configured(site, f"{user.home}/.config/docker/daemon.json") or f"{user.home}/.local/share/docker"
        if site.host.is_dir(data):
            found[data] = Daemon(data, user.prefix, f"{user.run}/docker.sock", user)
    for words in _running_daemons(site):
        data = _option(words, "--data-root", "-g") or _configured(site, _option(words, "--config-file")) or root
        if data not in found:
            found[data] = Daemon(data, f"{data}/", _socket(words))
    return list(found.values())


def _domains(site: Cgroups, wanted: Any) -> Iterator[Domain]:
    for container in containers(site):
        if wanted(container.daemon, container.id) and (domain := _domain(site, container)):
            yield domain


def _is_named(site: Cgroups, daemon: Daemon, id_: str, name: str) -> bool:
    """Whether the container has that name; most are ruled out without reading their records as JSON."""
    bare = name.removeprefix(daemon.prefix)
    record = site.host.read_regular_or_none(f"{daemon.data}/containers/{id_}/config.v2.json") or ""
    if f'"Name":"/{bare}"' not in record:
        return False
    return text(load(site, f"{daemon.data}/containers/{id_}/config.v2.json"), "Name") == f"/{bare}"


def _domain(site: Cgroups, container: Container) -> Domain | None:
    daemon, id_ = container.daemon, container.id
    record = load(site, f"{container.folder}/config.v2.json")
    name = text(record, "Name").removeprefix("/")
    if not name:
        return None
    asked = container.hostconfig(site)
    program = "crun" if "crun" in text(asked, "Runtime") else "runc"
    pid = number(record, "State", "Pid") if field(record, "State", "Running") is True else 0
    names = (f"docker-{id_}.scope", id_)
    place = oci_place.find(site, pid, names, crun=program == "crun", user=daemon.user) if pid > 0 else None
    scale, guess = oci_scale.scale_of(site, program)
    facts = [("id", id_), *([("pid", str(pid))] if place else []), ("records", container.folder), *guess]
    if place and field(record, "State", "Paused") is True:
        facts.append(PAUSED)
    persistent = field(asked, "AutoRemove") is not True
    limit, weight, mirrored, obstacle = place or oci_place.Place(None, None)
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


def _configured(site: Cgroups, path: str | None) -> str | None:
    """The data root that a daemon.json sets; a broken one is the daemon's own affair."""
    try:
        return text(load(site, path), "data-root").rstrip("/") or None if path else None
    except Unreadable:
        return None


def _running_daemons(site: Cgroups) -> Iterator[list[str]]:
    """The command lines of the dockerd processes; where docker is not installed, nothing is looked at."""
    if not any(map(site.host.exists, _PROGRAMS)):
        return
    for pid in filter(str.isdigit, site.host.names("/proc")):
        if site.host.read_or_none(f"/proc/{pid}/comm") == "dockerd\n":
            words = (site.host.read_or_none(f"/proc/{pid}/cmdline") or "").split("\0")
            if site.host.owner(f"/proc/{pid}") == 0 and not _in_namespace(site, pid):
                yield words


def _in_namespace(site: Cgroups, pid: str) -> bool:
    """Whether a process that is root is so only in a user namespace: a rootless daemon."""
    words = (site.host.read_or_none(f"/proc/{pid}/uid_map") or "0 0 4294967295").split()
    return words[:2] != ["0", "0"]


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
