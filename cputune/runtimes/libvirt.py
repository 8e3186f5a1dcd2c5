"""libvirt:NAME, a container of libvirt's LXC driver, by name, UUID or id (the number that `virsh list` shows).

libvirt splits the knobs: quota and period are in the `libvirt` child of the scope, the weight is on the scope
itself. Without machined, as mostly on v1, both are in the one cgroup of the domain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cputune.cgroup import Cgroups
from cputune.errors import NoSuchDomain
from cputune.model import Domain, Scale
from cputune.names import is_component
from cputune.runtimes.listing import at_most_one, running, visible
from cputune.systemd import unescape
from cputune.units import parse_integer

RUN = "/run/libvirt/lxc"
CONFIG = "/etc/libvirt/lxc"
_OWN = re.compile(r"machine-lxc\\x2d[0-9]+\\x2d(.+)\.scope|lxc-[0-9]+-(.+)\.libvirt-lxc")
_UUID = re.compile(r"<uuid>\s*([0-9a-fA-F-]{32,36})\s*</uuid>")


def find(site: Cgroups, name: str) -> tuple[Domain, ...]:
    """The domain of that name; else the running one with that id, else the one with that UUID."""
    return at_most_one(_found(site, name))


def _found(site: Cgroups, name: str) -> Domain | None:
    if is_component(name) and (domain := _named(site, name)):
        return domain
    if parse_integer(name) is not None:
        return find_by_pid(site, name)
    uuid = name.replace("-", "").lower()
    if len(uuid) != 32 or not uuid.isalnum():
        return None
    return next((domain for domain in domains(site) if _uuid(site, domain.name) == uuid), None)


def of_cgroup(site: Cgroups, cgroup: str) -> Domain | None:
    """The domain whose cgroup this is, once its controller has moved there."""
    for part in cgroup.split("/"):
        if match := _OWN.fullmatch(part):
            name = unescape(match[1] or match[2])
            domain = running(_named(site, name)) if is_component(name) else None
            ready = domain and is_ready(domain) and cgroup in (domain.limit, domain.weight)
            return domain if ready else None
    return None


def is_ready(domain: Domain) -> bool:
    """Whether a domain that runs has all its cgroups: without the child in its scope it is on its way."""
    return not (domain.limit == domain.weight and str(domain.limit).endswith(".scope")) and _is_own(domain.limit)


def _is_own(cgroup: str | None) -> bool:
    return any(map(_OWN.fullmatch, (cgroup or "").split("/")))


def domains(site: Cgroups) -> Iterator[Domain]:
    """The defined and the running domains."""
    files = [*site.host.names(CONFIG), *site.host.names(RUN)]
    for name in sorted({file.removesuffix(".xml") for file in files if file.endswith(".xml")}):
        if domain := visible(_named, site, name):
            yield domain


def find_by_pid(site: Cgroups, number: str) -> Domain | None:
    """The running domain whose id (the pid of its libvirt_lxc) or whose init this is."""
    for name in sorted(file.removesuffix(".xml") for file in site.host.names(RUN) if file.endswith(".xml")):
        text = site.host.read_or_none(f"{RUN}/{name}.xml") or ""
        if number and re.search(rf"<(init|domstatus)\b[^>]* pid='{re.escape(number)}'", text):
            return _named(site, name)
    return None


def _named(site: Cgroups, name: str) -> Domain | None:
    persistent = site.host.exists(f"{CONFIG}/{name}.xml")
    pid = _controller(site, name)
    if pid is None:
        return Domain("libvirt", name, running=False, persistent=True, scale=_scale(site)) if persistent else None
    try:
        limit = site.of_pid(pid)
    except NoSuchDomain:
        return Domain("libvirt", name, running=False, persistent=True, scale=_scale(site)) if persistent else None
    weight = limit.removesuffix("/libvirt") if ".scope/" in limit else limit
    facts = (("id", str(pid)), ("uuid", _uuid(site, name) or ""))
    return Domain(
        "libvirt", name, True, persistent, limit, weight, _scale(site), tuple(fact for fact in facts if fact[1])
    )


def _scale(site: Cgroups) -> Scale:
    """libvirt writes the number of shares unconverted as the weight on v2."""
    return Scale.WEIGHT if site.hierarchy.version == 2 else Scale.KERNEL


def _controller(site: Cgroups, name: str) -> int | None:
    """The pid of the domain's libvirt_lxc, if it is alive; the file outlives a crash."""
    pid = parse_integer((site.host.read_or_none(f"{RUN}/{name}.pid") or "").strip())
    if pid and (site.host.read_or_none(f"/proc/{pid}/comm") or "").startswith("libvirt_lxc"):
        return pid
    return None


def _uuid(site: Cgroups, name: str) -> str | None:
    for folder in (RUN, CONFIG):
        match = _UUID.search(site.host.read_or_none(f"{folder}/{name}.xml") or "")
        if match:
            return match[1].replace("-", "").lower()
    return None
