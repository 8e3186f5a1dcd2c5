"""podman's containers, in a pod or not, root's and the users' (rootless).

Names and ids are in the storage's containers.json, or, with --rm, in volatile-containers.json. A container's state is
that of its OCI runtime (crun or runc), or the pidfile. What buildah and CRI-O keep in the same storage is not podman's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from cputune.core.model import Details, Domain
from cputune.core.units import parse_integer
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import oci_container
from cputune.runtimes.json_files import MAX_BYTES, Unreadable, load_objects, string_at
from cputune.runtimes.oci_container import OciContainer
from cputune.runtimes.oci_state import read_state
from cputune.runtimes.tolerance import each_users, tolerantly
from cputune.runtimes.users import MAX_CONTAINERS_OF_A_USER, User, local_name, uid_of

_ID = re.compile(r"[0-9a-f]{64}")
_LISTS = ("containers.json", "volatile-containers.json")
_MAX_LISTS_OF_A_USER = 8
_MAX_BYTES_OF_A_USER = 1 << 20
"""Of one list."""
_POD = re.compile(r"libpod_pod_([0-9a-f]{64})")


class Storage(NamedTuple):
    """Where root, or one user, has containers."""

    graph_root: str
    """What outlives a boot (containers-storage.conf(5), graphroot)."""
    run_root: str
    """What does not."""
    states: str
    """The directory in which the OCI runtimes keep their states, in `crun` and `runc`."""
    user: User | None = None

    @property
    def owner(self) -> int:
        """The user id that its records must belong to."""
        return uid_of(self.user)

    @property
    def prefix(self) -> str:
        """What stands before the names of its containers."""
        return self.user.prefix if self.user else ""


class Entry(NamedTuple):
    """One container in a storage."""

    storage: Storage
    driver: str
    """The directory of the storage driver: "overlay-containers"."""
    id: str
    names: tuple[str, ...]
    volatile: bool
    """Started with --rm."""

    @property
    def records(self) -> str:
        """The directory of its OCI configuration, which podman writes at every start and update."""
        return f"{self.storage.graph_root}/{self.driver}/{self.id}/userdata"


def find(cgroups: Cgroups, name: str) -> Iterator[Domain]:
    """Yield the containers with that name or whole id. Raises Unreadable if a list of root's is damaged."""
    return _domains(cgroups, name, lambda entry, word: word == entry.id or word in entry.names)


def by_prefix(cgroups: Cgroups, prefix: str) -> Iterator[Domain]:
    """Yield the containers whose id begins with `prefix`. Raises Unreadable if a list of root's is damaged."""
    return _domains(cgroups, prefix, lambda entry, word: bool(word) and entry.id.startswith(word))


def domains(cgroups: Cgroups) -> Iterator[Domain]:
    """Yield all containers, running or not, except those of a storage whose lists are damaged."""
    for storage in storages(cgroups):
        yield from tolerantly(cgroups, f"podman: {storage.graph_root}", storage.owner, partial(_all, cgroups, storage))


def _all(cgroups: Cgroups, storage: Storage) -> Iterator[Domain]:
    for entry in _entries(cgroups, storage):
        yield from _tolerantly(cgroups, entry)


def _tolerantly(cgroups: Cgroups, entry: Entry, *, named: bool = False) -> Iterator[Domain]:
    subject = f"podman:{entry.storage.prefix}{entry.names[0]}"
    return tolerantly(cgroups, subject, entry.storage.owner, partial(_domain, cgroups, entry), named=named)


def of_cgroup(cgroups: Cgroups, cgroup: str) -> Domain | None:
    """Return the container with that cgroup, even if it is only being started, and no record says that it runs."""
    id_ = oci_container.id_in(cgroup)
    own = oci_container.own_cgroup(cgroup)
    for storage in storages(cgroups) if id_ else ():
        if not oci_container.may_be_of(cgroups, own, storage.user):
            continue
        try:
            found = next((entry for entry in _entries(cgroups, storage) if entry.id == id_), None)
        except Unreadable:
            continue
        if found:
            return _domain(cgroups, found, cgroup)
    return None


def of_domain(cgroups: Cgroups, domain: Domain) -> Entry | None:
    """Return the container of a domain, by the directory of its records, since users can copy ids."""
    entries = (entry for storage in storages(cgroups) for entry in _entries(cgroups, storage))
    return next((entry for entry in entries if entry.records == domain.details.records), None)


def storages(cgroups: Cgroups) -> list[Storage]:
    """Return root's storage, and those of users."""
    graph, run = _configured(cgroups, 0, "/etc/containers/storage.conf", "/usr/share/containers/storage.conf")
    found = [Storage(graph or "/var/lib/containers/storage", run or "/run/containers/storage", "/run")]
    return found + each_users(cgroups, "podman", partial(_storage_of, cgroups))


