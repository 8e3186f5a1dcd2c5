"""Which domain a name means, which domains there are, and whose a cgroup is: by asking the modules of the runtimes.

A module is imported when it is asked. It looks into files and asks a daemon only for what no file tells; the cgroup
paths that it returns are those of the cpu hierarchy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cputune.core.errors import Ambiguous, CpuTuneError, NoPermission, NoSuchDomain, UsageError
from cputune.core.model import Domain, Scale
from cputune.core.names import check, has_parts, is_pattern, printable
from cputune.host.systemd import is_unit_name
from cputune.runtimes.registry import PERSISTENT, RUNTIMES, Runtime

if TYPE_CHECKING:
    from cputune.host.cgroup.cgroups import Cgroups

_ID = r"[0-9a-f]+"
_SHORTEST_BARE_ID = 12
"""Digits that an id needs where its runtime is not named: as many as docker and podman show."""


def split(name: str) -> tuple[str | None, str]:
    """Split RUNTIME:NAME into its parts; (None, name) for a bare name, which may contain a colon, too."""
    runtime, colon, rest = name.partition(":")
    return (runtime, rest) if colon and runtime in RUNTIMES else (None, name)


def completed(runtime: str, name: str) -> str:
    """Add the suffix that a name is understood to have: `systemd:ssh` means ssh.service, as for systemctl."""
    suffix = RUNTIMES[runtime].suffix
    return name + suffix if suffix and not is_unit_name(name) else name


def find(cgroups: Cgroups, name: str) -> Domain:
    """Return the one domain with that name, bare or RUNTIME:NAME.

    Raises UsageError for what can be no name, NoSuchDomain, Ambiguous, NoPermission where it cannot be looked for.
    """
    runtime, rest = split(check(name))
    if runtime:
        rest = completed(runtime, check(rest))
    elif name.startswith("/"):
        raise UsageError(
            f"{printable(name)} is a path, not the name of a domain", f"cputune status cgroup:{printable(name)}"
        )
    asked = [RUNTIMES[runtime]] if runtime else [row for row in RUNTIMES.values() if row.bare]
    found, what = _candidates(cgroups, rest, asked, bare=runtime is None)
    if len(found) > 1 and runtime:
        # If several owners have the name, it means root's; users' own are listed with a prefix, and found with it.
        found = [domain for domain in found if domain.name == rest] or found
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(printable(domain.qualified) for domain in found)
        raise Ambiguous(f"{printable(name)} {what}: {names}", "name one of them as it is here")
    if is_pattern(rest) and runtime in (None, *PERSISTENT):  # no domain is really called that
        return _pattern(cgroups, runtime, rest)
    raise _not_found(cgroups, name, asked)


def _candidates(cgroups: Cgroups, name: str, asked: list[Runtime], *, bare: bool) -> tuple[list[Domain], str]:
    """Return the domains that a name can mean, and what they have in common. Names come before ids."""
    found = [domain for row in asked for domain in row.module().find(cgroups, name)]
    if not found and (found := _by_prefix(cgroups, name, asked, bare=bare)):
        return found, "begins the id of more than one container"
    if not found and not bare:
        found = [domain for row in asked if row.askable for domain in row.module().ask(cgroups, name)]
    return found, "is the name of more than one domain"


def _by_prefix(cgroups: Cgroups, prefix: str, asked: list[Runtime], *, bare: bool) -> list[Domain]:
    """Return the domains whose id begins with `prefix`, which can have UID/ or the like before the digits."""
    if not re.fullmatch(_ID, prefix.rpartition("/")[2]) or (bare and len(prefix) < _SHORTEST_BARE_ID):
        return []
    return [domain for row in asked if row.ids for domain in row.module().by_prefix(cgroups, prefix)]


def _not_found(cgroups: Cgroups, name: str, asked: list[Runtime]) -> CpuTuneError:
    unreadable = _unreadable(cgroups, asked)
    if not unreadable:
        return NoSuchDomain(f"no domain {printable(name)}", "list the names: cputune status")
    if len(asked) == 1:
        return NoPermission(
            f"cannot look for {printable(name)}: permission denied: {cgroups.host.real(unreadable[0])}",
            "run it as root: sudo cputune ...",
        )
    return NoSuchDomain(
        f"no domain {printable(name)}; skipped, permission denied: {', '.join(unreadable)}",
        "run it as root: sudo cputune ...",
    )


def unreadable(cgroups: Cgroups) -> list[str]:
    """Return the directories with lists of root's domains that the caller has no permission to read."""
    return _unreadable(cgroups, RUNTIMES.values())


