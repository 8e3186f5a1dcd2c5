"""What incus and LXD have in common: containers by the name NAME, or PROJECT/NAME outside the project "default".

liblxc knows the second as PROJECT_NAME: the names of instances are host names, and have no "_" (nor have projects').
A container is there while CONTAINERS/NAME is; its backup.yaml, which the daemon writes anew at every change of its
configuration, says whether it is ephemeral.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from cputune.core.model import Details, Domain
from cputune.core.names import is_component
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import liblxc
from cputune.runtimes.json_files import MAX_BYTES
from cputune.runtimes.registry import RUNTIMES

DEFAULT_PROJECT = "default"
_EPHEMERAL = re.compile(r"^  ephemeral: true$", re.MULTILINE)


class Instances(NamedTuple):
    """The containers of one of the two daemons."""

    runtime: str
    command: str
    """Its command-line client."""

    @property
    def folders(self) -> tuple[str, ...]:
        """The directories of its containers: one for the package, one for the snap."""
        return RUNTIMES[self.runtime].listed_in

    def find(self, cgroups: Cgroups, name: str) -> Iterator[Domain]:
        """Yield the container NAME or PROJECT/NAME, running or not."""
        if domain := self._found(cgroups, _internal(name), self._lxcpaths(cgroups), liblxc.Monitors(cgroups)):
            yield domain

    def domains(self, cgroups: Cgroups) -> Iterator[Domain]:
        """Yield all containers, running or not."""
        lxcpaths = self._lxcpaths(cgroups)
        known = self._names(cgroups)
        monitors = liblxc.Monitors(cgroups)
        return liblxc.visible(
            cgroups,
            self.runtime,
            sorted({*lxcpaths, *known}),
            lambda name: self._found(cgroups, name, lxcpaths, monitors),
        )

    def of_cgroup(self, cgroups: Cgroups, cgroup: str) -> Domain | None:
        """Return the container with that payload cgroup, once its init is there."""
        names = liblxc.possible_names(cgroup)
        lxcpaths = self._lxcpaths(cgroups) if names else {}
        monitors = liblxc.Monitors(cgroups)
        find = partial(self._found, cgroups, lxcpaths=lxcpaths, monitors=monitors)
        found = liblxc.visible(cgroups, self.runtime, names, find)
        return next((domain for domain in found if domain.limit_cgroup == cgroup), None)

    def backup(self, cgroups: Cgroups, name: str) -> str | None:
        """Return the path of the backup.yaml of the container NAME or PROJECT/NAME; None if there is none."""
        paths = (f"{folder}/{_internal(name)}/backup.yaml" for folder in self.folders)
        return next((path for path in paths if _backup_text(cgroups, path) is not None), None)

    def _names(self, cgroups: Cgroups) -> set[str]:
        """Return what liblxc calls the containers that exist. The directories may be an account's of the daemon's."""
        return {name for folder in self.folders for name in cgroups.host.foreign.names(folder, stray=True)}

    def _lxcpaths(self, cgroups: Cgroups) -> dict[str, str]:
        """Return the LXCPATH of every running container, by what liblxc calls it."""
        return {name: lxcpath for lxcpath, name in liblxc.running(cgroups) if lxcpath in self.folders}

    def _found(
        self, cgroups: Cgroups, internal: str, lxcpaths: dict[str, str], monitors: liblxc.Monitors
    ) -> Domain | None:
        if not is_component(internal) or internal.startswith("."):
            return None
        name = _external(internal)
        path = self.backup(cgroups, name)
        persistent = not (path and _EPHEMERAL.search(_backup_text(cgroups, path) or ""))
        running = monitors.init_and_payload(lxcpaths[internal], internal, 0) if internal in lxcpaths else None
        if running:
            init, payload = running
            details = Details(pid=init, paused=cgroups.is_frozen(payload))
            return Domain(self.runtime, name, True, persistent, payload, payload, details=details)
        known = path is not None or internal in self._names(cgroups)
        return Domain(self.runtime, name, running=False, persistent=persistent) if known else None


def _backup_text(cgroups: Cgroups, path: str) -> str | None:
    """Return the text of a backup.yaml: it is root's, in a directory that belongs to the container's root."""
    return cgroups.host.foreign.read_or_none(path, limit=MAX_BYTES, stray=True)


def split(name: str) -> tuple[str, str]:
    """NAME or PROJECT/NAME -> (project, name)."""
    project, slash, own = name.rpartition("/")
    return (project, own) if slash else (DEFAULT_PROJECT, name)


def _internal(name: str) -> str:
    """Convert NAME or PROJECT/NAME to what liblxc calls the container."""
    project, own = split(name)
    return own if project == DEFAULT_PROJECT else f"{project}_{own}"


def _external(internal: str) -> str:
    """Convert what liblxc calls the container to NAME or PROJECT/NAME."""
    project, underscore, own = internal.rpartition("_")
    return f"{project}/{own}" if underscore else internal
