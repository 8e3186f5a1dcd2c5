"""Which domains `cputune status` lists: those that their runtimes know, and those that only cputune knows."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from cputune.core.errors import CpuTuneError
from cputune.core.names import is_pattern
from cputune.runtimes import lookup
from cputune.runtimes.registry import QUALIFIED_ONLY, RUNTIMES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cputune.app.tuner import Tuner
    from cputune.core.model import Domain
    from cputune.drift.records import AppliedIndex
    from cputune.host.cgroup.cgroups import Cgroups


def all_domains(tuner: Tuner, wanted: tuple[str, ...], saved: Iterable[str], index: AppliedIndex) -> list[Domain]:
    """All domains of the `wanted` runtimes, or of all of them. `saved` are the names that something is saved for."""
    domains = list(lookup.domains(tuner.cgroups, wanted or RUNTIMES))
    known = {domain.qualified for domain in domains}
    domains += _saved_besides(tuner, [name for name in saved if name not in known and _is_of(name, wanted)], known)
    return domains + _limited_besides(tuner, domains, wanted, index)


def _is_of(name: str, wanted: tuple[str, ...]) -> bool:
    return not wanted or name.partition(":")[0] in wanted


def _saved_besides(tuner: Tuner, names: list[str], known: set[str]) -> list[Domain]:
    """Domains that something is saved for, but that no runtime lists: units that do not run."""
    found = []
    for name in names:
        if not is_pattern(name):
            with suppress(CpuTuneError):
                found.append(tuner.find(name))
    return [domain for domain in found if domain.qualified not in known]


def _limited_besides(tuner: Tuner, domains: list[Domain], wanted: tuple[str, ...], index: AppliedIndex) -> list[Domain]:
    """Cgroups that cputune has put something into force in, and that none of these domains has."""
    found: dict[str, Domain] = {}
    for runtime, name in index.names():
        if runtime in QUALIFIED_ONLY and (not wanted or runtime in wanted):
            with suppress(CpuTuneError):
                domain = tuner.find(f"{runtime}:{name}")
                if domain.limit_cgroup and index.current(domain):
                    found.setdefault(domain.limit_cgroup, domain)
    listed = {cgroup for domain in domains for cgroup in domain.cgroups} if found else set()
    return [domain for cgroup, domain in found.items() if cgroup not in listed]


def what_is_missing(cgroups: Cgroups, command: str) -> str | None:
    """What a list lacks since we may not read it, in words; None for nothing."""
    hidden = lookup.unreadable(cgroups)
    if not hidden:
        return None
    return f"skipped, permission denied: {', '.join(hidden)}; as root: sudo cputune {command}"
