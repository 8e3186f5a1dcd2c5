"""oci:runc/ID, a container that somebody runs with runc directly; oci:crun/ID with crun; oci:UID/runc/ID a user's; just
oci:ID where only one of them has it.

They are listed by the runtimes' state directories; podman's containers,
which are in crun's too, are podman's. A stopped one is known only while its state directory is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from cputune.core.model import Domain
from cputune.core.names import is_component
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import oci_place, oci_scale
from cputune.runtimes.listing import paused, running
from cputune.runtimes.oci_state import State, read_state
from cputune.runtimes.users import MOST_OF_A_USER, User, active, meant

_PROGRAMS = ("runc", "crun")
_HEX_ID = re.compile(r"[0-9a-f]{64}")
_RECORDS = {"runc": "state.json", "crun": "status"}
_PODMANS = re.compile(r"/[a-z0-9]+-containers/[0-9a-f]{64}/userdata/?$")


class _Root(NamedTuple):
    """The state directory of one program, of root or a user."""

    program: str
    folder: str
    user: User | None

    @property
    def prefix(self) -> str:
        return f"{self.user.prefix if self.user else ''}{self.program}/"


def find(cgroups: Cgroups, name: str) -> list[Domain]:
    """The containers of that id, of both programs; with a prefix, the one."""
    found = []
    for root in _roots(cgroups):
        id_ = meant(cgroups, name, root.prefix, root.user)
        if (
            id_ is not None
            and is_component(id_)
            and not id_.startswith(".")
            and (domain := _domain(cgroups, root, id_))
        ):
            found.append(domain)
    return found


def domains(cgroups: Cgroups) -> Iterator[Domain]:
    """All that have a state directory."""
    for root in _roots(cgroups):
        for id_ in cgroups.host.children(root.folder)[: MOST_OF_A_USER if root.user else None]:
            if not id_.startswith(".") and (domain := _domain(cgroups, root, id_)):
                yield domain


def of_cgroup(cgroups: Cgroups, cgroup: str) -> Domain | None:
    """The container whose cgroup this is, by those that are called as it is; once its record is there."""
    words = oci_place.outer(cgroup).rpartition("/")[2].removesuffix(".scope").split("-")
    ids = ["-".join(words[at:]) for at in range(len(words))]  # a prefix and a dash may be before it
    for root in _roots(cgroups):
        for id_ in filter(is_component, ids):
            domain = running(_domain(cgroups, root, id_) or _being_made(cgroups, root, id_, cgroup))
            if domain and cgroup in (domain.limit, domain.weight):
                return domain
    return None


def _being_made(cgroups: Cgroups, root: _Root, id_: str, cgroup: str) -> Domain | None:
    """The container that has its directory, and this cgroup, and still no record of its own; not one of podman's."""
    folder = f"{root.folder}/{id_}"
    if (
        _HEX_ID.fullmatch(id_)
        or not cgroups.host.is_dir(folder)
        or cgroups.host.exists(f"{folder}/{_RECORDS[root.program]}")
    ):
        return None
    names = (oci_place.outer(cgroup).rpartition("/")[2],)
    place = oci_place.made(cgroups, cgroup, names, crun=root.program == "crun", user=root.user)
    if place is None:
        return None
    scale, guess = oci_scale.scale_of(cgroups, root.program)
    limit, weight, mirrored, _ = place
    return Domain("oci", root.prefix + id_, True, True, limit, weight, scale, tuple(guess), mirrored)


def starting(cgroups: Cgroups, program: str, id_: str, pid: int, cgroup: str) -> Domain | None:
    """Root's container whose init `pid`, in this cgroup, waits to be let go; its record may not be there so far."""
    crun = program == "crun"
    place = oci_place.at(cgroups, pid, oci_place.outer(cgroup), crun=crun, user=None)
    limit, weight, mirrored, obstacle = place or oci_place.OciPlacement(None, None)
    scale, guess = oci_scale.scale_of(cgroups, program)
    return running(
        Domain("oci", f"{program}/{id_}", True, True, limit, weight, scale, tuple(guess), mirrored, obstacle)
    )


def _roots(cgroups: Cgroups) -> list[_Root]:
    found = [_Root(program, f"/run/{program}", None) for program in _PROGRAMS]
    return found + [_Root(program, f"{user.run}/{program}", user) for user in active(cgroups) for program in _PROGRAMS]


def _domain(cgroups: Cgroups, root: _Root, id_: str) -> Domain | None:
    directory = f"{root.folder}/{id_}"
    if not cgroups.host.exists(f"{directory}/{_RECORDS[root.program]}"):
        return None
    state = read_state(cgroups, root.program, directory)
    if state and _PODMANS.search(state.bundle):
        return None
    place = _place(cgroups, root, state) if state else None
    scale, guess = oci_scale.scale_of(cgroups, root.program)
    facts = [*([("pid", str(state.pid)), ("bundle", state.bundle)] if state and place else []), *guess]
    facts += paused(cgroups, place.limit) if place else ()
    limit, weight, mirrored, obstacle = place or oci_place.OciPlacement(None, None)
    return Domain(
        "oci", root.prefix + id_, place is not None, True, limit, weight, scale, tuple(facts), mirrored, obstacle
    )


def _place(cgroups: Cgroups, root: _Root, state: State) -> oci_place.OciPlacement | None:
    crun = root.program == "crun"
    if state.cgroup is None:
        return oci_place.find(cgroups, state.pid, (), crun=crun, user=root.user)
    return oci_place.at(cgroups, state.pid, state.cgroup, crun=crun, user=root.user)
