"""libvirt remembers limits in <cputune> of the domain's XML; `virsh define` changes it.

`virsh schedinfo --config` would do, but libvirtd 11.3 crashes by it where the domain does not run.
"""

from __future__ import annotations

from cputune.core.errors import WrongState
from cputune.core.knobs import MAX_QUOTA, UNLIMITED, Quota
from cputune.core.model import Change, Domain
from cputune.core.units import parse_integer
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes.libvirt import CONFIG
from cputune.runtimes.native.settings import (
    NativePlan,
    RunCommand,
    Settings,
    WantedSettings,
    refuse_other_host,
    refuse_other_knobs,
    shares_for,
)

_ELEMENTS = ("shares", "period", "quota")


def read(cgroups: Cgroups, domain: Domain) -> Settings:
    """Return the elements of <cputune> in the saved definition."""
    text = cgroups.host.foreign.read_or_none(f"{CONFIG}/{domain.name}.xml") or ""
    other = "".join(_without_limits(text).split())
    return Settings(change_in(text), text, other)


def change_in(text: str) -> Change:
    """Return the limits in the text of a definition. Pure."""
    inside = text.partition("<cputune>")[2].partition("</cputune>")[0]
    found: dict[str, int] = {}
    for name in _ELEMENTS:
        number = parse_integer(inside.partition(f"<{name}>")[2].partition(f"</{name}>")[0].strip())
        if number:
            found[name] = number
    number = found.get("quota")
    quota: Quota | None = UNLIMITED if number and (number < 0 or number >= MAX_QUOTA) else number
    return Change(shares=found.get("shares"), period=found.get("period"), quota=quota)


def _without_limits(text: str) -> str:
    before, start, rest = text.replace("<cputune/>", "").partition("<cputune>")
    return before + (rest.partition("</cputune>")[2] if start else "")


def plan(cgroups: Cgroups, domain: Domain, wanted: WantedSettings) -> NativePlan:
    """Return the `virsh define` with the new <cputune>, and with the old one. Raises Unsupported, WrongState."""
    refuse_other_host(cgroups, domain)
    refuse_other_knobs(domain, wanted.change, "shares", "weight", "period", "quota")
    text = cgroups.host.foreign.read_or_none(f"{CONFIG}/{domain.name}.xml")
    if text is None:
        raise WrongState(f"{cgroups.host.real(CONFIG)}/{domain.name}.xml cannot be read", "virsh -c lxc:/// list --all")
    change = wanted.change
    values: dict[str, str | None] = {}
    shares = shares_for(cgroups, domain, change)
    if shares is not None:
        values["shares"] = str(shares)
    if change.quota is not None:
        values |= {"period": str(change.period), "quota": None if change.quota is UNLIMITED else str(change.quota)}
    new = edited(text, values)
    return NativePlan((_define(new),), (_define(text),), change_in(new))


def _define(text: str) -> RunCommand:
    argv = ("virsh", "-q", "-c", "lxc:///", "define", "/dev/stdin")
    return RunCommand(argv, input=text, hint="systemctl start libvirtd")


def edited(text: str, values: dict[str, str | None]) -> str:
    """Return a definition with other elements in its <cputune>; None removes one. Pure."""
    from xml.etree import ElementTree

    root = ElementTree.fromstring(text)
    cputune = root.find("cputune")
    if cputune is None:
        cputune = ElementTree.SubElement(root, "cputune")
    for name, value in values.items():
        element = cputune.find(name)
        if value is None:
            if element is not None:
                cputune.remove(element)
            continue
        if element is None:
            element = ElementTree.SubElement(cputune, name)
        element.text = value
    return ElementTree.tostring(root, encoding="unicode")
