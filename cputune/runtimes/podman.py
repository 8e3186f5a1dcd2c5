"""podman:NAME, a container of podman, by name or id, in a pod or not; podman:UID/NAME one of a user's (rootless).

Names and ids are in the storage's containers.json, or, with --rm, in volatile-containers.json. Its state is that of
its OCI runtime (crun or runc), or the pidfile. What buildah and CRI-O keep in the same storage is not podman's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from cputune.cgroup import Cgroups
from cputune.model import Domain
from cputune.runtimes import oci_place, oci_scale
from cputune.runtimes.listing import paused
from cputune.runtimes.oci_state import State, read_state
from cputune.runtimes.records import Unreadable, load_list, text
from cputune.runtimes.users import User, active
from cputune.units import parse_integer

_SETTING = r'^\s*{}\s*=\s*"([^"]+)"'
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
    def config(self) -> str:
        """Its OCI configuration, written at every start and update."""
        return f"{self.storage.graph}/{self.driver}/{self.id}/userdata/config.json"


def find(site: Cgroups, name: str) -> list[Domain]:
    """The containers of that name, or of that whole id: root's and all users'."""
    return _domains(site, lambda entry: name == entry.id or name.removeprefix(entry.storage.prefix) in entry.names)


def by_prefix(site: Cgroups, prefix: str) -> list[Domain]:
    """The containers whose id begins so."""
    return _domains(site, lambda entry: entry.id.startswith(prefix))


def domains(site: Cgroups) -> Iterator[Domain]:
    """All containers, running or not; without those whose records cannot be read."""
    for storage in storages(site):
        try:
            entries = list(_entries(site, storage))
        except Unreadable:
            continue
        for entry in entries:
            if domain := _domain(site, entry):
                yield domain


def of_domain(site: Cgroups, domain: Domain) -> Entry | None:
    """The container of a domain that was found here."""
    id_ = dict(domain.facts).get("id")
    entries = (entry for storage in storages(site) for entry in _entries(site, storage))
    return next((entry for entry in entries if entry.id == id_), None)


def storages(site: Cgroups) -> list[Storage]:
    """Root's storage, and those of the users."""
    graph, run = _configured(site, "/etc/containers/storage.conf", "/usr/share/containers/storage.conf")
    found = [Storage(graph or "/var/lib/containers/storage", run or "/run/containers/storage", "/run")]
    for user in active(site):
        graph, run = _configured(site, f"{user.home}/.config/containers/storage.conf")
        graph = graph or f"{user.home}/.local/share/containers/storage"
        found.append(Storage(graph, run or f"{user.run}/containers", user.run, user))
    return found


def _configured(site: Cgroups, *paths: str) -> tuple[str | None, str | None]:
    """graphroot and runroot of the first storage.conf that is there (containers-storage.conf(5))."""
    content = next(filter(None, map(site.host.read_regular_or_none, paths)), "")
    settings = (re.search(_SETTING.format(name), content, re.MULTILINE) for name in ("graphroot", "runroot"))
    graph, run = (match[1].rstrip("/") if match and "$" not in match[1] else None for match in settings)
    return graph, run


def _entries(site: Cgroups, storage: Storage) -> Iterator[Entry]:
    for driver in site.host.names(storage.graph):
        if not driver.endswith("-containers"):
            continue
        for file in ("containers.json", "volatile-containers.json"):
            for item in load_list(site, f"{storage.graph}/{driver}/{file}"):
                names = item.get("names")
                if text(item, "id") and isinstance(names, list) and names and _is_podmans(item):
                    known = tuple(name for name in names if isinstance(name, str))
                    yield Entry(storage, driver, item["id"], known, file.startswith("volatile"))


def _is_podmans(item: dict[str, Any]) -> bool:
    """By what its maker wrote beside it: buildah nothing, CRI-O the pod's name."""
    metadata = text(item, "metadata")
    return '"created-at"' in metadata and '"pod-name"' not in metadata


def _domains(site: Cgroups, wanted: Callable[[Entry], bool]) -> list[Domain]:
    entries = (entry for storage in storages(site) for entry in _entries(site, storage) if wanted(entry))
    return [domain for entry in entries if (domain := _domain(site, entry))]


def _domain(site: Cgroups, entry: Entry) -> Domain | None:
    storage, state = entry.storage, _state(site, entry)
    names = (f"libpod-{entry.id}.scope", f"libpod-{entry.id}", entry.id)
    crun = state is None or state.program == "crun"
    place = oci_place.find(site, state.pid, names, crun=crun, user=storage.user) if state else None
    if place and place.limit is None and state and state.cgroup is None:
        place = None  # only the pidfile told, which outlives the process
    scale, guess = oci_scale.scale_of(site, "crun" if crun else "runc")
    records = entry.config.removesuffix("/config.json")
    facts = [("id", entry.id), *([("pid", str(state.pid))] if state and place else []), ("records", records), *guess]
    if place and place.limit and (pod := _POD.search(place.limit)):
        facts.append(("pod", pod[1]))
    facts += paused(site, place.weight) if place else ()
    limit, weight, mirrored, obstacle = place or oci_place.Place(None, None)
    return Domain(
        "podman", storage.prefix + entry.names[0], place is not None, not entry.volatile, limit, weight, scale,
        tuple(facts), mirrored, obstacle,
    )  # fmt: skip


def _state(site: Cgroups, entry: Entry) -> State | None:
    for program in ("crun", "runc"):
        if state := read_state(site, program, f"{entry.storage.runtimes}/{program}/{entry.id}"):
            return state
    pidfile = f"{entry.storage.run}/{entry.driver}/{entry.id}/userdata/pidfile"
    pid = parse_integer((site.host.read_regular_or_none(pidfile) or "").strip())
    return State("crun", pid, None) if pid and pid > 0 else None
