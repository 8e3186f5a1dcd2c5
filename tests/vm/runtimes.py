"""The runtimes of the guest: what their domain is called, and what their own commands say and do."""

from __future__ import annotations

import os
from typing import NamedTuple

MODE = os.environ.get("CPUTUNE_VM_MODE", "unified")

_USER = "setpriv --reuid=1000 --regid=1000 --init-groups --reset-env env XDG_RUNTIME_DIR=/run/user/1000"
AS_USER = f"cd /; {_USER} DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus"
_ENGINE = (
    "{} inspect -f '{{{{.HostConfig.CpuQuota}}}} {{{{.HostConfig.CpuPeriod}}}} {{{{.HostConfig.CpuShares}}}}' mydom"
)
_DOCKER_USER = f"{AS_USER} docker -H unix:///run/user/1000/docker.sock"
_VIRSH = "virsh -c lxc:///"


class Runtime(NamedTuple):
    """One runtime."""

    key: str
    """In domains.sh."""
    domain: str
    weight: int
    """What 512 shares are on v2."""
    remembers: str | None = None
    """Prints what the runtime itself says that it remembers; None where it remembers nothing."""
    expected: str = ""
    """What that is after 37000 of 50000 microseconds and 512 shares."""
    shares: bool = True
    """Whether it can be made to remember shares."""
    update: str | None = None
    """Its own command for another knob."""
    forgets: bool = False
    """Whether that command writes back the limits that it remembers."""
    when_stopped: bool = True
    """Whether it can be found while it does not run."""


def _unit(name: str) -> tuple[str, str, str]:
    show = f"systemctl show {name} -p CPUQuotaPerSecUSec -p CPUQuotaPeriodUSec | sort | cut -d= -f2 | xargs"
    return show, "740ms 50ms", f"systemctl set-property --runtime {name} MemoryMax=300M"


def _lxd(command: str) -> tuple[str, str, str]:
    return (
        f"{command} config get mydom limits.cpu.allowance",
        "37ms/50ms",
        f"{command} config set mydom limits.memory 300MiB",
    )


def _all() -> list[Runtime]:
    unit, nspawn = _unit("mydom.service"), _unit("systemd-nspawn@mydom.service")
    incus, lxd = _lxd("incus"), _lxd("lxc")
    memory = "update --memory 200m --memory-swap 400m mydom"

    def engine(key: str, domain: str, command: str) -> Runtime:
        shown = "37000 50000 512"
        return Runtime(
            key,
            domain,
            20,
            _ENGINE.format(command),
            shown,
            update=f"{command} {memory}",
            forgets=command.endswith("podman"),
        )

    lxc = "grep -h ^lxc.cgroup /var/lib/lxc/mydom/config | tr -d ' ' | sort | xargs"
    of_lxc = (
        "lxc.cgroup2.cpu.max=3700050000 lxc.cgroup2.cpu.weight=50"
        if MODE == "unified"
        else "lxc.cgroup.cpu.cfs_period_us=50000 lxc.cgroup.cpu.cfs_quota_us=37000 lxc.cgroup.cpu.shares=512"
    )
    setmem = f"{_VIRSH} setmem mydom 100MiB --live"
    virsh = f"{_VIRSH} schedinfo mydom --config | sed -n 's/.*: \\([0-9-]*\\)$/\\1/p' | xargs"
    found = [
        Runtime("unit", "systemd:mydom.service", 50, *unit[:2], update=unit[2]),
        Runtime("nspawn", "nspawn:mydom", 50, *nspawn[:2], update=nspawn[2]),
        Runtime("lxc", "lxc:mydom", 50, lxc, of_lxc, update="lxc-cgroup -n mydom pids.max 5000"),
        Runtime("libvirt", "libvirt:mydom", 512, virsh, "512 50000 37000", update=setmem),
        engine("docker", "docker:mydom", "docker"),
        engine("podman", "podman:mydom", "podman"),
        Runtime("incus", "incus:mydom", 50, *incus[:2], update=incus[2], shares=False),
        Runtime("lxd", "lxd:mydom", 50, *lxd[:2], update=lxd[2], shares=False),
        Runtime("runc", "oci:runc/mydom", 20, when_stopped=False),
        Runtime("runc-systemd", "oci:runc/mydom-sd", 20, when_stopped=False),
        Runtime("crun", "oci:crun/mydom", 20, when_stopped=False),
        Runtime("crun-systemd", "oci:crun/mydom-sd", 20, when_stopped=False),
        Runtime("ctr", "cri:mydom", 20),
        Runtime("cri", "cri:default/pod/mydom", 20, update="cri update pod mydom memory=100000000"),
    ]
    if MODE == "unified":  # on v1 nothing of a user's has a cpu cgroup
        user = f"{AS_USER} systemctl --user"
        show = f"{user} show mydom.service -p CPUQuotaPerSecUSec -p CPUQuotaPeriodUSec | sort | cut -d= -f2 | xargs"
        update = f"{user} set-property --runtime mydom.service MemoryMax=300M"
        found += [
            Runtime("user", "systemd:1000/mydom.service", 50, show, "740ms 50ms", update=update),
            engine("docker-user", "docker:1000/mydom", _DOCKER_USER),
            engine("podman-user", "podman:1000/mydom", f"{AS_USER} podman"),
        ]
    return found


ALL = {runtime.key: runtime for runtime in _all()}
DOMAINS = {key: runtime.domain for key, runtime in ALL.items()}
REMEMBERING = {key: runtime for key, runtime in ALL.items() if runtime.remembers}

# Starting any unit in a slice after a reload is the moment at which systemd writes its own values over others'.
SLICES = ("system.slice", "machine.slice")
NEIGHBOURS = "; ".join(f"systemd-run -q --wait --slice={name} true" for name in SLICES)
