"""What incus and LXD have in common: containers by the name NAME, or PROJECT/NAME outside the project "default".

liblxc knows the second as PROJECT_NAME: the names of instances are host names, and have no "_" (nor have projects').
A container is there while CONTAINERS/NAME is; its backup.yaml, which the daemon writes anew at every change of its
configuration, says whether it is ephemeral.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from cputune.core.model import Domain
from cputune.core.names import is_component
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import liblxc
from cputune.runtimes.listing import at_most_one, paused, running, visible

DEFAULT_PROJECT = "default"
_EPHEMERAL = re.compile(r"^  ephemeral: true$", re.MULTILINE)


class Instances(NamedTuple):
    """The containers of one of the two daemons."""

    runtime: str
    folders: tuple[str, ...]
    """Where it keeps its containers: of Debian's package, of the snap."""

    def find(self, cgroups: Cgroups, name: str) -> tuple[Domain, ...]:
        """The container NAME or PROJECT/NAME, running or not."""
        return at_most_one(self._found(cgroups, _internal(name), self._running(cgroups)))

    def domains(self, cgroups: Cgroups) -> Iterator[Domain]:
        """The running containers, and the stopped ones."""
        there = self._running(cgroups)
        known = {name for folder in self.folders for name in cgroups.host.names(folder)}
        for name in sorted({*there, *known}):
            if domain := visible(lambda cgroups, name: self._found(cgroups, name, there), cgroups, name):
                yield domain

    def of_cgroup(self, cgroups: Cgroups, cgroup: str) -> Domain | None:
        """The container whose payload's cgroup this is, once its init is there."""
        names = liblxc.names_in(cgroup)
        there = self._running(cgroups) if names else {}
        found = (
            running(visible(lambda cgroups, name: self._found(cgroups, name, there), cgroups, name)) for name in names
        )
        return next((domain for domain in found if domain and domain.limit == cgroup), None)

    def backup(self, cgroups: Cgroups, name: str) -> str | None:
        """The path of the backup.yaml of the container NAME or PROJECT/NAME; None where it is not there."""
        paths = (f"{folder}/{_internal(name)}/backup.yaml" for folder in self.folders)
        return next(filter(cgroups.host.exists, paths), None)

    def _running(self, cgroups: Cgroups) -> dict[str, str]:
        return {name: lxcpath for lxcpath, name in liblxc.sockets(cgroups) if lxcpath in self.folders}

    def _found(self, cgroups: Cgroups, internal: str, there: dict[str, str]) -> Domain | None:
        if not is_component(internal) or internal.startswith("."):
            return None
        name = _external(internal)
        path = self.backup(cgroups, name)
        ephemeral = bool(path and _EPHEMERAL.search(cgroups.host.read_regular_or_none(path) or ""))
        place = liblxc.place(cgroups, there[internal], internal) if internal in there else None
        if place:
            init, payload = place
            return Domain(
                self.runtime,
                name,
                True,
                not ephemeral,
                payload,
                payload,
                facts=(("pid", str(init)), *paused(cgroups, payload)),
            )
        known = path is not None or any(cgroups.host.exists(f"{folder}/{internal}") for folder in self.folders)
        return Domain(self.runtime, name, running=False, persistent=not ephemeral) if known else None


def split(name: str) -> tuple[str, str]:
    """Project and name of an instance."""
    project, slash, own = name.rpartition("/")
    return (project, own) if slash else (DEFAULT_PROJECT, name)


def _internal(name: str) -> str:
    project, own = split(name)
    return own if project == DEFAULT_PROJECT else f"{project}_{own}"


def _external(internal: str) -> str:
    project, underscore, own = internal.rpartition("_")
    return f"{project}/{own}" if underscore else internal
