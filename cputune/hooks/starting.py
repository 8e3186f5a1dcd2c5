"""What cputune does when a runtime calls its hook: what is saved for the container goes into force, before it runs.

No hook ever keeps a container from starting: what cannot be is told, and that is all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from cputune import runtimes
from cputune.errors import UsageError
from cputune.model import Domain, Request
from cputune.planner import Job
from cputune.runtimes.records import number, parsed, text

if TYPE_CHECKING:
    from cputune.tune import Tuner

_PATIENCE = 5.0
"""Seconds for which another cputune is waited for: somebody waits for the container."""


def started(
    tuner: Tuner, runtime: str, arguments: tuple[str, ...], environment: Mapping[str, str], stdin: Callable[[], str]
) -> Domain | None:
    """Put what is saved into force; the domain, where anything is saved for it. Raises CpuTuneError."""
    tuner.patience = _PATIENCE
    domain = _domain(tuner, runtime, arguments, environment, stdin)
    change = tuner.store().effective(domain).change if domain else None
    if domain is None or change is None or not change.named():
        return None
    tuner.change([Job(domain, Request(change), "live")], enter=False)
    return domain


def _domain(
    tuner: Tuner, runtime: str, arguments: tuple[str, ...], environment: Mapping[str, str], stdin: Callable[[], str]
) -> Domain | None:
    """Whom the hook is about, by what the runtime tells it; None where it is about something else."""
    if runtime in ("podman", "runc", "crun"):
        state = parsed(stdin())
        pid, id_ = number(state, "pid"), text(state, "id")
        if pid <= 0 or not id_:
            raise UsageError(
                "a runtime gives its hook the state of the container on standard input", "cputune hook show"
            )
        return _of_oci(tuner, runtime, id_, pid)
    if runtime == "lxc":
        name = environment.get("LXC_NAME", "")
        if not name:
            raise UsageError("LXC gives its hook the name of the container in LXC_NAME", "cputune hook show")
        return tuner.find(f"lxc:{name}")
    if len(arguments) < 1:
        raise UsageError(f"{runtime} gives its hook the name of the domain", "cputune hook show")
    if runtime == "libvirt" and arguments[1:3] != ("started", "begin"):
        return None
    return tuner.find(f"{runtime}:{arguments[0]}")


def _of_oci(tuner: Tuner, runtime: str, id_: str, pid: int) -> Domain | None:
    """The container whose init, which waits for us, is this process: it is in its cgroup already, and in no list."""
    cgroup = tuner.site.of_pid(pid)
    if runtime == "podman":
        owners = runtimes.of_cgroup(tuner.site, cgroup, ("podman",))
        return next(owners, None)
    from cputune.runtimes import oci

    return oci.starting(tuner.site, runtime, id_, pid, cgroup)


def own_environment() -> Mapping[str, str]:
    """The environment that a runtime calls us with: it may have no PATH, in which busctl would be found."""
    os.environ.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    return os.environ
