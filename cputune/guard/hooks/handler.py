"""What cputune does when a runtime calls its hook: it applies what is saved for the container, before that runs.

A hook never keeps a container from starting. Its caller logs the errors, and does nothing else about them.
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

_LOCK_SECONDS = 5.0
"""Seconds to wait for another cputune that works on the container: its start is held up meanwhile."""
_CGROUP_SECONDS = 30.0
"""Seconds in which a libvirt domain that is being started gets its cgroup; after that, its start has failed."""
_OVERWRITE_SECONDS = 1.0
"""Seconds in which libvirt writes its own values to a new cgroup, so that ours have to be written again."""
_BUSY_SECONDS = 3.0
"""Seconds of looking for the cgroup at short intervals, since it is usually made at once."""
_SHORT_INTERVAL, _LONG_INTERVAL = 0.001, 0.02
"""Seconds between two looks at whether a libvirt domain has its cgroup: at first, and later."""


def handle(
    tuner: Tuner, runtime: str, arguments: tuple[str, ...], environment: Mapping[str, str], stdin: Callable[[], str]
) -> Domain | None:
    """Apply what is saved for the container that the call is about; returns its domain, None if nothing was applied.

    What a runtime tells its hook is in the arguments, in the environment or on stdin. Raises CpuTuneError.
    """
    tuner.patience = _LOCK_SECONDS
    domain = _subject(tuner, runtime, arguments, environment, stdin)
    return domain if domain and apply(tuner, domain) else None


def apply(tuner: Tuner, domain: Domain) -> bool:
    """Apply what is saved for a domain; returns whether anything is. Raises CpuTuneError."""
    change = tuner.store().effective(domain).change
    if change.named():
        tuner.change([Job(domain, Request(change), "live")], enter=False)
    return bool(change.named())


def _subject(
    tuner: Tuner, runtime: str, arguments: tuple[str, ...], environment: Mapping[str, str], stdin: Callable[[], str]
) -> Domain | None:
    """Return the domain that the call is about; None if there is nothing to do for it now."""
    if not runtime:
        raise UsageError("cputune hook run needs a RUNTIME", "cputune hook show")
    if runtime in ("podman", "runc", "crun"):
        return _oci_subject(tuner, runtime, stdin())
    if runtime == "lxc":
        name = environment.get("LXC_NAME", "")
        if not name:
            raise UsageError("lxc passed no container name in LXC_NAME", "cputune hook show")
        return tuner.find(f"lxc:{name}")
    if len(arguments) < 1:
        raise UsageError(f"{runtime} passed no domain name", "cputune hook show")
    name = f"{runtime}:{arguments[0]}"
    if runtime == "libvirt" and arguments[1:3] == ("start", "begin"):
        _apply_in_background(tuner, name)
        return None
    if runtime == "libvirt" and arguments[1:3] != ("started", "begin"):
        return None
    return tuner.find(name)


def _apply_in_background(tuner: Tuner, name: str) -> None:
    """Leave a process behind that applies what is saved as soon as the libvirt domain has its cgroup.

    libvirt calls its hook with `start` before it makes the cgroup, and with `started` after the first instruction. In
    between, libvirt_lxc sets up the container, and calls no hook. https://libvirt.org/hooks.html
    """
    domain = tuner.find(name)
    if not tuner.store().effective(domain).change.named() or os.fork() != 0:
        return
    try:
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)  # libvirt waits until nobody has its pipes open any more
        for fd in range(3):
            os.dup2(null, fd)
        _apply_when_ready(tuner, name)
    finally:
        os._exit(0)


def _apply_when_ready(tuner: Tuner, name: str) -> None:
    """Apply what is saved once the domain has its cgroup, and again and again while libvirt may overwrite it."""
    begun = time.monotonic()
    end, applied = begun + _CGROUP_SECONDS, False
    while (now := time.monotonic()) < end:
        with suppress(CpuTuneError):
            if lookup.is_settled(domain := tuner.find(name)) and apply(tuner, domain) and not applied:
                end, applied = time.monotonic() + _OVERWRITE_SECONDS, True
        time.sleep(_SHORT_INTERVAL if now - begun < _BUSY_SECONDS else _LONG_INTERVAL)


def _oci_subject(tuner: Tuner, runtime: str, stdin: str) -> Domain | None:
    """Return the domain of a container whose state, as the OCI runtime specification has it, is on stdin.

    Its init process waits for the hook, and is in its cgroup already; no list has the container yet.
    """
    state = parse_object(stdin)
    pid, id_ = integer_at(state, "pid"), string_at(state, "id")
    if pid <= 0 or not id_:
        raise UsageError(f"{runtime} passed no container state on stdin", "cputune hook show")
    if not tuner.cgroups.host.in_first_user_namespace():
        return None  # rootless: user ids and cgroups look different from here; the guard finds the container
    cgroup = tuner.cgroups.of_pid(pid)
    if runtime == "podman":
        return next(lookup.of_cgroup(tuner.cgroups, cgroup, ("podman",)), None)
    from cputune.runtimes import oci

    return oci.starting(tuner.cgroups, runtime, id_, pid, cgroup)


def own_environment() -> Mapping[str, str]:
    """Return the environment, with a PATH in which busctl is found: some runtimes call their hooks without one."""
    os.environ.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    return os.environ
