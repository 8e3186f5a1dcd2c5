"""incus and LXD remember limits.cpu.allowance: QUOTA/PERIOD in milliseconds is a limit, a percentage only a weight."""

from __future__ import annotations

import re
from importlib import import_module

from cputune.core.errors import WrongState, from_os_error
from cputune.core.knobs import UNLIMITED
from cputune.core.model import Change, Domain
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes.instances import Instances, split
from cputune.runtimes.json_files import MAX_BYTES
from cputune.runtimes.native.settings import (
    NativePlan,
    RunCommand,
    Settings,
    WantedSettings,
    cannot_remember,
    refuse_other_host,
    refuse_other_knobs,
)

_KEY = "limits.cpu.allowance"
_LIMIT = re.compile(r"([0-9]{1,10})ms/([0-9]{1,10})ms")


def _instances(domain: Domain) -> Instances:
    found: Instances = import_module(f"cputune.runtimes.{domain.runtime}").INSTANCES
    return found


def read(cgroups: Cgroups, domain: Domain) -> Settings:
    """Return the allowance in force, its own or a profile's, from backup.yaml; a percentage only as `raw`.

    Raises WrongState, NoPermission where that cannot be read.
    """
    instances = _instances(domain)
    path = instances.backup(cgroups, domain.name)
    if path is None:
        raise WrongState(f"{domain.qualified} has no backup.yaml", f"{instances.command} list --all-projects")
    try:
        allowance = allowance_in(cgroups.host.foreign.read(path, limit=MAX_BYTES, stray=True))
    except OSError as error:
        raise from_os_error(error, f"read {cgroups.host.real(path)}") from error
    match = _LIMIT.fullmatch(allowance or "")
    change = Change(quota=int(match[1]) * 1000, period=int(match[2]) * 1000) if match else Change()
    return Settings(change, allowance)


def allowance_in(text: str) -> str | None:
    """Return the allowance in a backup.yaml, from `expanded_config`, which has those of profiles, too. Pure."""
    expanded = text.partition("\n  expanded_config:\n")[2]
    for line in expanded.splitlines():
        if not line.startswith("    "):
            return None
        key, _, value = line.strip().partition(": ")
        if key == _KEY:
            return value.strip("\"'")
    return None


def plan(cgroups: Cgroups, domain: Domain, wanted: WantedSettings) -> NativePlan:
    """Return the `config set` or `unset` that makes the daemon remember `wanted`. Raises Unsupported, and as `read`."""
    refuse_other_host(cgroups, domain)
    change = wanted.change
    if change.shares is not None or change.weight is not None:
        key = "shares" if change.shares is not None else "weight"
        raise cannot_remember(domain, key, "its percentages and priorities are no weights, and exclude a limit")
    refuse_other_knobs(domain, change, "period", "quota")
    before = read(cgroups, domain)
    allowance = before.raw
    if isinstance(allowance, str) and not _LIMIT.fullmatch(allowance):
        raise cannot_remember(domain, "quota", f"{_KEY} is {allowance}, a weight, which a limit would replace")
    if change.quota is None:
        return NativePlan((), (), before.change)
    return NativePlan((_command(domain, _allowance(domain, change)),), (_command(domain, allowance),), change)


def _allowance(domain: Domain, change: Change) -> str | None:
    """Return QUOTA/PERIOD in milliseconds; None for no limit. Raises Unsupported for fractions of a millisecond."""
    quota, period = change.quota, change.period
    if quota is UNLIMITED or quota is None or period is None:
        return None
    for key, value in (("quota", quota), ("period", period)):
        if value % 1000:
            near = value // 1000 * 1000
            hint = f"the nearest that are: {near} and {near + 1000}"
            raise cannot_remember(domain, key, f"{value} is not in whole milliseconds", hint)
    return f"{quota // 1000}ms/{period // 1000}ms"


def _command(domain: Domain, allowance: object) -> RunCommand:
    """Return the command that sets the allowance, or unsets it for None."""
    project, name = split(domain.name)
    verb = ("unset", f"local:{name}", _KEY) if allowance is None else ("set", f"local:{name}", f"{_KEY}={allowance}")
    return RunCommand(
        (_instances(domain).command, "config", *verb, "--project", project), hint=f"systemctl start {domain.runtime}"
    )
