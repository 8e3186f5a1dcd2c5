"""Containers of libvirt's LXC driver, by name, UUID or id (the number that `virsh list` shows).

libvirt splits the knobs: quota and period are in the `libvirt` child of the scope, the weight is on the scope
itself. Without machined, as mostly on v1, both are in the one cgroup of the domain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from cputune.core.errors import NoSuchDomain
from cputune.core.model import Details, Domain
from cputune.core.names import is_component
from cputune.core.units import parse_integer
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.processes import identify
from cputune.host.systemd import unescape
from cputune.runtimes.registry import RUNTIMES
from cputune.runtimes.tolerance import tolerantly

RUN = "/run/libvirt/lxc"
CONFIG = "/etc/libvirt/lxc"
_OWN = r"machine-lxc\\x2d[0-9]+\\x2d(.+)\.scope|lxc-[0-9]+-(.+)\.libvirt-lxc"
"""The name of a domain's own cgroup, with machined and without. Compiled when it is needed: most hosts have none."""
_UUID = r"<uuid>\s*([0-9a-fA-F-]{32,36})\s*</uuid>"


def find(cgroups: Cgroups, name: str) -> Iterator[Domain]:
    """Yield the domain with that name; else the running one with that id, else the one with that UUID."""
    if found := _found(cgroups, name):
        yield found


def _found(cgroups: Cgroups, name: str) -> Domain | None:
    if is_component(name) and (domain := _named(cgroups, name)):
        return domain
    if parse_integer(name) is not None:
        return find_by_pid(cgroups, name)
    uuid = name.replace("-", "").lower()
    if len(uuid) != 32 or not uuid.isalnum():
        return None
    return next((domain for domain in domains(cgroups) if _uuid(cgroups, domain.name) == uuid), None)


def domains(cgroups: Cgroups) -> Iterator[Domain]:
    """Yield the defined and the running domains, except those whose cgroup is outside our mount."""
    for name in sorted({*_names_in(cgroups, CONFIG), *_names_in(cgroups, RUN)}):
        yield from tolerantly(cgroups, f"libvirt:{name}", 0, partial(_named, cgroups, name))


def of_cgroup(cgroups: Cgroups, cgroup: str) -> Domain | None:
    """Return the domain with that cgroup, once libvirt_lxc has moved there."""
    for part in cgroup.split("/"):
        if match := re.fullmatch(_OWN, part):
            name = unescape(match[1] or match[2])
            domain = _named(cgroups, name) if is_component(name) else None
            return domain if domain and is_settled(domain) and cgroup in domain.cgroups else None
    return None


def is_settled(domain: Domain) -> bool:
    """Whether a running domain has all its cgroups: a scope without the child `libvirt` is still being set up."""
    limit = domain.limit_cgroup or ""
    lacks_child = limit == domain.weight_cgroup and limit.endswith(".scope")
    return not lacks_child and any(re.fullmatch(_OWN, part) for part in limit.split("/"))


def find_by_pid(cgroups: Cgroups, number: str) -> Domain | None:
    """Return the running domain whose id (the pid of its libvirt_lxc) or init is this number."""
    for name in sorted(_names_in(cgroups, RUN)):
        text = cgroups.host.foreign.read_or_none(f"{RUN}/{name}.xml") or ""
        if number and re.search(rf"<(init|domstatus)\b[^>]* pid='{re.escape(number)}'", text):
            return _named(cgroups, name)
    return None


def _names_in(cgroups: Cgroups, folder: str) -> list[str]:
    return [file.removesuffix(".xml") for file in cgroups.host.foreign.names(folder) if file.endswith(".xml")]


def _named(cgroups: Cgroups, name: str) -> Domain | None:
    """Return the domain of that name. Raises Unsupported if its cgroup is outside our mount."""
    persistent = cgroups.host.foreign.exists(f"{CONFIG}/{name}.xml")
    scale = RUNTIMES["libvirt"].scale_on(cgroups.hierarchy.version)
    pid = _controller(cgroups, name)
    limit = _of_pid(cgroups, pid) if pid else None
    if limit is None:
        return Domain("libvirt", name, running=False, persistent=True, scale=scale) if persistent else None
    weight = limit.removesuffix("/libvirt") if ".scope/" in limit else limit
    details = Details(id=str(pid), uuid=_uuid(cgroups, name))
    return Domain("libvirt", name, True, persistent, limit, weight, scale, details)


def _of_pid(cgroups: Cgroups, pid: int) -> str | None:
    try:
        return cgroups.of_pid(pid)
    except NoSuchDomain:
        return None


def _controller(cgroups: Cgroups, name: str) -> int | None:
    """Return the pid of the domain's libvirt_lxc if that is alive: the pid file outlives a crash."""
    pid = parse_integer((cgroups.host.foreign.read_or_none(f"{RUN}/{name}.pid") or "").strip())
    process = identify(cgroups.host, pid) if pid and pid > 0 else None
    return pid if process and process.is_roots("libvirt_lxc") else None


def _uuid(cgroups: Cgroups, name: str) -> str | None:
    """Return the domain's UUID as 32 hexadecimal digits; None if no file tells it."""
    for folder in (RUN, CONFIG):
        match = re.search(_UUID, cgroups.host.foreign.read_or_none(f"{folder}/{name}.xml") or "")
        if match:
            return match[1].replace("-", "").lower()
    return None
