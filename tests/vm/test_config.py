"""Saved configurations of real domains: saved while stopped, in force after a start and `cputune apply`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vm.machine import Vm
from tests.vm.runtimes import ALL, DOMAINS
from tests.vm.values import Values, cgroup, cgroups, limit, rows, values


@pytest.fixture(autouse=True)
def _nothing_saved(vm: Vm) -> Iterator[None]:
    vm.check("rm -rf /etc/cputune")
    yield
    vm.check("rm -rf /etc/cputune; /root/domains.sh up lxc libvirt >/dev/null")


def test_what_is_saved_comes_into_force_after_a_start(vm: Vm) -> None:
    """Of every runtime: saved while it is stopped, where it can be found then; started; applied."""
    stoppable = [runtime.domain for runtime in ALL.values() if runtime.when_stopped]
    others = [runtime.domain for runtime in ALL.values() if not runtime.when_stopped]
    vm.check(f"cputune set {' '.join(others)} --quota 33000 --shares 512 --config")
    vm.check(f"cputune set {' '.join(ALL[key].domain for key in ALL)} --quota unlimited --period 100000 --live")
    vm.check(f"/root/domains.sh down {' '.join(ALL)}", timeout=900)
    try:
        for name in others:
            assert vm.run(f"cputune schedinfo {name}").returncode == 3, name
        done = vm.run(f"cputune set {' '.join(stoppable)} --quota 33000 --shares 512 --live")
        assert (done.returncode, done.stderr) == (
            6,
            f"cputune: error: domain {stoppable[0]} is not running\n"
            "hint: start it first, or use --config instead of --live\n",
        )
        vm.check(f"cputune set {' '.join(stoppable)} --quota 33000 --shares 512")
        known = rows(vm)
        for name in stoppable:
            assert known[name]["config"] == {"cpu_shares": 512, "vcpu_quota": 33000}, name
    finally:
        vm.check("/root/domains.sh up", timeout=900)
    vm.check(f"cputune set {' '.join(DOMAINS.values())} --weight 90 --live")  # on v1 a unit may have no cgroup before
    places = cgroups(vm, DOMAINS)
    assert {key: found.quota for key, found in values(vm, places).items() if found} == dict.fromkeys(ALL, "max")
    applied = vm.run("cputune apply")
    assert (applied.returncode, applied.stderr) == (0, "")
    assert values(vm, places) == {
        key: Values("33000", "100000", runtime.weight if vm.mode == "unified" else 512) for key, runtime in ALL.items()
    }
    again = vm.run("cputune apply")
    assert (again.returncode, again.stdout) == (0, "")
    assert set(again.stderr.splitlines()) == {
        f"cputune: {name}: nothing to do: this is in force already" for name in DOMAINS.values()
    }
    vm.check(f"cputune set {' '.join(DOMAINS.values())} --quota unlimited --weight 100 --live")


def test_a_stopped_domain_shows_virshs_zeros(vm: Vm) -> None:
    vm.check("/root/domains.sh down lxc")
    assert vm.check("cputune schedinfo lxc:mydom") == (
        "Scheduler      : posix\ncpu_shares     : 0\nvcpu_period    : 0\nvcpu_quota     : 0\n\n"
    )


def test_a_query_of_a_stopped_libvirt_domain_leaves_libvirtd_alive(vm: Vm) -> None:
    """virsh's own crashes libvirtd 11.3 here."""
    before = vm.check("systemctl show libvirtd.service -P NRestarts")
    vm.check("/root/domains.sh down libvirt")
    vm.check("cputune schedinfo libvirt:mydom; cputune set libvirt:mydom --cpus 0.5 --config")
    assert vm.check("systemctl show libvirtd.service -P NRestarts") == before


def test_apply_goes_on_past_a_domain_that_fails_and_says_so(vm: Vm) -> None:
    vm.check("cputune set lxc:mydom mydom.service --cpus 0.5 --config")
    vm.write("/etc/cputune/domains/lxc/mydom.yaml", "version: 1\nquota: 5\n")
    done = vm.run("cputune apply")
    assert done.returncode == 2
    assert done.stderr == (
        "cputune: error: /etc/cputune/domains/lxc/mydom.yaml:2:8: quota is not in range: "
        "1000..17592186044415 microseconds, or unlimited\n"
        "hint: $EDITOR /etc/cputune/domains/lxc/mydom.yaml\n"
    )
    assert limit(vm, cgroup(vm, "mydom.service")["limit"]) == ("50000", "100000")


def test_a_transient_unit_has_no_config(vm: Vm) -> None:
    vm.check("systemd-run -q --unit=passing.service sleep 1000")
    try:
        done = vm.run("cputune set passing.service --cpus 0.5 --live --config")
        assert done.returncode == 6
        assert done.stderr == (
            "cputune: error: cannot change persistent config of a transient domain: systemd:passing.service\n"
            "hint: change it while it runs: cputune set systemd:passing.service ... --live\n"
        )
        assert limit(vm, cgroup(vm, "passing.service")["limit"])[0] == "max"
    finally:
        vm.check("systemctl stop passing.service")


def test_live_and_config_together_are_both_or_neither(vm: Vm) -> None:
    vm.check("mkdir -p /etc/cputune/domains/systemd; mount -t tmpfs -o ro,mode=0755 none /etc/cputune/domains/systemd")
    before = limit(vm, cgroup(vm, "mydom.service")["limit"])
    try:
        done = vm.run("cputune set mydom.service --cpus 0.25 --live --config")
    finally:
        vm.check("umount /etc/cputune/domains/systemd")
    assert done.returncode == 5
    assert "cannot save /etc/cputune/domains/systemd/mydom.service.yaml: Read-only file system" in done.stderr
    assert limit(vm, cgroup(vm, "mydom.service")["limit"]) == before
    vm.check("cputune set mydom.service --cpus 0.25 --live --config")
    assert limit(vm, cgroup(vm, "mydom.service")["limit"]) == ("25000", "100000")
    assert "vcpu_quota     : 25000\n" in vm.check("cputune schedinfo mydom.service --config")
