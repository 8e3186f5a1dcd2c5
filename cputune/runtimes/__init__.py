"""Who knows which domain: one small module per runtime, imported when it is asked.

A runtime is a module with `find(site, name) -> Domain | None` and `domains(site) -> Iterator[Domain]`. It looks into
files, never asks a daemon where a file tells it, and returns cgroup paths of the cpu hierarchy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cputune.errors import NoSuchDomain, UsageError
from cputune.names import check, printable
from cputune.systemd import is_unit_name

if TYPE_CHECKING:
    from typing import Protocol

    from cputune.cgroup import Cgroups
    from cputune.model import Domain

    class Runtime(Protocol):
        """What each module here is."""

        def find(self, site: Cgroups, name: str) -> Domain | None: ...
        def domains(self, site: Cgroups) -> Iterator[Domain]: ...


RUNTIMES = ("libvirt", "lxc", "nspawn", "run", "systemd", "cgroup", "pid")
BY_PREFIX_ONLY = ("cgroup", "pid")
"""These name a thing rather than know it: a bare name never means one of theirs."""


def module(runtime: str) -> Runtime:
    """The module of a runtime."""
    from importlib import import_module

    found: Runtime = import_module(f"cputune.runtimes.{runtime}")
    return found


def split(name: str) -> tuple[str | None, str]:
    """RUNTIME:NAME into its parts; (None, name) for a bare name, also for one with a colon of its own."""
    runtime, colon, rest = name.partition(":")
    return (runtime, rest) if colon and runtime in RUNTIMES else (None, name)


def find(site: Cgroups, name: str) -> Domain:
    """The one domain of that name. Raises NoSuchDomain for none, or more than one; UsageError for no name."""
    runtime, rest = split(check(name))
    if runtime:
        check(rest)
    if runtime == "systemd" and not is_unit_name(rest):
        rest += ".service"  # as systemctl does; a bare name has to say which unit it means
    if runtime is None and name.startswith("/"):
        raise UsageError(
            f"{printable(name)} is a path, not the name of a domain", f"cputune status cgroup:{printable(name)}"
        )
    searched = (runtime,) if runtime else tuple(known for known in RUNTIMES if known not in BY_PREFIX_ONLY)
    found = [domain for known in searched if (domain := module(known).find(site, rest))]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(printable(domain.qualified) for domain in found)
        raise NoSuchDomain(
            f"{printable(name)} is known to more than one runtime: {names}", "name one of them as RUNTIME:NAME"
        )
    raise NoSuchDomain(f"no domain {printable(name)}", "list the names: cputune status")


def domains(site: Cgroups, runtimes: tuple[str, ...] = RUNTIMES) -> Iterator[Domain]:
    """All domains of these runtimes. A unit that another runtime's domain lives in is listed once, as that domain."""
    taken: set[str] = set()
    for runtime in runtimes:
        for domain in module(runtime).domains(site):
            if runtime == "systemd" and domain.limit in taken:
                continue
            taken |= {cgroup for cgroup in (domain.limit, domain.weight) if cgroup}
            yield domain
