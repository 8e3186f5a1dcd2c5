"""The cgroup that a process is in."""

from __future__ import annotations

from collections.abc import Iterator

from cputune.core.errors import NoSuchDomain, UsageError
from cputune.core.model import Details, Domain
from cputune.core.names import printable
from cputune.core.units import parse_integer
from cputune.host.cgroup.cgroups import Cgroups


def find(cgroups: Cgroups, name: str) -> Iterator[Domain]:
    """Yield the cgroup of the process with that number. Raises UsageError for what is no number."""
    pid = parse_integer(name)
    if pid is None or pid < 1:
        raise UsageError(f"pid:{printable(name)}: not the number of a process", "ps -e")
    try:
        path = cgroups.of_pid(pid)
    except NoSuchDomain:
        return
    details = Details(
        process=(cgroups.host.read_or_none(f"/proc/{pid}/comm") or "").strip(),
        threads_also_in=tuple(sorted(_cgroups_of_threads(cgroups, pid) - {path})),
    )
    yield Domain(
        "pid", str(pid), running=True, persistent=False, limit_cgroup=path, weight_cgroup=path, details=details
    )


def _cgroups_of_threads(cgroups: Cgroups, pid: int) -> set[str]:
    """Return the cgroups of all threads: cpu is a threaded controller (cgroup-v2.rst, Threads)."""
    tasks = cgroups.host.names(f"/proc/{pid}/task")
    return {found for task in tasks if (found := cgroups.of_task(f"/proc/{pid}/task/{task}"))}


def domains(cgroups: Cgroups) -> Iterator[Domain]:
    """Yield nothing: every process would be a domain."""
    return iter(())