def _storage_of(cgroups: Cgroups, user: User) -> Storage | None:
    graph, run = _configured(cgroups, user.uid, f"{user.home}/.config/containers/storage.conf")
    graph = graph or f"{user.home}/.local/share/containers/storage"
    if not cgroups.host.foreign.is_dir(graph, user.uid):
        return None
    return Storage(graph, run or f"{user.runtime_dir}/containers", user.runtime_dir, user)


def _configured(cgroups: Cgroups, owner: int, *paths: str) -> tuple[str | None, str | None]:
    """Return graphroot and runroot of the first storage.conf that exists (containers-storage.conf(5))."""
    texts = (cgroups.host.foreign.read_or_none(path, owner) for path in paths)
    found = settings_in(next(filter(None, texts), ""))
    return found.get("graphroot"), found.get("runroot")


def settings_in(text: str) -> dict[str, str]:
    """Return the two paths that a storage.conf sets, as far as they have no variable in them. Pure, and linear."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        quoted, _, _ = value.strip().removeprefix('"').partition('"')
        if equals and value.strip().startswith('"') and key.strip() in ("graphroot", "runroot") and "$" not in quoted:
            found.setdefault(key.strip(), quoted.rstrip("/"))
    return {key: path for key, path in found.items() if path}


def _entries(cgroups: Cgroups, storage: Storage) -> Iterator[Entry]:
    """Yield the containers of a storage, of a user at most MAX_CONTAINERS_OF_A_USER, and none of a damaged list.

    Raises Unreadable for a broken list of root's.
    """
    drivers = [
        name for name in cgroups.host.foreign.names(storage.graph_root, storage.owner) if name.endswith("-containers")
    ]
    lists = [(driver, file) for driver in drivers for file in _LISTS]
    for driver, file in lists[: _MAX_LISTS_OF_A_USER if storage.user else None]:
        try:
            max_bytes = _MAX_BYTES_OF_A_USER if storage.user else MAX_BYTES
            items = load_objects(cgroups, f"{storage.graph_root}/{driver}/{file}", storage.owner, max_bytes)
        except Unreadable as error:
            if storage.user is None:
                raise
            cgroups.host.problems.add(f"podman: {storage.graph_root}/{driver}/{file}", error.message, storage.owner)
            continue
        for item in items[: MAX_CONTAINERS_OF_A_USER if storage.user else None]:
            found = item.get("names")
            names = tuple(name for name in found if isinstance(name, str)) if isinstance(found, list) else ()
            if names and _ID.fullmatch(string_at(item, "id")) and _is_podmans(item):
                yield Entry(storage, driver, item["id"], names, file == _LISTS[1])


def _is_podmans(item: dict[str, Any]) -> bool:
    """Whether podman made the container, told by the metadata: buildah writes none, CRI-O the pod's name."""
    metadata = string_at(item, "metadata")
    return '"created-at"' in metadata and '"pod-name"' not in metadata


def _domains(cgroups: Cgroups, name: str, is_wanted: Callable[[Entry, str], bool]) -> Iterator[Domain]:
    """Yield the containers that a name means; `is_wanted` gets the name without the part that says whose it is."""
    for storage in storages(cgroups):
        word = local_name(cgroups, name, storage.prefix, storage.owner)
        if word is not None:
            for entry in _entries(cgroups, storage):
                if is_wanted(entry, word):
                    yield from _tolerantly(cgroups, entry, named=True)


def _domain(cgroups: Cgroups, entry: Entry, new_cgroup: str | None = None) -> Domain:
    """Return the domain of a container; with `new_cgroup`, of one that is being started in that cgroup."""
    domain = oci_container.domain_of(
        cgroups,
        "podman",
        entry.storage.prefix + entry.names[0],
        _container(cgroups, entry),
        Details(id=entry.id, records=entry.records, owner=entry.storage.owner or None),
        new_cgroup=new_cgroup,
        persistent=not entry.volatile,
    )
    pod = _POD.search(domain.limit_cgroup or "")
    return domain._replace(details=domain.details._replace(pod=pod[1])) if pod else domain


def _container(cgroups: Cgroups, entry: Entry) -> OciContainer:
    """Return what the state of the OCI runtime tells; without one, the pidfile, which outlives the process."""
    storage, id_ = entry.storage, entry.id
    # The last but one is that of a container with --cgroups=split, as quadlets are run.
    names = (f"libpod-{id_}.scope", f"libpod-{id_}", f"libpod-payload-{id_}", id_)
    for program in ("crun", "runc"):
        if state := read_state(cgroups, program, f"{storage.states}/{program}/{id_}", storage.owner):
            return OciContainer(program, state.pid, names, storage.user)
    pidfile = f"{storage.run_root}/{entry.driver}/{id_}/userdata/pidfile"
    pid = parse_integer((cgroups.host.foreign.read_or_none(pidfile, storage.owner) or "").strip()) or 0
    return OciContainer("crun", pid, names, storage.user, pid_is_sure=False)
