"""libvirt:NAME, a container of libvirt's LXC driver, by name, UUID or id (the number that `virsh list` shows).

libvirt splits the knobs: quota and period are in the `libvirt` child of the scope, the weight is on the scope
itself. Without machined, as mostly on v1, both are in the one cgroup of the domain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cputune.core.errors import NoSuchDomain
from cputune.core.model import Domain, Scale
from cputune.core.names import is_component
from cputune.core.units import parse_integer
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.systemd import unescape
from cputune.runtimes.listing import at_most_one, running, visible

RUN = "/run/libvirt/lxc"
CONFIG = "/etc/libvirt/lxc"
_OWN = re.compile(r"machine-lxc\\x2d[0-9]+\\x2d(.+)\.scope|lxc-[0-9]+-(.+)\.libvirt-lxc")
_UUID = re.compile(r"<uuid>\s*([0-9a-fA-F-]{32,36})\s*</uuid>")


def find(cgroups: Cgroups, name: str) -> tuple[Domain, ...]:
    """The domain of that name; else the running one with that id, else the one with that UUID."""
    return at_most_one(_found(cgroups, name))


def _found(cgroups: Cgroups, name: str) -> Domain | None:
    if is_component(name) and (domain := _named(cgroups, name)):
        return domain
    if parse_integer(name) is not None:
        return find_by_pid(cgroups, name)
    uuid = name.replace("-", "").lower()
    if len(uuid) != 32 or not uuid.isalnum():
        return None
    return next((domain for domain in domains(cgroups) if _uuid(cgroups, domain.name) == uuid), None)


def of_cgroup(cgroups: Cgroups, cgroup: str) -> Domain | None:
    """The domain whose cgroup this is, once its controller has moved there."""
    for part in cgroup.split("/"):
        if match := _OWN.fullmatch(part):
            name = unescape(match[1] or match[2])
            domain = running(_named(cgroups, name)) if is_component(name) else None
            ready = domain and is_ready(domain) and cgroup in (domain.limit, domain.weight)
            return domain if ready else None
    return None


def is_ready(domain: Domain) -> bool:
    """Whether a domain that runs has all its cgroups: without the child in its scope it is on its way."""
    return not (domain.limit == domain.weight and str(domain.limit).endswith(".scope")) and _is_own(domain.limit)


def _is_own(cgroup: str | None) -> bool:
    return any(map(_OWN.fullmatch, (cgroup or "").split("/")))


def domains(cgroups: Cgroups) -> Iterator[Domain]:
    """The defined and the running domains."""
    files = [*cgroups.host.names(CONFIG), *cgroups.host.names(RUN)]
    for name in sorted({file.removesuffix(".xml") for file in files if file.endswith(".xml")}):
        if domain := visible(_named, cgroups, name):
            yield domain


def find_by_pid(cgroups: Cgroups, number: str) -> Domain | None:
    """The running domain whose id (the pid of its libvirt_lxc) or whose init this is."""
    for name in sorted(file.removesuffix(".xml") for file in cgroups.host.names(RUN) if file.endswith(".xml")):
        text = cgroups.host.read_or_none(f"{RUN}/{name}.xml") or ""
        if number and re.search(rf"<(init|domstatus)\b[^>]* pid='{re.escape(number)}'", text):
            return _named(cgroups, name)
    return None


def _named(cgroups: Cgroups, name: str) -> Domain | None:
    persistent = cgroups.host.exists(f"{CONFIG}/{name}.xml")
    pid = _controller(cgroups, name)
    if pid is None:
        return Domain("libvirt", name, running=False, persistent=True, scale=_scale(cgroups)) if persistent else None
    try:
        limit = cgroups.of_pid(pid)
    except NoSuchDomain:
        return Domain("libvirt", name, running=False, persistent=True, scale=_scale(cgroups)) if persistent else None
    weight = limit.removesuffix("/libvirt") if ".scope/" in limit else limit
    facts = (("id", str(pid)), ("uuid", _uuid(cgroups, name) or ""))
    return Domain(
        "libvirt", name, True, persistent, limit, weight, _scale(cgroups), tuple(fact for fact in facts if fact[1])
    )


def _scale(cgroups: Cgroups) -> Scale:
    """libvirt writes the number of shares unconverted as the weight on v2."""
    return Scale.WEIGHT if cgroups.hierarchy.version == 2 else Scale.KERNEL


def _controller(cgroups: Cgroups, name: str) -> int | None:
    """The pid of the domain's libvirt_lxc, if it is alive; the file outlives a crash."""
    pid = parse_integer((cgroups.host.read_or_none(f"{RUN}/{name}.pid") or "").strip())
    if pid and (cgroups.host.read_or_none(f"/proc/{pid}/comm") or "").startswith("libvirt_lxc"):
        return pid
    return None


def _uuid(cgroups: Cgroups, name: str) -> str | None:
    for folder in (RUN, CONFIG):
        match = _UUID.search(cgroups.host.read_or_none(f"{folder}/{name}.xml") or "")
        if match:
            return match[1].replace("-", "").lower()
    return None
