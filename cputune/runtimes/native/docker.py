"""docker remembers limits in hostconfig.json; `docker update` changes them."""

from __future__ import annotations

from typing import Any

from cputune.core.errors import Unsupported
from cputune.core.knobs import DEFAULT_PERIOD, KNOB, UNLIMITED, Quota
from cputune.core.model import Change, Domain
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import docker
from cputune.runtimes.json_files import integer_at, load_object
from cputune.runtimes.native.settings import (
    NativePlan,
    RunCommand,
    Settings,
    WantedSettings,
    cannot_remember,
    refuse_other_knobs,
)
from cputune.runtimes.native.update import bandwidth_options, plan_update

_KEYS = ("CpuShares", "CpuPeriod", "CpuQuota", "NanoCpus")


def read(cgroups: Cgroups, domain: Domain) -> Settings:
    """Return the limits in hostconfig.json, where 0 stands for none. Raises Unreadable."""
    found = load_object(cgroups, f"{domain.details.records}/hostconfig.json", domain.details.owner or 0) or {}
    return Settings(_change_in(found), tuple(integer_at(found, key) for key in _KEYS))


def _change_in(hostconfig: dict[str, Any]) -> Change:
    quota, period = integer_at(hostconfig, "CpuQuota"), integer_at(hostconfig, "CpuPeriod") or None
    if nano := integer_at(hostconfig, "NanoCpus"):  # --cpus: daemon/daemon_unix.go, getCPUResources, counts in 100 ms
        quota, period = nano * DEFAULT_PERIOD // 1_000_000_000, DEFAULT_PERIOD
    limit: Quota | None = UNLIMITED if quota < 0 else quota or None
    return Change(shares=integer_at(hostconfig, "CpuShares") or None, period=period, quota=limit)


def plan(cgroups: Cgroups, domain: Domain, wanted: WantedSettings) -> NativePlan:
    """Return the `docker update` that makes docker remember `wanted`. Raises Unsupported, Unreadable."""
    refuse_other_knobs(domain, wanted.change, "shares", "weight", "period", "quota")
    container = docker.of_domain(cgroups, domain)
    socket = container.daemon.socket if container else None
    if container is None or socket is None:
        raise Unsupported(f"--native: the socket of the docker daemon that runs {domain.qualified} is not known")
    hostconfig = container.hostconfig(cgroups)
    options = _options_of_cpus if integer_at(hostconfig, "NanoCpus") > 0 else _options
    # As the user whose daemon it is: anything may listen at a user's socket.
    user = container.daemon.user.uid if container.daemon.user else None
    hint = "systemctl start docker" if user is None else "systemctl --user start docker"
    program = ("docker", "-H", f"unix://{cgroups.host.real(socket)}", "update")
    return plan_update(
        cgroups,
        domain,
        _change_in(hostconfig),
        wanted.change,
        lambda change: options(domain, change),
        lambda words: RunCommand((*program, *words, container.id), user, hint=hint),
    )


def _options(domain: Domain, change: Change) -> list[str]:
    return bandwidth_options(change, "-1")


def _options_of_cpus(domain: Domain, change: Change) -> list[str]:
    """Return the options for a container made with --cpus: docker refuses period and quota for it."""
    if change.quota is None:
        return []
    if change.quota is UNLIMITED:
        raise cannot_remember(domain, "quota", "it was made with --cpus, which docker can change but not lift")
    if change.period != DEFAULT_PERIOD:
        hint = f"keep it: cputune set {domain.qualified} --period {DEFAULT_PERIOD} --cpus N --live --config --native"
        raise cannot_remember(
            domain, "period", f"it was made with --cpus, whose period is always {DEFAULT_PERIOD}", hint
        )
    return ["--cpus", KNOB["cpus"].format(change.quota * 1_000_000 // DEFAULT_PERIOD)]
