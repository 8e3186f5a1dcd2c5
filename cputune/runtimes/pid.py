"""pid:N, the cgroup that a process is in."""

from __future__ import annotations

from collections.abc import Iterator

from cputune.core.errors import NoSuchDomain, UsageError
from cputune.core.model import Domain
from cputune.core.names import printable
from cputune.core.units import parse_integer
from cputune.host.cgroup.cgroups import Cgroups


def find(cgroups: Cgroups, name: str) -> tuple[Domain, ...]:
    """The cgroup of process `name`. Raises UsageError for what is no number."""
    pid = parse_integer(name)
    if pid is None or pid < 1:
        raise UsageError(f"pid:{printable(name)}: not the number of a process", "ps -e")
    try:
        path = cgroups.of_pid(pid)
    except NoSuchDomain:
        return ()
    facts = [("process", (cgroups.host.read_or_none(f"/proc/{pid}/comm") or "").strip())]
    # cpu is a threaded controller: threads may be in other cgroups than their process (cgroup-v2.rst, Threads).
    others = {
        found
        for task in cgroups.host.names(f"/proc/{pid}/task")
        if (found := cgroups.of_task(f"/proc/{pid}/task/{task}"))
    } - {path}
    facts += [("threads also in", ", ".join(sorted(others)))] if others else []
    return (Domain("pid", str(pid), running=True, persistent=False, limit=path, weight=path, facts=tuple(facts)),)


def domains(cgroups: Cgroups) -> Iterator[Domain]:
    """None: every process would be one."""
    return iter(())
