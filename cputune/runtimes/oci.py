"""Containers that somebody runs with runc or crun directly: root, or a user.

They are listed by the runtimes' state directories. podman's containers, which are in crun's too, are podman's. A
stopped container is known only while its state directory is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from cputune.core.model import Details, Domain
from cputune.core.names import is_component
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import oci_container
from cputune.runtimes.oci_container import OciContainer
from cputune.runtimes.oci_state import read_state
from cputune.runtimes.registry import RUNTIMES
from cputune.runtimes.tolerance import tolerantly
from cputune.runtimes.users import MAX_CONTAINERS_OF_A_USER, User, local_name, logged_in, uid_of

_HEX_ID = re.compile(r"[0-9a-f]{64}")
_RECORDS = {"runc": "state.json", "crun": "status"}
_PODMANS = re.compile(r"/[a-z0-9]+-containers/[0-9a-f]{64}/userdata/?$")
"""The bundle of a container of podman's."""


class _Root(NamedTuple):
    """The state directory of one program, of root or a user."""

    program: str
    folder: str
    user: User | None

    @property
    def prefix(self) -> str:
        """What stands before the ids in the names of its containers."""
        return f"{self.user.prefix if self.user else ''}{self.program}/"

    @property
    def owner(self) -> int:
        """The user id that its records must belong to."""
        return uid_of(self.user)

    def has_record(self, cgroups: Cgroups, id_: str) -> bool:
        """Whether the program has written down the state of a container."""
        return cgroups.host.foreign.exists(f"{self.folder}/{id_}/{_RECORDS[self.program]}", self.owner)


def find(cgroups: Cgroups, name: str) -> Iterator[Domain]:
    """Yield the containers with that id, of both programs, or with a prefix of one."""
    for root in _roots(cgroups):
        id_ = local_name(cgroups, name, root.prefix, root.owner)
        if id_ is not None and is_component(id_) and not id_.startswith("."):
            yield from _tolerantly(cgroups, root, id_, named=True)


def domains(cgroups: Cgroups) -> Iterator[Domain]:
    """Yield all containers with a state directory, of a user at most MAX_CONTAINERS_OF_A_USER."""
    for root in _roots(cgroups):
        for id_ in cgroups.host.foreign.children(root.folder, root.owner)[
            : MAX_CONTAINERS_OF_A_USER if root.user else None
        ]:
            if not id_.startswith("."):
                yield from _tolerantly(cgroups, root, id_)


def of_cgroup(cgroups: Cgroups, cgroup: str) -> Domain | None:
    """Return the container with that cgroup, if the cgroup's name is its id, or ends with a dash and its id."""
    words = oci_container.own_cgroup(cgroup).rpartition("/")[2].removesuffix(".scope").split("-")
    ids = ["-".join(words[start:]) for start in range(len(words))]
    for root in _roots(cgroups):
        for id_ in filter(is_component, ids):
            for domain in (*_domain(cgroups, root, id_), *_being_made(cgroups, root, id_, cgroup)):
                if cgroup in domain.cgroups:
                    return domain
    return None


def starting(cgroups: Cgroups, program: str, id_: str, pid: int, cgroup: str) -> Domain | None:
    """Return root's container whose init waits in this cgroup to be let go; it may have no record yet."""
    container = OciContainer(program, pid, cgroup=oci_container.own_cgroup(cgroup))
    domain = oci_container.domain_of(cgroups, "oci", f"{program}/{id_}", container, Details())
    return domain if domain.limit_cgroup else None


def _roots(cgroups: Cgroups) -> list[_Root]:
    programs = RUNTIMES["oci"].oci
    found = [_Root(program, f"/run/{program}", None) for program in programs]
    users = logged_in(cgroups)
    return found + [_Root(program, f"{user.runtime_dir}/{program}", user) for user in users for program in programs]


def _domain(cgroups: Cgroups, root: _Root, id_: str) -> Iterator[Domain]:
    """Yield the container of that id; nothing if there is none, or it is podman's."""
    if not root.has_record(cgroups, id_):
        return
    state = read_state(cgroups, root.program, f"{root.folder}/{id_}", root.owner)
    if state is None:
        container, details = OciContainer(root.program), Details(owner=root.owner or None)
    else:
        container = OciContainer(root.program, state.pid, user=root.user, cgroup=state.cgroup)
        details = Details(bundle=state.bundle, owner=root.owner or None)
    if not _PODMANS.search(details.bundle or ""):
        yield oci_container.domain_of(cgroups, "oci", root.prefix + id_, container, details)


def _tolerantly(cgroups: Cgroups, root: _Root, id_: str, *, named: bool = False) -> Iterator[Domain]:
    find = partial(_domain, cgroups, root, id_)
    return tolerantly(cgroups, f"oci:{root.prefix}{id_}", root.owner, find, named=named)


def _being_made(cgroups: Cgroups, root: _Root, id_: str, cgroup: str) -> Iterator[Domain]:
    """Yield the container that has a directory and this cgroup, but no record yet; nothing if it may be podman's."""
    is_new = cgroups.host.foreign.is_dir(f"{root.folder}/{id_}", root.owner) and not root.has_record(cgroups, id_)
    if is_new and not _HEX_ID.fullmatch(id_):
        names = (oci_container.own_cgroup(cgroup).rpartition("/")[2],)
        container = OciContainer(root.program, cgroup_names=names, user=root.user)
        yield oci_container.domain_of(
            cgroups, "oci", root.prefix + id_, container, Details(owner=root.owner or None), new_cgroup=cgroup
        )
