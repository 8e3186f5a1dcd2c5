"""systemd-nspawn's containers, and all other machines that are registered with systemd-machined.

/run/systemd/machines/NAME tells a machine's leader and unit. The limit is the unit's (what `systemctl set-property`
writes); nspawn's own `payload` and `supervisor` are below it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from cputune.core.errors import NoSuchDomain
from cputune.core.model import Details, Domain
from cputune.core.names import is_component
from cputune.core.units import parse_integer
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.systemd import Unit, unit_of
from cputune.runtimes import systemd
from cputune.runtimes.tolerance import tolerantly

MACHINES = "/run/systemd/machines"
IMAGES = "/var/lib/machines"
_LIBVIRT = "libvirt-lxc"
"""The SERVICE of a machine that is a domain of libvirt's."""


def find(cgroups: Cgroups, name: str) -> Iterator[Domain]:
    """Yield the machine of that name: running, or with an image or a settings file. libvirt's is libvirt's domain."""
    if domain := _found(cgroups, name):
        yield domain


def _found(cgroups: Cgroups, name: str) -> Domain | None:
    if not is_component(name) or name.startswith(("unit:", ".")):
        return None
    fields = _fields(cgroups, name)
    if fields.get("SERVICE") == _LIBVIRT:
        # The same container: its limits are where libvirt keeps them, so it must not have other cgroups here.
        from cputune.runtimes import libvirt

        return libvirt.find_by_pid(cgroups, fields.get("LEADER", ""))
    cgroup = _cgroup(cgroups, fields)
    persistent = _is_persistent(cgroups, name, fields)
    if cgroup is None and not persistent:
        return None
    details = Details(
        unit=fields.get("SCOPE") or None,
        pid=parse_integer(fields.get("LEADER", "")),
        started_by=fields.get("SERVICE") or None,
    )
    return Domain("nspawn", name, cgroup is not None, persistent, cgroup, cgroup, details=details)


def of_cgroup(cgroups: Cgroups, cgroup: str) -> Domain | None:
    """Return the machine whose unit has that cgroup, once it is registered."""
    unit = unit_of(cgroup)
    if unit is None or unit.uid is not None or unit.name.endswith(".slice"):
        return None
    names = (name for name in cgroups.host.foreign.names(MACHINES) if not name.startswith("unit:"))
    name = next((name for name in names if _fields(cgroups, name).get("SCOPE") == unit.name), None)
    domain = _found(cgroups, name) if name else None
    return domain if domain and domain.runtime == "nspawn" and domain.limit_cgroup == cgroup else None


def domains(cgroups: Cgroups) -> Iterator[Domain]:
    """Yield the running machines except libvirt's, then the images that do not run.

    Without those whose cgroup is outside our mount.
    """
    machines = (
        name for name in cgroups.host.foreign.names(MACHINES) if _fields(cgroups, name).get("SERVICE") != _LIBVIRT
    )
    images = (image.removesuffix(".raw") for image in cgroups.host.foreign.names(IMAGES))
    seen = set()
    for name in (*machines, *images):
        if name not in seen:
            for domain in tolerantly(cgroups, f"nspawn:{name}", 0, partial(_found, cgroups, name)):
                seen.add(name)
                yield domain


def _fields(cgroups: Cgroups, name: str) -> dict[str, str]:
    """Return what machined has written about a machine: NAME, SCOPE (its unit), SERVICE, LEADER (a pid), ..."""
    text = cgroups.host.foreign.read_or_none(f"{MACHINES}/{name}") or ""
    found = dict(line.split("=", 1) for line in text.split("\n") if "=" in line)
    # machined escapes the value as in C: "machine-lxc\\x2d438" stands for machine-lxc\x2d438.
    return {key: value.strip('"').replace("\\\\", "\\") for key, value in found.items()}


def _cgroup(cgroups: Cgroups, fields: dict[str, str]) -> str | None:
    """Return the cgroup of the machine's unit, which its leader is in or below; on v1 it may not exist yet."""
    pid = parse_integer(fields.get("LEADER", ""))
    if not pid:
        return None
    try:
        path = cgroups.of_pid(pid)
    except NoSuchDomain:
        return None
    unit = fields.get("SCOPE", "")
    for cgroup in (path, *cgroups.ancestors(path)):
        if unit and cgroup.rpartition("/")[2] == unit and unit_of(cgroup):
            return cgroup
    return systemd.search(cgroups, Unit(unit)) if unit else path


def _is_persistent(cgroups: Cgroups, name: str, fields: dict[str, str]) -> bool:
    """Whether the machine can be started again: it is a service, or has an image or a settings file."""
    if fields.get("SCOPE", "").endswith(".service"):
        return True
    return any(
        cgroups.host.foreign.exists(path)
        for path in (f"{IMAGES}/{name}", f"{IMAGES}/{name}.raw", f"/etc/systemd/nspawn/{name}.nspawn")
    )
