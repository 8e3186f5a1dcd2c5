"""Units of systemd that have a cgroup (service, scope, slice, socket, mount, swap), of the system or of a user.

They are found in the cgroup tree and in the directories of unit files (systemd.unit(5)); systemd is not asked.
"""

from __future__ import annotations

from collections.abc import Iterator

from cputune.core.model import Domain
from cputune.core.names import is_component
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.systemd import Unit, is_unit_name, unit_of
from cputune.runtimes.users import home_of

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


def find(cgroups: Cgroups, name: str) -> Iterator[Domain]:
    """Yield the unit of that name, which has its suffix, and UID/ before it if it is a user's."""
    unit = unit_called(name)
    if unit is None or not is_component(unit.name) or not cgroups.host.is_dir("/run/systemd/system"):
        return
    cgroup = search(cgroups, unit)
    files = _Files(cgroups)
    if cgroup is not None or unit in files:
        yield _domain(unit, cgroup, files)


def unit_called(name: str) -> Unit | None:
    """Return the unit that UNIT or UID/UNIT names; None if that can be no unit's name."""
    owner, slash, unit = name.rpartition("/")
    if not is_unit_name(unit) or (slash and not (owner.isascii() and owner.isdigit())):
        return None
    return Unit(unit, int(owner) if slash else None)


def of_cgroup(cgroups: Cgroups, cgroup: str) -> Domain | None:
    """Return the unit with that cgroup."""
    unit = unit_of(cgroup) if cgroups.host.is_dir("/run/systemd/system") else None
    return _domain(unit, cgroup, _Files(cgroups)) if unit else None


def domains(cgroups: Cgroups) -> Iterator[Domain]:
    """Yield every unit that has a cgroup now, of the system manager and of the users' managers."""
    if cgroups.host.is_dir("/run/systemd/system"):
        files = _Files(cgroups)
        for cgroup, unit in _units(cgroups):
            yield _domain(unit, cgroup, files)


def _domain(unit: Unit, cgroup: str | None, files: _Files) -> Domain:
    return Domain("systemd", unit.label, cgroup is not None, unit in files, limit_cgroup=cgroup, weight_cgroup=cgroup)


def search(cgroups: Cgroups, unit: Unit) -> str | None:
    """Return the cgroup of a unit: a slice's by its name, others' in system.slice, else by searching all slices."""
    if unit.uid is None:
        likely = slice_path(unit.name) if unit.name.endswith(".slice") else f"/system.slice/{unit.name}"
        if cgroups.unit_exists(likely):
            return likely
    return next((cgroup for cgroup, found in _units(cgroups) if found == unit), None)


def slice_path(name: str) -> str:
    """Return the cgroup of a slice by its name: a-b.slice is in a.slice (systemd.slice(5))."""
    stem = name.removesuffix(".slice")
    if stem == "-":
        return "/"
    parts = stem.split("-")
    return "".join(f"/{'-'.join(parts[: index + 1])}.slice" for index in range(len(parts)))


def _units(cgroups: Cgroups) -> Iterator[tuple[str, Unit]]:
    """Yield the units in the cgroup tree, in its order. Only slices and users' managers have units inside."""
    pending = [f"/{name}" for name in reversed(cgroups.unit_children("/"))]
    while pending:
        cgroup = pending.pop()
        unit = unit_of(cgroup)
        if unit is None:
            continue
        yield cgroup, unit
        if unit.name.endswith(".slice") or (unit.uid is None and unit.name.startswith("user@")):
            pending += [f"{cgroup}/{name}" for name in reversed(cgroups.unit_children(cgroup))]


class _Files:
    """The unit files of a host; each directory is listed once."""

    def __init__(self, cgroups: Cgroups) -> None:
        self._cgroups = cgroups
        self._names: dict[str, frozenset[str]] = {}

    def __contains__(self, unit: Unit) -> bool:
        """Whether systemd knows the unit after it stopped: it has a unit file, or is a slice, which needs none."""
        if unit.name in _PERPETUAL:
            return True
        runtime = "/run" if unit.uid is None else f"/run/user/{unit.uid}"
        if unit.name.endswith(".scope") or unit.name in self._list(f"{runtime}/systemd/transient", unit.uid or 0):
            return False
        prefix, at, rest = unit.name.partition("@")
        names = {unit.name, f"{prefix}@.{rest.rpartition('.')[2]}"} if at else {unit.name}
        return unit.name.endswith(".slice") or any(
            names & self._list(folder, owner) for folder, owner in _folders(self._cgroups, unit)
        )

    def _list(self, folder: str, owner: int) -> frozenset[str]:
        if folder not in self._names:
            self._names[folder] = frozenset(self._cgroups.host.foreign.names(folder, owner))
        return self._names[folder]


def _folders(cgroups: Cgroups, unit: Unit) -> Iterator[tuple[str, int]]:
    """Yield the directories that the unit's file can be in, and the user ids that these must belong to."""
    if unit.uid is not None and (home := home_of(cgroups, unit.uid)):
        for folder in (f"{home}/.config", f"{home}/.local/share", f"/run/user/{unit.uid}"):
            yield f"{folder}/systemd/user", unit.uid
    for folder in _SYSTEM_FILES if unit.uid is None else _USER_FILES:
        yield folder, 0
