"""LXC's containers on a fake host, their saved configurations, and the whole state of a host to compare."""

from __future__ import annotations

import os
from pathlib import Path

from cputune.host.system import Host
from tests.support.fakekernel import FakeKernel, Kernel

MANY = """\
version: 1
# half a CPU
domain: "docker:web"
quota: 50000  # of 100000
---
version: 1
domain: "docker:web-*"
shares: 512
"""
"""Two saved configurations in one file."""


def add_lxc(host: FakeKernel, name: str) -> str:
    """A running LXC container with a definition, so a persistent domain; returns its payload cgroup."""
    payload, monitor = f"/lxc.payload.{name}", f"/lxc.monitor.{name}"
    for cgroup in (payload, monitor):
        host.mkdir(host.mount + cgroup)
    define_lxc(host, name)
    number = len(host.names("/var/lib/lxc"))
    pid = 1000 + 10 * number
    host.add_process(pid, monitor, f"[lxc monitor] /var/lib/lxc {name}")
    host.add_process(pid + 1, payload, "/sbin/init", parent=pid)
    sockets = host.read_or_none("/proc/1/net/unix") or "Num RefCount Protocol Flags Type St Inode Path\n"
    line = f"0000000000000000: 00000002 00000000 00010000 0001 01 {20000 + number} @/var/lib/lxc/{name}/command\n"
    host.put_file("/proc/1/net/unix", sockets + line)
    return payload


def two_containers(folder: Path, kernel: Kernel, saved: str) -> FakeKernel:
    """A host with two LXC containers: web, limited, with this saved configuration; and db, idle."""
    host = FakeKernel(folder, kernel)
    add_lxc(host, "web")
    add_lxc(host, "db")
    host.put_file("/etc/cputune/domains/lxc/web.yaml", saved)
    v1 = [("web", "cpu.shares", "300"), ("web", "cpu.cfs_quota_us", "50000"), ("web", "cpu.cfs_burst_us", "20000")]
    v1 += [("db", "cpu.cfs_period_us", "40000"), ("db", "cpu.idle", "1")]
    v2 = [("web", "cpu.weight", "300"), ("web", "cpu.max", "50000"), ("web", "cpu.max.burst", "20000")]
    v2 += [("db", "cpu.max", "max 40000"), ("db", "cpu.idle", "1")]
    for domain, file, text in v1 if kernel.version == 1 else v2:
        host.write(f"{host.mount}/lxc.payload.{domain}/{file}", text)
    return host


def define_lxc(host: FakeKernel, name: str) -> None:
    """An LXC container's definition: the domain exists, and does not run."""
    host.put_file(f"/var/lib/lxc/{name}/config", f"lxc.uts.name = {name}\n")


def snapshot(host: FakeKernel) -> dict[str, str]:
    """Every file of a host but the lock: two that are equal are the same state."""
    files: dict[str, str] = {}
    for folder, _, names in os.walk(host.root):
        for name in names:
            path = os.path.join(folder, name)
            files[path.removeprefix(host.root)] = Path(path).read_text()
    files.pop("/run/cputune/locks", None)
    return files


def containers(folder: Path, version: int) -> FakeKernel:
    host = FakeKernel(folder, Kernel(version))
    for name in ("web", "db"):
        add_lxc(host, name)
    define_lxc(host, "old")
    return host


def config_of(host: Host, name: str) -> Path:
    return Path(host.config_dir) / f"domains/lxc/{name}.yaml"


def save(host: Host, name: str, text: str) -> Path:
    path = config_of(host, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
