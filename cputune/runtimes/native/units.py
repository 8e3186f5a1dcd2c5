"""systemd remembers drop-ins below /etc/systemd/system.control, which `systemctl set-property` writes.

They hide those of the same name that `set-property --runtime` (and so `--live`) leaves below /run, at the next reload.
"""

from __future__ import annotations

from cputune.core.errors import Unsupported, from_os_error
from cputune.core.model import Domain
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.systemd import Properties, Systemd, Unit, enables
from cputune.host.systemd import wanted as wanted_properties
from cputune.runtimes.native.settings import (
    EditFile,
    NativeAction,
    NativePlan,
    RunCommand,
    Settings,
    WantedSettings,
    cannot_remember,
    refuse_other_knobs,
)
from cputune.runtimes.systemd import unit_called
from cputune.runtimes.users import home_of

_FILES = {
    "CPUQuotaPerSecUSec": "50-CPUQuota.conf",
    "CPUQuotaPeriodUSec": "50-CPUQuotaPeriodSec.conf",
    "CPUWeight": "50-CPUWeight.conf",
    "CPUShares": "50-CPUShares.conf",
}


def read(cgroups: Cgroups, domain: Domain) -> Settings:
    """Return the texts of the drop-ins as `raw`; what limits they mean, only systemd itself can tell."""
    unit = _unit(domain)
    folder = _folder(cgroups, unit) if unit else None
    owner = (unit.uid or 0) if unit else 0
    paths = {name: f"{folder}/{name}" for name in _FILES.values()} if folder else {}
    texts = {name: cgroups.host.foreign.read_or_none(path, owner) for name, path in paths.items()}
    return Settings(None, texts)


def plan(cgroups: Cgroups, domain: Domain, wanted: WantedSettings) -> NativePlan:
    """Return the call that makes systemd write drop-ins, and the old drop-ins with a reload. Raises Unsupported."""
    version, unit = cgroups.hierarchy.version, _unit(domain)
    idle = ("idle",) if version == 2 else ()
    refuse_other_knobs(domain, wanted.change, "shares", "weight", "period", "quota", *idle)
    systemd = Systemd(cgroups.host)
    folder = _folder(cgroups, unit) if unit else None
    if unit is None or folder is None or not systemd.booted() or not enables(unit, version):
        raise Unsupported(f"--native: {domain.qualified} has no unit that systemd could remember limits for")
    properties = wanted_properties(version, wanted.goal, frozenset(wanted.change.named()))
    if not properties:
        raise cannot_remember(domain, next(iter(wanted.change.named())), "systemd has no property for that")
    argv, user = systemd.set_command(unit, properties, runtime=False)
    paths = [f"{folder}/{_FILES[name]}" for name in properties]
    texts = [_text_of(cgroups, unit, path) for path in paths]
    edits = [_back(cgroups, unit, path, text) for path, text in zip(paths, texts, strict=True)]
    reload_argv, user = systemd.reload_command(unit)
    forward = (RunCommand(argv, user, hint="systemctl start dbus.socket"),)
    return NativePlan(forward, (*edits, RunCommand(reload_argv, user)), None)


def _text_of(cgroups: Cgroups, unit: Unit, path: str) -> str | None:
    """Return the text of a drop-in, which will be written back; None if there is none. Raises Refused.

    It is read as the unit's user, whom it is given back to: what he may not read is none of his.
    """
    try:
        return cgroups.host.foreign.read(path, unit.uid or 0)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise from_os_error(error, f"read {cgroups.host.real(path)}, to be able to put it back") from error


def _back(cgroups: Cgroups, unit: Unit, path: str, text: str | None) -> NativeAction:
    """Return how to restore a drop-in. A user's is written as that user, who could link its folder to anywhere."""
    if unit.uid is None:
        return EditFile(cgroups.host.real(path), text)
    argv = ("rm", "-f", "--", path) if text is None else ("tee", "--", path)
    return RunCommand(argv, unit.uid, text)


def hiding(cgroups: Cgroups, unit: Unit, properties: Properties) -> list[str]:
    """Return the drop-ins that will hide a runtime change of these properties at systemd's next reload."""
    folder = _folder(cgroups, unit)
    paths = (f"{folder}/{_FILES[name]}" for name in properties) if folder else ()
    return [path for path in paths if cgroups.host.foreign.exists(path, unit.uid or 0)]


def _unit(domain: Domain) -> Unit | None:
    """Return the unit of a domain; None for a machine in a scope, which ends with the machine."""
    if domain.runtime == "systemd":
        return unit_called(domain.name)
    name = domain.details.unit or f"systemd-nspawn@{domain.name}.service"
    return Unit(name) if name.endswith(".service") else None


def _folder(cgroups: Cgroups, unit: Unit) -> str | None:
    """Return the directory for the drop-ins of a unit; None if its user's home directory is unknown."""
    if unit.uid is None:
        return f"/etc/systemd/system.control/{unit.name}.d"
    home = home_of(cgroups, unit.uid)
    return f"{home}/.config/systemd/user.control/{unit.name}.d" if home else None
