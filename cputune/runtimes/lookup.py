"""Who knows which domain: one small module per runtime, imported when it is asked.

A runtime is a module with `find(cgroups, name)`, which yields every domain of exactly that name (more than one where
several users or daemons have one), and `domains(cgroups)`. It looks into files, never asks a daemon where a file
tells it, and returns cgroup paths of the cpu hierarchy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING

from cputune.core.errors import Ambiguous, CpuTuneError, NoPermission, NoSuchDomain, UsageError
from cputune.core.model import Domain, Scale
from cputune.core.names import check, has_parts, is_pattern, printable
from cputune.host.systemd import is_unit_name

if TYPE_CHECKING:
    from typing import Protocol

    from cputune.host.cgroup.cgroups import Cgroups

    class Runtime(Protocol):
        """What each module here is."""

        def find(self, cgroups: Cgroups, name: str) -> Iterable[Domain]: ...
        def domains(self, cgroups: Cgroups) -> Iterator[Domain]: ...

    class Recognizing(Protocol):
        """One of PERSISTENT."""

        def of_cgroup(self, cgroups: Cgroups, cgroup: str) -> Domain | None: ...

    class WithIds(Protocol):
        """One of WITH_IDS."""

        def by_prefix(self, cgroups: Cgroups, prefix: str) -> Iterable[Domain]: ...

    class Askable(Protocol):
        """One of ASKABLE."""

        def ask(self, cgroups: Cgroups, name: str) -> Iterable[Domain]: ...


RUNTIMES = (
    "libvirt", "lxc", "incus", "lxd", "nspawn", "docker", "podman", "cri", "oci", "run", "systemd", "cgroup", "pid",
)  # fmt: skip
PERSISTENT = (*RUNTIMES[: RUNTIMES.index("run")], "systemd")
"""These know domains that come back, so that something can be saved for them; their modules have `of_cgroup`."""
BY_PREFIX_ONLY = ("cgroup", "pid")
"""These name a thing rather than know it: a bare name never means one of theirs."""
WITH_IDS = ("docker", "podman", "cri")
"""These give ids, which may be shortened; their modules have `by_prefix`."""
ASKABLE = ("cri",)
"""These have domains that no file tells of; asked only for a name that says so, since it takes its time."""
SOURCES = {
    "docker": ("/var/lib/docker",),
    "podman": ("/var/lib/containers/storage/overlay-containers",),
    "incus": ("/var/lib/incus/containers",),
    "lxd": ("/var/lib/lxd/containers", "/var/snap/lxd/common/lxd/containers"),
    "cri": ("/run/containerd/io.containerd.runtime.v2.task",),
    "oci": ("/run/runc", "/run/crun"),
    "lxc": ("/var/lib/lxc",),
}
"""Where root's domains are listed: what of it cannot be read is said where a name is not found."""
_OCI = ("docker", "podman", "cri", "oci")
"""Those whose containers runc or crun runs."""
_ID = re.compile(r"[0-9a-f]+")
_SHORTEST_BARE_ID = 12
"""A name without its runtime means an id only if it is as long as those that docker and podman show."""


def module(runtime: str) -> Runtime:
    """The module of a runtime."""
    found: Runtime = import_module(f"cputune.runtimes.{runtime}")
    return found


def _with_ids(runtime: str) -> WithIds:
    found: WithIds = import_module(f"cputune.runtimes.{runtime}")
    return found


def _askable(runtime: str) -> Askable:
    found: Askable = import_module(f"cputune.runtimes.{runtime}")
    return found


def _recognizing(runtime: str) -> Recognizing:
    found: Recognizing = import_module(f"cputune.runtimes.{runtime}")
    return found


def of_cgroup(cgroups: Cgroups, cgroup: str, searched: Iterable[str]) -> Iterator[Domain]:
    """The domains of some of PERSISTENT whose own cgroup this is, from when it is made, as far as that can be told.

    Where a runtime chose a name that says nothing, only its list of domains tells.
    """
    for runtime in searched:
        try:
            domain = _recognizing(runtime).of_cgroup(cgroups, cgroup)
        except CpuTuneError:  # it may go away at any moment
            continue
        if domain:
            yield domain


def prepare(cgroups: Cgroups, searched: Iterable[str]) -> None:
    """Load and find out ahead what `of_cgroup` would otherwise need time for, the first time."""
    for runtime in searched:
        _recognizing(runtime)
        if runtime in _OCI:
            from cputune.runtimes import oci_scale

            oci_scale.prepare(cgroups)


