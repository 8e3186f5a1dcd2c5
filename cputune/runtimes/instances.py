"""What incus and LXD have in common: containers by the name NAME, or PROJECT/NAME outside the project "default".

liblxc knows the second as PROJECT_NAME: the names of instances are host names, and have no "_" (nor have projects').
A container is there while CONTAINERS/NAME is; its backup.yaml, which the daemon writes anew at every change of its
configuration, says whether it is ephemeral.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
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
        if domain := _Seen(self, cgroups).domain(_internal(name)):
            yield domain

    def domains(self, cgroups: Cgroups) -> Iterator[Domain]:
        """Yield all containers, running or not."""
        seen = _Seen(self, cgroups)
        return liblxc.visible(cgroups, self.runtime, sorted({*seen.lxcpaths, *seen.names}), seen.domain)

    def of_cgroup(self, cgroups: Cgroups, cgroup: str) -> Domain | None:
        """Return the container with that payload cgroup, once its init is there."""
        names = liblxc.possible_names(cgroup)
        found = liblxc.visible(cgroups, self.runtime, names, _Seen(self, cgroups).domain) if names else ()
        return next((domain for domain in found if domain.limit_cgroup == cgroup), None)

    def backup(self, cgroups: Cgroups, name: str) -> str | None:
        """Return the path of the backup.yaml of the container NAME or PROJECT/NAME; None if there is none."""
        paths = (f"{folder}/{_internal(name)}/backup.yaml" for folder in self.folders)
        return next((path for path in paths if cgroups.host.foreign.exists(path, stray=True)), None)


class _Seen:
    """The containers of one daemon at one moment, by what liblxc calls them."""

    def __init__(self, instances: Instances, cgroups: Cgroups) -> None:
        self._instances = instances
        self._cgroups = cgroups
        self._monitors = liblxc.Monitors(cgroups)
        self.lxcpaths = {name: path for path, name in liblxc.running(cgroups) if path in instances.folders}
        """LXCPATH of those with a command socket."""

    @cached_property
    def names(self) -> set[str]:
        """Those that exist. Their directories may belong to an account of the daemon's."""
        foreign = self._cgroups.host.foreign
        return {name for folder in self._instances.folders for name in foreign.names(folder, stray=True)}

    def domain(self, internal: str) -> Domain | None:
        """Return the container, if it runs or exists. Raises Unsupported if its cgroup is outside our mount."""
        if not is_component(internal) or internal.startswith("."):
            return None
        cgroups, runtime, name = self._cgroups, self._instances.runtime, _external(internal)
        path = self._instances.backup(cgroups, name)
        # It is root's, in a directory that belongs to the container's root.
        text = (path and cgroups.host.foreign.read_or_none(path, limit=MAX_BYTES, stray=True)) or ""
        persistent = not _EPHEMERAL.search(text)
        lxcpath = self.lxcpaths.get(internal)
        if lxcpath and (running := self._monitors.init_and_payload(lxcpath, internal, 0)):
            init, payload = running
            details = Details(pid=init, paused=cgroups.is_frozen(payload))
            return Domain(runtime, name, True, persistent, payload, payload, details=details)
        known = path is not None or internal in self.names
        return Domain(runtime, name, running=False, persistent=persistent) if known else None


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
