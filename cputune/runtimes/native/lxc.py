"""LXC remembers limits in the container's configuration: lxc.cgroup2.* (v2) and lxc.cgroup.* (v1), set at its start."""

from __future__ import annotations

from cputune.core.errors import Unsupported, WrongState
from cputune.core.knobs import UNLIMITED, Quota
from cputune.core.model import Change, CpuTune, Domain, Scale
from cputune.core.units import parse_integer, shares_of_weight, weight_of_shares
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes.lxc import LXCPATH, own_name
from cputune.runtimes.native.settings import EditFile, NativePlan, Settings, WantedSettings

# In the order in which the kernel takes them: LXC writes them from the top down.
_V1 = {"shares": "cpu.shares", "period": "cpu.cfs_period_us", "quota": "cpu.cfs_quota_us", "burst": "cpu.cfs_burst_us"}
_V2 = {"weight": "cpu.weight", "quota": "cpu.max", "burst": "cpu.max.burst"}
_IDLE = "cpu.idle"


def read(cgroups: Cgroups, domain: Domain) -> Settings:
    """Return the limits in the configuration file itself, without those in files that it includes."""
    text = cgroups.host.foreign.read_or_none(_path(domain), domain.details.owner or 0) or ""
    knobs = {_prefix(cgroups.hierarchy.version) + name: None for name in (*_V1.values(), *_V2.values(), _IDLE)}
    return Settings(change_in(text, cgroups.hierarchy.version), text, edited(text, dict(knobs)))


def _path(domain: Domain) -> str:
    return f"{domain.details.lxcpath or LXCPATH}/{own_name(domain)}/config"


def _prefix(version: int) -> str:
    return "lxc.cgroup." if version == 1 else "lxc.cgroup2."


def change_in(text: str, version: int) -> Change:
    """Return the limits in a file's text; of two lines with one key, the last one counts. Pure."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and key.strip().startswith(_prefix(version)):
            found[key.strip().removeprefix(_prefix(version))] = value.strip()
    quota_text, period_text = found.get("cpu.cfs_quota_us", ""), found.get("cpu.cfs_period_us", "")
    if version == 2:
        quota_text, period_text, *_ = [*found.get("cpu.max", "").split(), "", ""]
    number = parse_integer(quota_text)
    quota: Quota | None = UNLIMITED if quota_text == "max" or (number or 0) < 0 else number
    names = _V1 if version == 1 else _V2
    own = {key: parse_integer(found.get(names[key], "")) for key in ("shares", "weight", "burst") if key in names}
    idle = {"1": True, "0": False}.get(found.get(_IDLE, ""))
    return Change(period=parse_integer(period_text), quota=quota, idle=idle, **own)


def plan(cgroups: Cgroups, domain: Domain, wanted: WantedSettings) -> NativePlan:
    """Return the new text of the file, and the old one. Raises WrongState; Unsupported for another user's container."""
    path = _path(domain)
    if domain.details.owner not in (None, cgroups.host.uid):
        raise Unsupported(
            f"--native: {cgroups.host.real(path)} is user {domain.details.owner}'s", "run cputune as that user"
        )
    text = cgroups.host.foreign.read_or_none(path, domain.details.owner or 0)
    if text is None:
        raise WrongState(f"{cgroups.host.real(path)} cannot be read", f"ls -l {cgroups.host.real(path)}")
    new = edited(text, settings(wanted.change, wanted.goal, cgroups.hierarchy.version))
    real = cgroups.host.real(path)
    return NativePlan((EditFile(real, new),), (EditFile(real, text),), change_in(new, cgroups.hierarchy.version))


def settings(change: Change, goal: CpuTune, version: int) -> dict[str, str | None]:
    """Return the keys to set; None removes one. Pure.

    Those of quota, period and burst go together, since a container's new cgroup has none of them.
    """
    found: dict[str, str | None] = {}
    if change.shares is not None or change.weight is not None or change.idle is not None:
        shares, weight = change.shares, change.weight
        if version == 1:
            number = shares_of_weight(weight) if weight is not None else shares
        else:
            number = weight_of_shares(shares, Scale.KERNEL) if shares is not None else weight
        if number is not None or goal.idle:  # the kernel refuses a weight for an idle group
            found["shares" if version == 1 else "weight"] = None if goal.idle else str(number)
        found["idle"] = "1" if goal.idle else None
    if change.quota is not None or change.burst is not None:
        unlimited = goal.quota is UNLIMITED
        if version == 2:
            found["quota"] = f"{'max' if unlimited else goal.quota} {goal.period}"
        else:
            found |= {"period": str(goal.period), "quota": "-1" if unlimited else str(goal.quota)}
        found["burst"] = str(goal.burst) if goal.burst else None
    names = {**(_V1 if version == 1 else _V2), "idle": _IDLE}
    return {_prefix(version) + names[key]: found[key] for key in (*names,) if key in found}


def edited(text: str, values: dict[str, str | None]) -> str:
    """Return a file's text without its lines for these keys, and with the new lines at its end. Pure."""
    others = [line for line in text.splitlines() if line.partition("=")[0].strip() not in values]
    return "\n".join([*others, *(f"{key} = {value}" for key, value in values.items() if value is not None)]) + "\n"