def split(name: str) -> tuple[str | None, str]:
    """RUNTIME:NAME into its parts; (None, name) for a bare name, also for one with a colon of its own."""
    runtime, colon, rest = name.partition(":")
    return (runtime, rest) if colon and runtime in RUNTIMES else (None, name)


def find(cgroups: Cgroups, name: str) -> Domain:
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
    found = [domain for known in searched for domain in module(known).find(cgroups, rest)]
    what = "is the name of more than one domain"
    if not found and (found := _by_id(cgroups, rest, searched, bare=runtime is None)):
        what = "begins the id of more than one container"
    if not found and runtime in ASKABLE:
        found = list(_askable(runtime).ask(cgroups, rest))
    if len(found) > 1 and runtime:
        # Where several users have the name, it is root's own as it stands, and theirs as they are listed.
        found = [domain for domain in found if domain.name == rest] or found
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(printable(domain.qualified) for domain in found)
        raise Ambiguous(f"{printable(name)} {what}: {names}", "name one of them as it is here")
    if is_pattern(rest) and runtime in (None, *PERSISTENT):  # nothing is really called so
        return _pattern(cgroups, runtime, rest)
    raise _not_found(cgroups, name, searched)


def refuse_impossible(runtime: str, name: str) -> None:
    """Raise UsageError for a name that no domain of this runtime can have, and no pattern that could fit one. Pure."""
    if runtime != "systemd" and not has_parts(name, 2 if runtime == "oci" else 1):  # a unit's name may have anything
        hint = f"say: {runtime}:runc/{name}, or crun/{name}" if runtime == "oci" and "/" not in name else None
        raise UsageError(f"no domain can be called {runtime}:{printable(name)}", hint or "cputune status")


def _pattern(cgroups: Cgroups, runtime: str | None, name: str) -> Domain:
    """What stands for all domains of a runtime that a pattern fits: something can be saved for it, no more."""
    if runtime is None:
        raise UsageError(f"{printable(name)}: a pattern has to say whose domains it means", f"say: docker:{name}")
    refuse_impossible(runtime, name)
    return Domain(runtime, name, running=False, persistent=True, scale=_scale(cgroups, runtime))


def _scale(cgroups: Cgroups, runtime: str) -> Scale:
    """How a runtime reads shares; of OCI runtimes, the one that it comes with."""
    if runtime in _OCI:
        from cputune.runtimes.oci_scale import scale_of

        return scale_of(cgroups, "crun" if runtime == "podman" else "runc")[0]
    return Scale.WEIGHT if runtime == "libvirt" and cgroups.hierarchy.version == 2 else Scale.KERNEL


def _by_id(cgroups: Cgroups, prefix: str, searched: tuple[str, ...], *, bare: bool) -> list[Domain]:
    """The domains whose id begins so; a name, which is looked for first, may be the beginning of another's id."""
    if not _ID.fullmatch(prefix.rpartition("/")[2]) or (bare and len(prefix) < _SHORTEST_BARE_ID):
        return []
    return [domain for known in WITH_IDS if known in searched for domain in _with_ids(known).by_prefix(cgroups, prefix)]


def not_ours(cgroups: Cgroups, searched: tuple[str, ...] = RUNTIMES) -> list[str]:
    """Where some runtimes list their domains, as far as we may not look there."""
    return [
        path
        for known in searched
        for path in SOURCES.get(known, ())
        if cgroups.host.exists(path) and not cgroups.host.may_list(path)
    ]


def _not_found(cgroups: Cgroups, name: str, searched: tuple[str, ...]) -> CpuTuneError:
    hidden = not_ours(cgroups, searched)
    if not hidden:
        return NoSuchDomain(f"no domain {printable(name)}", "list the names: cputune status")
    if len(searched) == 1:
        return NoPermission(
            f"cannot look for {printable(name)}: {cgroups.host.real(hidden[0])} is not ours to read",
            "run it as root: sudo cputune ...",
        )
    return NoSuchDomain(
        f"no domain {printable(name)}; not looked into, being not ours to read: {', '.join(hidden)}",
        "run it as root: sudo cputune ...",
    )


def domains(cgroups: Cgroups, runtimes: tuple[str, ...] = RUNTIMES) -> Iterator[Domain]:
    """All domains of these runtimes.

    A unit that another runtime's domain lives in is listed once, as that domain; so is a container of docker's that is
    also one of a containerd namespace of its own.
    """
    taken: set[str] = set()
    for runtime in runtimes:
        for domain in module(runtime).domains(cgroups):
            if runtime in ("cri", "systemd") and domain.limit in taken:
                continue
            taken |= {cgroup for cgroup in (domain.limit, domain.weight) if cgroup}
            yield domain
