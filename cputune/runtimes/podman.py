"""podman:NAME, a container of podman, by name or id, in a pod or not; podman:UID/NAME one of a user's (rootless).

Names and ids are in the storage's containers.json, or, with --rm, in volatile-containers.json. Its state is that of
its OCI runtime (crun or runc), or the pidfile. What buildah and CRI-O keep in the same storage is not podman's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from cputune.core.model import Domain
from cputune.core.units import parse_integer
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import oci_place, oci_scale
from cputune.runtimes.listing import paused, running
from cputune.runtimes.oci_state import State, read_state
from cputune.runtimes.records import LARGEST, Unreadable, load_list, text
from cputune.runtimes.users import MOST_OF_A_USER, User, active, is_theirs, meant

_SETTING = r'^\s*{}\s*=\s*"([^"]+)"'
_ID = re.compile(r"[0-9a-f]{64}")
_LISTS = ("containers.json", "volatile-containers.json")
_MOST_LISTS_OF_A_USER = 8
_LARGEST_OF_A_USER = 1 << 20
_POD = re.compile(r"libpod_pod_([0-9a-f]{64})")


class Storage(NamedTuple):
    """Where root, or one user, has his containers."""

    graph: str
    run: str
    runtimes: str
    """Below it the OCI runtimes keep their states, in `crun` and `runc`."""
    user: User | None = None

    @property
    def prefix(self) -> str:
        """What stands before the containers' names."""
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
        """Where its OCI configuration is, written at every start and update."""
        return f"{self.storage.graph}/{self.driver}/{self.id}/userdata"


def find(cgroups: Cgroups, name: str) -> list[Domain]:
    """The container of that name, or of that whole id."""
    return _domains(cgroups, name, lambda entry, word: word == entry.id or word in entry.names)


def by_prefix(cgroups: Cgroups, name: str) -> list[Domain]:
    """The containers whose id begins so."""
    return _domains(cgroups, name, lambda entry, word: bool(word) and entry.id.startswith(word))


def domains(cgroups: Cgroups) -> Iterator[Domain]:
    """All containers, running or not; without those whose records cannot be read."""
    for storage in storages(cgroups):
        try:
            entries = list(_entries(cgroups, storage))
        except Unreadable:
            continue
        for entry in entries:
            if domain := _domain(cgroups, entry):
                yield domain


def of_cgroup(cgroups: Cgroups, cgroup: str) -> Domain | None:
    """The container whose cgroup this is, from the moment at which it is made: no record says yet that it runs."""
    id_ = oci_place.id_in(cgroup)
    for storage in storages(cgroups) if id_ else ():
        if not oci_place.is_theirs(cgroups, oci_place.outer(cgroup), storage.user):
            continue
        try:
            found = next((entry for entry in _entries(cgroups, storage) if entry.id == id_), None)
        except Unreadable:
            continue
        if found:
            return running(_domain(cgroups, found, cgroup))
    return None


def of_domain(cgroups: Cgroups, domain: Domain) -> Entry | None:
    """The container of a domain that was found here, by the place of its records: ids anybody can copy."""
    records = dict(domain.facts).get("records")
    entries = (entry for storage in storages(cgroups) for entry in _entries(cgroups, storage))
    return next((entry for entry in entries if entry.records == records), None)


def storages(cgroups: Cgroups) -> list[Storage]:
    """Root's storage, and those of the users."""
    graph, run = _configured(cgroups, "/etc/containers/storage.conf", "/usr/share/containers/storage.conf")
    found = [Storage(graph or "/var/lib/containers/storage", run or "/run/containers/storage", "/run")]
    for user in active(cgroups):
        graph, run = _configured(cgroups, f"{user.home}/.config/containers/storage.conf")
        graph = graph or f"{user.home}/.local/share/containers/storage"
        if is_theirs(cgroups, graph, user):
            found.append(Storage(graph, run or f"{user.run}/containers", user.run, user))
    return found


