"""systemd:UNIT, any service, scope, slice, socket, mount or swap; systemd:UID/UNIT for one of a user's manager.

Found in the cgroup tree and in the directories of unit files (systemd.unit(5)); systemd is not asked.
"""

from __future__ import annotations

from collections.abc import Iterator

from cputune.cgroup import Cgroups
from cputune.model import Domain
from cputune.names import is_component
from cputune.systemd import Unit, is_unit_name, unit_of

_SYSTEM_FILES = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/run/systemd/generator.early",
    "/run/systemd/generator.late",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
_USER_FILES = ("/etc/systemd/user", "/run/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user")
_PERPETUAL = ("init.scope", "-.slice")


def find(site: Cgroups, name: str) -> Domain | None:
    """The unit `name`, with its suffix; UID/NAME for a user's."""
    owner, slash, unit_name = name.rpartition("/")
    if slash and not (owner.isascii() and owner.isdigit()):
        return None
    if not is_component(unit_name) or not is_unit_name(unit_name) or not site.host.is_dir("/run/systemd/system"):
        return None
    unit = Unit(unit_name, int(owner) if slash else None)
    cgroup = _search(site, unit)
    if cgroup is None and not _has_file(site, unit):
        return None
    return _domain(site, unit, cgroup)


def domains(site: Cgroups) -> Iterator[Domain]:
    """Every unit that has a cgroup now, of the system manager and of the users' managers."""
    if site.host.is_dir("/run/systemd/system"):
        for cgroup, unit in _units(site):
            yield _domain(site, unit, cgroup)


def _domain(site: Cgroups, unit: Unit, cgroup: str | None) -> Domain:
    return Domain(
        "systemd", unit.label, running=cgroup is not None, persistent=_has_file(site, unit), limit=cgroup, weight=cgroup
    )  # fmt: skip


def _search(site: Cgroups, unit: Unit) -> str | None:
    """The cgroup of a unit: where its name says for a slice, in system.slice, or wherever a slice has it."""
    if unit.uid is None:
        likely = slice_path(unit.name) if unit.name.endswith(".slice") else f"/system.slice/{unit.name}"
        if site.unit_exists(likely):
            return likely
    return next((cgroup for cgroup, found in _units(site) if found == unit), None)


def slice_path(name: str) -> str:
    """The cgroup of a slice by its name: a-b.slice is in a.slice (systemd.slice(5))."""
    stem = name.removesuffix(".slice")
    if stem == "-":
        return "/"
    parts = stem.split("-")
    return "".join(f"/{'-'.join(parts[: index + 1])}.slice" for index in range(len(parts)))


def _units(site: Cgroups) -> Iterator[tuple[str, Unit]]:
    """The units in the cgroup tree, in its order; only slices and users' managers have units inside."""
    pending = [f"/{name}" for name in reversed(site.unit_children("/"))]
    while pending:
        cgroup = pending.pop()
        unit = unit_of(cgroup)
        if unit is None:
            continue
        yield cgroup, unit
        if unit.name.endswith(".slice") or (unit.uid is None and unit.name.startswith("user@")):
            pending += [f"{cgroup}/{name}" for name in reversed(site.unit_children(cgroup))]


def _has_file(site: Cgroups, unit: Unit) -> bool:
    """Whether systemd would know the unit after it stopped: a unit file, or a slice that its name alone makes."""
    if unit.name in _PERPETUAL:
        return True
    if unit.name.endswith(".scope") or site.host.exists(f"/run/systemd/transient/{unit.name}"):
        return False
    if unit.uid is not None and site.host.exists(f"/run/user/{unit.uid}/systemd/transient/{unit.name}"):
        return False
    if unit.name.endswith(".slice"):
        return True
    names = [unit.name]
    prefix, at, rest = unit.name.partition("@")
    if at:
        names.append(f"{prefix}@.{rest.rpartition('.')[2]}")
    return any(site.host.exists(f"{folder}/{name}") for folder in _folders(unit) for name in names)


def _folders(unit: Unit) -> tuple[str, ...]:
    if unit.uid is None:
        return _SYSTEM_FILES
    import pwd

    try:
        home = pwd.getpwuid(unit.uid).pw_dir
    except KeyError:
        return _USER_FILES
    return (
        f"{home}/.config/systemd/user",
        f"{home}/.local/share/systemd/user",
        f"/run/user/{unit.uid}/systemd/user",
        *_USER_FILES,
    )
