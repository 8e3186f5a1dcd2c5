"""What cputune does when a runtime calls its hook: what is saved for the container goes into force, before it runs.

No hook ever keeps a container from starting: what cannot be is told, and that is all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from cputune.core.errors import CpuTuneError, UsageError
from cputune.core.model import Domain, Request
from cputune.planning.plan import Job
from cputune.runtimes import lookup
from cputune.runtimes.json_files import integer_at, parse_object, string_at

if TYPE_CHECKING:
    from cputune.app.tuner import Tuner

_PATIENCE = 5.0
"""Seconds for which another cputune is waited for: somebody waits for the container."""
_LONGEST, _SOON = 30.0, 3.0
_OWN = 1.0
"""Seconds within which libvirt has written its own values, after it made the cgroup."""
_SHORT, _LONG = 0.001, 0.02
"""Seconds between two looks whether a domain of libvirt's has its cgroup: at first, and later."""


def started(
    tuner: Tuner, runtime: str, arguments: tuple[str, ...], environment: Mapping[str, str], stdin: Callable[[], str]
) -> Domain | None:
    """Put what is saved into force; the domain, where anything is saved for it. Raises CpuTuneError."""
    tuner.patience = _PATIENCE
    domain = _domain(tuner, runtime, arguments, environment, stdin)
    return domain if domain and put(tuner, domain) else None


def put(tuner: Tuner, domain: Domain) -> bool:
    """Put what is saved for a domain into force; whether anything is. Raises CpuTuneError."""
    change = tuner.store().effective(domain).change
    if change.named():
        tuner.change([Job(domain, Request(change), "live")], enter=False)
    return bool(change.named())


def _domain(
    tuner: Tuner, runtime: str, arguments: tuple[str, ...], environment: Mapping[str, str], stdin: Callable[[], str]
) -> Domain | None:
    """Whom the hook is about, by what the runtime tells it; None where it is about something else."""
    if not runtime:
        raise UsageError("the hook names its runtime", "cputune hook show")
    if runtime in ("podman", "runc", "crun"):
        state = parse_object(stdin())
        pid, id_ = integer_at(state, "pid"), string_at(state, "id")
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
    name = f"{runtime}:{arguments[0]}"
    if runtime == "libvirt" and arguments[1:3] == ("start", "begin"):
        _await(tuner, name)
        return None
    if runtime == "libvirt" and arguments[1:3] != ("started", "begin"):
        return None
    return tuner.find(name)


def _await(tuner: Tuner, name: str) -> None:
    """Have a process of our own put what is saved into force as soon as the domain has its cgroup.

    libvirt's hook `start` is called before it makes the cgroup, and `started` when the first instruction has run: in
    between, its controller sets up the container. (https://libvirt.org/hooks.html)
    """
    domain = tuner.find(name)
    if not tuner.store().effective(domain).change.named() or os.fork() != 0:
        return
    try:
        os.setsid()
        nothing = os.open("/dev/null", os.O_RDWR)  # libvirt waits until nobody has what it gave us any more
        for number in range(3):
            os.dup2(nothing, number)
        _put_soon(tuner, name)
    finally:
        os._exit(0)


def _put_soon(tuner: Tuner, name: str) -> None:
    """Put what is saved into force once the domain is there, and again where libvirt writes its own after it."""
    end, last = time.monotonic() + _LONGEST, 0.0
    while time.monotonic() < (last or end):
        with suppress(CpuTuneError):
            if lookup.is_settled(domain := tuner.find(name)) and put(tuner, domain):
                last = last or time.monotonic() + _OWN
        time.sleep(_SHORT if end - time.monotonic() > _LONGEST - _SOON else _LONG)


def _of_oci(tuner: Tuner, runtime: str, id_: str, pid: int) -> Domain | None:
    """The container whose init, which waits for us, is this process: it is in its cgroup already, and in no list."""
    if not tuner.cgroups.host.in_first_user_namespace():
        return None  # rootless: nothing here is what it seems, root neither; the guard knows the container by its user
    cgroup = tuner.cgroups.of_pid(pid)
    if runtime == "podman":
        owners = lookup.of_cgroup(tuner.cgroups, cgroup, ("podman",))
        return next(owners, None)
    from cputune.runtimes import oci

    return oci.starting(tuner.cgroups, runtime, id_, pid, cgroup)


def own_environment() -> Mapping[str, str]:
    """The environment that a runtime calls us with: it may have no PATH, in which busctl would be found."""
    os.environ.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    return os.environ