def _configured(cgroups: Cgroups, *paths: str) -> tuple[str | None, str | None]:
    """graphroot and runroot of the first storage.conf that is there (containers-storage.conf(5))."""
    content = next(filter(None, map(cgroups.host.read_regular_or_none, paths)), "")
    settings = (re.search(_SETTING.format(name), content, re.MULTILINE) for name in ("graphroot", "runroot"))
    graph, run = (match[1].rstrip("/") if match and "$" not in match[1] else None for match in settings)
    return graph, run


def _entries(cgroups: Cgroups, storage: Storage) -> Iterator[Entry]:
    """The containers of a storage; of a user's no more than he can have any use for, and none of a broken list."""
    drivers = [name for name in cgroups.host.names(storage.graph) if name.endswith("-containers")]
    lists = [(driver, file) for driver in drivers for file in _LISTS]
    for driver, file in lists[: _MOST_LISTS_OF_A_USER if storage.user else None]:
        try:
            largest = _LARGEST_OF_A_USER if storage.user else LARGEST
            items = load_list(cgroups, f"{storage.graph}/{driver}/{file}", largest)
        except Unreadable:
            if storage.user is None:
                raise
            continue
        for item in items[: MOST_OF_A_USER if storage.user else None]:
            names = item.get("names")
            known = tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()
            if known and _ID.fullmatch(text(item, "id")) and _is_podmans(item):
                yield Entry(storage, driver, item["id"], known, file == _LISTS[1])


def _is_podmans(item: dict[str, Any]) -> bool:
    """By what its maker wrote beside it: buildah nothing, CRI-O the pod's name."""
    metadata = text(item, "metadata")
    return '"created-at"' in metadata and '"pod-name"' not in metadata


def _domains(cgroups: Cgroups, name: str, wanted: Callable[[Entry, str], bool]) -> list[Domain]:
    """The containers that a name, without the part that says whose, is wanted of."""
    found = []
    for storage in storages(cgroups):
        word = meant(cgroups, name, storage.prefix, storage.user)
        if word is not None:
            found += [_domain(cgroups, entry) for entry in _entries(cgroups, storage) if wanted(entry, word)]
    return [domain for domain in found if domain]


def _domain(cgroups: Cgroups, entry: Entry, made: str | None = None) -> Domain | None:
    """The domain of a container; with `made`, of one whose cgroup that is."""
    storage, state = entry.storage, _state(cgroups, entry)
    # The last but one with --cgroups=split, as quadlets are run.
    names = (f"libpod-{entry.id}.scope", f"libpod-{entry.id}", f"libpod-payload-{entry.id}", entry.id)
    crun = state is None or state.program == "crun"
    if made:
        place = oci_place.made(cgroups, made, names, crun=crun, user=storage.user)
    else:
        place = oci_place.find(cgroups, state.pid, names, crun=crun, user=storage.user) if state else None
    if place and place.limit is None and state and not state.sure:
        place = None  # only the pidfile told, which outlives the process
    scale, guess = oci_scale.scale_of(cgroups, "crun" if crun else "runc")
    facts = [
        ("id", entry.id),
        *([("pid", str(state.pid))] if state and place else []),
        ("records", entry.records),
        *guess,
    ]
    if place and place.limit and (pod := _POD.search(place.limit)):
        facts.append(("pod", pod[1]))
    facts += paused(cgroups, place.limit) if place else ()
    limit, weight, mirrored, obstacle = place or oci_place.OciPlacement(None, None)
    return Domain(
        "podman", storage.prefix + entry.names[0], place is not None, not entry.volatile, limit, weight, scale,
        tuple(facts), mirrored, obstacle,
    )  # fmt: skip


def _state(cgroups: Cgroups, entry: Entry) -> State | None:
    for program in ("crun", "runc"):
        if state := read_state(cgroups, program, f"{entry.storage.runtimes}/{program}/{entry.id}"):
            return state
    pidfile = f"{entry.storage.run}/{entry.driver}/{entry.id}/userdata/pidfile"
    pid = parse_integer((cgroups.host.read_regular_or_none(pidfile) or "").strip())
    return State("crun", pid, None, sure=False) if pid and pid > 0 else None