def _unreadable(cgroups: Cgroups, asked: Iterable[Runtime]) -> list[str]:
    host = cgroups.host
    return [path for row in asked for path in row.listed_in if not host.may_list(path)]


def refuse_impossible(runtime: str, name: str) -> None:
    """Raise UsageError for a name that no domain of this runtime can have, and no pattern can match. Pure."""
    row = RUNTIMES[runtime]
    if not row.parts or has_parts(name, row.parts):
        return
    hint = "cputune status"
    if row.parts > 1 and "/" not in name:
        hint = f"say: {runtime}:" + ", or ".join(f"{program}/{name}" for program in row.oci)
    raise UsageError(f"no domain can be called {runtime}:{printable(name)}", hint)


def _pattern(cgroups: Cgroups, runtime: str | None, name: str) -> Domain:
    """Return the Domain that stands for all that match a pattern: things can be saved for it, and no more."""
    if runtime is None:
        raise UsageError(
            f"{printable(name)}: a pattern needs the runtime whose domains it means", f"say: docker:{printable(name)}"
        )
    refuse_impossible(runtime, name)
    return Domain(runtime, name, running=False, persistent=True, scale=_scale(cgroups, RUNTIMES[runtime]))


def _scale(cgroups: Cgroups, row: Runtime) -> Scale:
    """Return how a runtime converts shares; for one that runs OCI runtimes, how the one that it comes with does."""
    if row.oci:
        from cputune.runtimes.oci_scale import scale_of

        return scale_of(cgroups, row.oci[0])[0]
    return row.scale_on(cgroups.hierarchy.version)


def domains(cgroups: Cgroups, runtimes: Iterable[str] = RUNTIMES) -> Iterator[Domain]:
    """Yield all domains of these runtimes.

    A unit in which another runtime's domain lives is listed once, as that domain; so is a container of docker's that
    is also one of a containerd namespace of its own.
    """
    taken: set[str] = set()
    for row in (RUNTIMES[name] for name in runtimes):
        for domain in _listed(cgroups, row):
            if row.overlaps and domain.limit_cgroup in taken:
                continue
            taken.update(domain.cgroups)
            yield domain


def _listed(cgroups: Cgroups, row: Runtime) -> Iterator[Domain]:
    """Yield the domains of one runtime, as far as they can be listed; what ends the list is said, and no more."""
    try:
        yield from row.module().domains(cgroups)
    except Exception as error:
        cgroups.host.problems.add_error(f"{row.name}, after what is listed", error)


def of_cgroup(cgroups: Cgroups, cgroup: str, runtimes: Iterable[str]) -> Iterator[Domain]:
    """Yield the running domains with that cgroup, of these runtimes, which are some of PERSISTENT.

    Where somebody chose the cgroup's name, it says nothing, and only the runtime's list of domains tells.
    """
    for runtime in runtimes:
        try:
            domain = RUNTIMES[runtime].module().of_cgroup(cgroups, cgroup)
        except CpuTuneError:  # it may go away at any moment
            continue
        if domain and domain.running and domain.limit_cgroup:
            yield domain


def warm_up(cgroups: Cgroups, runtimes: Iterable[str]) -> None:
    """Import the modules, and run the programs, that the first call of `of_cgroup` would need time for."""
    for row in (RUNTIMES[name] for name in runtimes):
        row.module()
        if row.oci:
            from cputune.runtimes import oci_scale

            oci_scale.warm_up(cgroups)


def is_settled(domain: Domain) -> bool:
    """Whether a domain runs in a cgroup of its own; at first, its processes may be where its starter is."""
    if not domain.running or domain.limit_cgroup is None:
        return False
    row = RUNTIMES[domain.runtime]
    return not row.settles or row.module().is_settled(domain)
