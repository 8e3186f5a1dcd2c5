"""Hooks of real runtimes: what is saved is in force before a container's first instruction, which reads it itself."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator

import pytest

from tests.vm.machine import Vm
from tests.vm.runtimes import MODE

# What a container sees of the cgroups differs: its own at the top, or the host's tree, in which it knows its place.
READ = (
    'for file in "/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/cpu.max" /sys/fs/cgroup/cpu.max '
    '"/sys/fs/cgroup/cpu,cpuacct$(sed -n "s/^[0-9]*:cpu,cpuacct://p" /proc/self/cgroup)/cpu.cfs_quota_us" '
    "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us; do cat $file 2>/dev/null && break; done"
)
QUOTA = "21000"
SAW = f"{QUOTA} 100000" if MODE == "unified" else QUOTA
TREES = {
    "lxc": ("lxc:mydom", "/var/lib/lxc/mydom/rootfs", ""),
    "libvirt": ("libvirt:mydom", "/srv/libvirt/mydom", ""),
    "runc": ("oci:runc/mydom", "/srv/oci/runc/mydom/rootfs", "/srv/oci/runc/mydom"),
    "crun": ("oci:crun/mydom", "/srv/oci/crun/mydom/rootfs", "/srv/oci/crun/mydom"),
    "runc-systemd": ("oci:runc/mydom-sd", "/srv/oci/runc/mydom-sd/rootfs", "/srv/oci/runc/mydom-sd"),
    "crun-systemd": ("oci:crun/mydom-sd", "/srv/oci/crun/mydom-sd/rootfs", "/srv/oci/crun/mydom-sd"),
}
"""Domain, root and bundle of those whose init is a script that can be changed."""
if MODE != "unified":
    del TREES["lxc"]  # on v1 it sees no cgroup at all, so it cannot tell


@pytest.fixture(autouse=True)
def _nothing_saved(vm: Vm) -> Iterator[None]:
    vm.check("rm -rf /etc/cputune")
    yield
    vm.check("rm -rf /etc/cputune")


def saw(vm: Vm, path: str) -> str:
    """What the first command has left in a file."""
    deadline = time.monotonic() + 60
    while not (text := vm.run(f"cat {path} 2>/dev/null").stdout.strip()):
        assert time.monotonic() < deadline
    return text


@pytest.mark.parametrize("key", TREES)
def test_it_is_in_force_before_the_first_instruction(vm: Vm, key: str) -> None:
    domain, tree, bundle = TREES[key]
    runtime = key.partition("-")[0]
    vm.check(f"cputune set {domain} --quota {QUOTA} --period 100000 --config")
    files = f"{bundle}/config.json" if bundle else "/var/lib/lxc/mydom/config /etc/lxc/default.conf"
    before = vm.check(f"cat {files}")
    line = f"({READ}) >/first"
    vm.check(f"cp {tree}/sbin/init {tree}/sbin/init.kept; sed -i {shlex.quote(f'2i {line}')} {tree}/sbin/init")
    vm.check(f"cputune hook install {runtime} {bundle}")
    try:
        assert ": installed\n" in vm.check(f"cputune hook show {runtime} {bundle}")
        vm.check(f"/root/domains.sh down {key}; rm -f {tree}/first; /root/domains.sh up {key}")
        assert saw(vm, f"{tree}/first") == SAW
    finally:
        vm.check(f"cputune hook remove {runtime} {bundle}; mv {tree}/sbin/init.kept {tree}/sbin/init")
        vm.check(f"rm -f {tree}/first; /root/domains.sh down {key}; /root/domains.sh up {key}")
    after = vm.check(f"cat {files}")
    assert "cputune" not in after
    assert bundle or after == before


def test_of_podman(vm: Vm) -> None:
    vm.check(f"cputune set 'podman:first*' --quota {QUOTA} --period 100000 --config; cputune hook install podman")
    try:
        run = f"podman run --rm --network none --name first-1 domain sh -c {shlex.quote(READ)}"
        assert vm.check(run).strip() == SAW
        limited = run.replace("--name first-1", "--name first-2 --cpus 0.5")  # podman's own, which is set before
        assert vm.check(limited).strip() == SAW
        assert vm.check(run.replace("first-1", "other")).strip() != SAW
    finally:
        vm.check("cputune hook remove podman")
    assert "podman: not installed" in vm.check("cputune hook show").splitlines()


def test_of_a_service(vm: Vm) -> None:
    vm.write("/run/first.sh", f"({READ}) >/run/first; sleep 1000\n")
    vm.write("/etc/systemd/system/first.service", "[Service]\nExecStart=/bin/sh /run/first.sh\n")
    vm.check(f"systemctl daemon-reload; cputune set first.service --quota {QUOTA} --period 100000 --config")
    vm.check("cputune hook install systemd first.service")
    try:
        vm.check("rm -f /run/first; systemctl start first.service")
        assert saw(vm, "/run/first") == SAW
    finally:
        vm.check("cputune hook remove systemd first; systemctl stop first; rm /etc/systemd/system/first.service")
    assert vm.run("ls /etc/systemd/system/first.service.d/50-cputune.conf").returncode != 0


def test_no_hook_keeps_a_container_from_starting(vm: Vm) -> None:
    """Neither one that fails nor one whose cputune is not there any more."""
    vm.check(
        "cputune hook install podman; cputune hook install lxc mydom; cputune hook install crun /srv/oci/crun/mydom"
    )
    folders = " ".join(f"/etc/cputune/domains/{runtime}" for runtime in ("podman", "lxc", "oci"))
    vm.check(f"mkdir -p {folders}; cd /etc/cputune/domains; printf 'version: 1\\nquota: 5\\n' | "
             "tee podman/first-1.yaml lxc/mydom.yaml oci/crun%2Fmydom.yaml")  # fmt: skip
    run = "podman run --rm --network none --name first-1 domain echo runs"
    try:
        for missing in ("true", "mv /usr/local/bin/cputune /usr/local/bin/cputune.kept"):
            vm.check(missing)
            assert vm.check(run) == "runs\n"
            vm.check("/root/domains.sh down lxc crun; /root/domains.sh up lxc crun")
    finally:
        vm.check("[ ! -e /usr/local/bin/cputune.kept ] || mv /usr/local/bin/cputune.kept /usr/local/bin/cputune")
        vm.check("cputune hook remove podman; cputune hook remove lxc; cputune hook remove crun /srv/oci/crun/mydom")
