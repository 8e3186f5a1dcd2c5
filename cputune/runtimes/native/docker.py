"""docker remembers limits in hostconfig.json, and changes them by `docker update`."""

from __future__ import annotations

from typing import Any

from cputune.core.errors import Unsupported
from cputune.core.knobs import DEFAULT_PERIOD, UNLIMITED, Quota
from cputune.core.model import Change, Domain
from cputune.core.units import cpus_text
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import docker
from cputune.runtimes.json_files import integer_at, load_object
from cputune.runtimes.native.command import band_words, changed, default_shares, shares_in, shares_words
from cputune.runtimes.native.memory import Orders, Remembered, Run, Wanted, refuse, refuse_all_but

_KEYS = ("CpuShares", "CpuPeriod", "CpuQuota", "NanoCpus")


def read(cgroups: Cgroups, domain: Domain) -> Remembered:
    """The limits in hostconfig.json; 0 is nothing. Raises Unreadable."""
    found = load_object(cgroups, f"{domain.details.records}/hostconfig.json") or {}
    return Remembered(_change(found), tuple(integer_at(found, key) for key in _KEYS))


def _change(found: dict[str, Any]) -> Change:
    quota, period = integer_at(found, "CpuQuota"), integer_at(found, "CpuPeriod") or None
    if nano := integer_at(found, "NanoCpus"):  # --cpus: daemon/daemon_unix.go, getCPUResources, counts in 100 ms
        quota, period = nano * DEFAULT_PERIOD // 1_000_000_000, DEFAULT_PERIOD
    limit: Quota | None = UNLIMITED if quota < 0 else quota or None
    return Change(shares=integer_at(found, "CpuShares") or None, period=period, quota=limit)


def orders(cgroups: Cgroups, domain: Domain, wanted: Wanted) -> Orders:
    """The `docker update` that makes it remember `wanted`. Raises Unsupported."""
    refuse_all_but(domain, wanted.change, "shares", "weight", "period", "quota")
    container = docker.of_domain(cgroups, domain)
    socket = container.daemon.socket if container else None
    if container is None or socket is None:
        raise Unsupported(f"--native: where docker's daemon of {domain.qualified} can be reached is not known")
    found = container.hostconfig(cgroups)
    before, nano = _change(found), integer_at(found, "NanoCpus") > 0
    # As the user whose daemon it is: what is behind his socket may be anybody's.
    user = container.daemon.user.uid if container.daemon.user else None
    shares = shares_in(cgroups, domain, wanted.change)
    forward = [*_band_words(domain, wanted.change, nano=nano), *shares_words(shares)]
    old = shares if shares is None else before.shares or default_shares(cgroups, domain)
    back = [*(_band_words(domain, _restored(before), nano=nano) if wanted.change.quota else []), *shares_words(old)]

    def command(words: list[str]) -> tuple[Run, ...]:
        argv = ("docker", "-H", f"unix://{cgroups.host.real(socket)}", "update", *words, container.id)
        mend = "systemctl start docker" if user is None else "systemctl --user start docker"
        return (Run(argv, user, mend=mend),) if words else ()

    return Orders(command(forward), command(back), changed(before, wanted.change, shares))


def _restored(before: Change) -> Change:
    """docker takes 0 for "no change", so what it did not remember comes back as the default."""
    quota = UNLIMITED if before.quota is None else before.quota
    return before.replace(quota=quota, period=before.period or DEFAULT_PERIOD)


def _band_words(domain: Domain, change: Change, *, nano: bool) -> list[str]:
    if change.quota is None:
        return []
    if not nano:
        return band_words(change, "-1")
    # docker refuses period and quota for a container that was made with --cpus, and knows no way back from that.
    if change.quota is UNLIMITED:
        raise refuse(domain, "quota", "it was made with --cpus, which docker can change but not lift")
    if change.period != DEFAULT_PERIOD:
        hint = f"keep it: cputune set {domain.qualified} --period {DEFAULT_PERIOD} --cpus N --live --config --native"
        raise refuse(domain, "period", f"it was made with --cpus, whose period is always {DEFAULT_PERIOD}", hint)
    return ["--cpus", cpus_text(change.quota * 1_000_000 // DEFAULT_PERIOD)]
