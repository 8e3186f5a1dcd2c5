"""The lab itself: the guest is what the other tests take it for."""

from __future__ import annotations

import re

import pytest

from tests.vm.machine import RAN, Vm
from tests.vm.runtimes import ALL, MODE

CONTAINERS = [key for key in ALL if key not in ("unit", "user")]

UNIFIED = {
    "unit": r"/system\.slice/mydom\.service",
    "user": r"/user\.slice/user-1000\.slice/user@1000\.service/app\.slice/mydom\.service",
    "nspawn": r"/machine\.slice/systemd-nspawn@mydom\.service/payload",
    "lxc": r"/lxc\.payload\.mydom(-\d+)?",
    "libvirt": r"/machine\.slice/machine-lxc\\x2d\d+\\x2dmydom\.scope/libvirt",
    "docker": r"/system\.slice/docker-[0-9a-f]{64}\.scope",
    "docker-user": r"/user\.slice/user-1000\.slice/user@1000\.service/user\.slice/docker-[0-9a-f]{64}\.scope",
    "podman": r"/machine\.slice/libpod-[0-9a-f]{64}\.scope/container",
    "podman-user": r"/user\.slice/user-1000\.slice/user@1000\.service/user\.slice/libpod-[0-9a-f]{64}\.scope/container",
    "incus": r"/lxc\.payload\.mydom(-\d+)?",
    "lxd": r"/lxc\.payload\.mydom(-\d+)?",
    "runc": r"/system\.slice/mydom",
    "runc-systemd": r"/system\.slice/lab-mydom-runc\.scope",
    "crun": r"/mydom",
    "crun-systemd": r"/system\.slice/lab-mydom-crun\.scope/container",
    "ctr": r"/default/mydom",
    "cri": r"/k8s\.io/[0-9a-f]{64}",
}
# On v1 systemd makes a unit's cpu cgroup only when something asks for it; until then the unit's processes are in the
# nearest one above that exists. What is the user's never gets one.
V1 = {
    "unit": r"/(system\.slice(/mydom\.service)?)?",
    "user": r"/(user\.slice)?",
    "nspawn": r"/machine\.slice/systemd-nspawn@mydom\.service",
    "lxc": r"/lxc\.payload\.mydom(-\d+)?",
    "libvirt": r"/machine/lxc-\d+-mydom\.libvirt-lxc",
    "docker": r"/docker/[0-9a-f]{64}",
    "podman": r"/machine\.slice/libpod-[0-9a-f]{64}\.scope/container",
    "incus": r"/lxc\.payload\.mydom(-\d+)?",
    "lxd": r"/lxc\.payload\.mydom(-\d+)?",
    "runc": r"/system\.slice/ssh\.service/mydom",
    "runc-systemd": r"/system\.slice/lab-mydom-runc\.scope",
    "crun": r"/mydom",
    "crun-systemd": r"/system\.slice/lab-mydom-crun\.scope/container",
    "ctr": r"/default/mydom",
    "cri": r"/k8s\.io/[0-9a-f]{64}",
}


def test_systemd_is_pid_1_and_nothing_failed_at_boot(vm: Vm) -> None:
    assert vm.read("/proc/1/comm") == "systemd\n"
    assert vm.run("systemctl is-system-running").stdout == "running\n"


def test_the_cpu_controller_is_on_the_side_that_the_mode_says(vm: Vm) -> None:
    mounts = {}
    for line in vm.read("/proc/self/mountinfo").splitlines():
        before, after = line.split(" - ")
        kind, _, options = after.split(" ")
        if kind.startswith("cgroup"):
            mounts[before.split(" ")[4]] = (kind, set(options.split(",")))
    unified = [point for point, (kind, _) in mounts.items() if kind == "cgroup2"]
    v1 = [point for point, (kind, options) in mounts.items() if kind == "cgroup" and "cpu" in options]
    assert unified == {"unified": ["/sys/fs/cgroup"], "hybrid": ["/sys/fs/cgroup/unified"], "legacy": []}[vm.mode]
    assert v1 == ([] if vm.mode == "unified" else [vm.cpu_mount])
    for point in unified:
        assert ("cpu" in vm.read(f"{point}/cgroup.controllers").split()) is (vm.mode == "unified")


def test_every_runtime_ran(vm: Vm) -> None:
    assert set(RAN) == set(ALL) | ({"user"} if vm.mode != "unified" else set())


@pytest.mark.parametrize("runtime", ALL)
def test_the_domain_is_in_its_cgroup(vm: Vm, runtime: str) -> None:
    expected = (UNIFIED if vm.mode == "unified" else V1)[runtime]
    assert re.fullmatch(expected, vm.cgroup_of(runtime))
    assert str(vm.pid(runtime)) in vm.read(f"{vm.cgroup_dir(runtime)}/cgroup.procs").split()


@pytest.mark.parametrize("runtime", CONTAINERS)
def test_the_pid_is_that_of_the_containers_init(vm: Vm, runtime: str) -> None:
    pid = vm.pid(runtime)
    assert "ID=domain\n" in vm.read(f"/proc/{pid}/root/etc/os-release")
    assert vm.check(f"sed -n 's/^NSpid:.*\\t//p' /proc/{pid}/status") == "1\n"


@pytest.mark.parametrize("runtime", ["unit", "user", "lxc", "libvirt"] if MODE == "unified" else ["unit", "lxc"])
def test_a_domain_can_be_stopped_and_started_again(vm: Vm, runtime: str) -> None:
    before = vm.pid(runtime)
    vm.check(f"/root/domains.sh down {runtime}")
    assert vm.run(f"/root/domains.sh pid {runtime}").returncode == 1
    assert vm.run(f"test -e /proc/{before}").returncode == 1
    vm.check(f"/root/domains.sh down {runtime}")
    shown = vm.check(f"/root/domains.sh up {runtime}")
    assert shown == f"{runtime}\t{vm.pid(runtime)}\t{vm.cgroup_of(runtime)}\n"
    assert vm.check(f"/root/domains.sh up {runtime}") == shown
    test_the_domain_is_in_its_cgroup(vm, runtime)


def test_the_unprivileged_user_has_a_systemd_of_his_own(vm: Vm) -> None:
    assert vm.check("id -u labuser") == "1000\n"
    assert vm.check("systemctl is-active user@1000.service") == "active\n"
    assert vm.check(f"stat -c %u /proc/{vm.pid('user')}") == "1000\n"


def test_cputune_is_installed_as_a_program(vm: Vm) -> None:
    assert vm.check("readlink -f $(command -v cputune)") == "/opt/cputune/bin/cputune\n"
    assert "Usage" in vm.check("cputune --help")


def test_run_keeps_streams_and_status_apart(vm: Vm) -> None:
    done = vm.run("cat; echo 'to stderr' >&2; exit 7", stdin="from stdin\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, "from stdin\n", "to stderr\n")


def test_read_and_write_take_any_path_and_report_failure(vm: Vm) -> None:
    path = r"/tmp/it's a \x2d name"
    vm.write(path, "one\ntwo")
    assert vm.read(path) == "one\ntwo"
    with pytest.raises(AssertionError, match="No such file"):
        vm.read("/nowhere")
    with pytest.raises(AssertionError, match="Invalid argument"):
        vm.write(f"{vm.cgroup_dir('lxc')}/{'cpu.max' if vm.mode == 'unified' else 'cpu.cfs_quota_us'}", "1\n")
