"""The guard as a service, with real runtimes: in force after every start, kept against everybody, back after a boot."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.vm.machine import Vm
from tests.vm.runtimes import ALL, AS_USER, DOMAINS
from tests.vm.values import Values, cgroup, cgroups, limit, values

SECONDS = 60
"""Within which the guard has done what it does, in a slow machine."""
STARTING = 6
"""Seconds after which a start is over for the guard."""


@pytest.fixture(scope="module", autouse=True)
def _guard(vm: Vm) -> Iterator[None]:
    vm.check("rm -rf /etc/cputune; cputune guard install --enforce")
    yield
    vm.check("cputune guard remove; rm -rf /etc/cputune")
    # What the traps have left in the memory of runtimes would surprise other tests.
    vm.check("docker rm -f mydom; podman rm -f -t 0 mydom; incus config unset mydom limits.cpu.allowance")
    vm.check("virsh -q -c lxc:/// destroy mydom; virsh -q -c lxc:/// undefine mydom")
    vm.check("/root/domains.sh up docker podman libvirt", timeout=900)
    vm.check(f"cputune set {' '.join(DOMAINS.values())} --quota unlimited --period 100000 --weight 100 --live")


def until(vm: Vm, path: str, quota: str) -> None:
    """Wait for a cgroup to have that quota."""
    deadline = time.monotonic() + SECONDS
    while limit(vm, path)[0] != quota:
        assert time.monotonic() < deadline, vm.check("journalctl -u cputune-guard -n 40 --no-pager -o cat")


def said(vm: Vm, domain: str, action: str) -> list[dict[str, str]]:
    """What the guard has told the journal of a domain, oldest first."""
    fields = f"CPUTUNE_DOMAIN='{domain}' CPUTUNE_ACTION={action}"
    text = vm.check(f"journalctl -b -o json --no-pager {fields}")
    return [json.loads(line) for line in text.splitlines()]


def test_it_is_a_sandboxed_service_that_comes_before_the_runtimes(vm: Vm) -> None:
    assert vm.check("systemctl is-active cputune-guard; systemctl is-enabled cputune-guard") == "active\nenabled\n"
    exposure = vm.check("systemd-analyze security --no-pager cputune-guard.service | tail -1")
    assert float(exposure.rpartition(":")[0].rpartition(":")[2].split()[0]) < 3.0, exposure
    show = vm.check("systemctl show cputune-guard -p Type,Before,WatchdogUSec,StatusText,CanReload")
    for word in (
        "Type=notify",
        "docker.service",
        "incus.service",
        "WatchdogUSec=1min",
        "domains watched",
        "CanReload=yes",
    ):
        assert word in show
    vm.check("systemctl reload cputune-guard; systemctl is-active cputune-guard")


def test_what_is_saved_is_in_force_after_a_start_in_every_runtime(vm: Vm) -> None:
    stoppable = [runtime.domain for runtime in ALL.values() if runtime.when_stopped]
    others = [runtime.domain for runtime in ALL.values() if not runtime.when_stopped]
    vm.check(f"cputune set {' '.join(others)} --quota 33000 --shares 512 --config")
    vm.check(f"cputune set {' '.join(DOMAINS.values())} --quota unlimited --period 100000 --live")
    vm.check(f"/root/domains.sh down {' '.join(ALL)}", timeout=900)
    try:
        vm.check(f"cputune set {' '.join(stoppable)} --quota 33000 --shares 512 --config")
    finally:
        vm.check("/root/domains.sh up", timeout=900)
    expected = {
        key: Values("33000", "100000", runtime.weight if vm.mode == "unified" else 512) for key, runtime in ALL.items()
    }
    deadline = time.monotonic() + SECONDS
    while (found := values(vm, cgroups(vm, DOMAINS))) != expected and time.monotonic() < deadline:
        time.sleep(1)
    assert found == expected
    assert vm.run("cputune diff").returncode == 0
    reload_and_start = "systemctl daemon-reload; for slice in system machine; do "
    vm.check(reload_and_start + "systemd-run -q --wait --slice=$slice.slice true; done")
    assert values(vm, cgroups(vm, DOMAINS)) == expected  # systemd was told, too
    time.sleep(STARTING)


def test_a_raw_write_is_put_back(vm: Vm) -> None:
    vm.check("cputune set lxc:mydom --quota 30000 --live")
    at = cgroup(vm, "lxc:mydom")["limit"]
    name, text = ("cpu.max", "44000 100000") if vm.mode == "unified" else ("cpu.cfs_quota_us", "44000")
    vm.write(f"{at}/{name}", text)
    until(vm, at, "30000")
    (told,) = said(vm, "lxc:mydom", "repaired")[-1:]
    assert told["MESSAGE"] == "lxc:mydom: quota: applied 30000, live 44000 (somebody else changed it): put back"
    assert (told["PRIORITY"], told["CPUTUNE_KEY"]) == ("4", "quota")
    assert (told["CPUTUNE_APPLIED"], told["CPUTUNE_LIVE"]) == ("30000", "44000")


def test_what_systemd_rounds_at_a_reload_is_put_back(vm: Vm) -> None:
    vm.check("cputune set mydom.service --quota 12345 --live")
    at = cgroup(vm, "mydom.service")["limit"]
    before = len(said(vm, "systemd:mydom.service", "repaired"))
    vm.check("systemctl daemon-reload; systemd-run -q --wait --slice=system.slice true")
    deadline = time.monotonic() + SECONDS
    while len(found := said(vm, "systemd:mydom.service", "repaired")) == before:
        assert time.monotonic() < deadline
    until(vm, at, "12345")
    assert found[-1]["CPUTUNE_CAUSE"] == "systemd rounded it, as it keeps it for mydom.service"


TRAPS = {
    "systemd:mydom.service": ("systemctl set-property --runtime mydom.service CPUQuota=20%", "systemd"),
    "docker:mydom": ("docker update --cpu-quota 77000 --cpu-period 100000 mydom", "docker"),
    "podman:mydom": ("podman update --cpu-quota 77000 --cpu-period 100000 mydom", "podman"),
    "incus:mydom": ("incus config set mydom limits.cpu.allowance 77ms/100ms", "incus"),
    "libvirt:mydom": ("virsh -c lxc:/// schedinfo mydom vcpu_quota=77000 --live --config", "libvirt"),
    "oci:crun/mydom": ("crun update --cpu-quota 77000 --cpu-period 100000 mydom", "somebody else"),
}
"""Who changes what for whom."""


@pytest.mark.parametrize("domain", TRAPS)
def test_what_a_runtime_changes_is_put_back_and_it_is_named(vm: Vm, domain: str) -> None:
    command, writer = TRAPS[domain]
    vm.check(f"cputune set {domain} --quota 30000 --live")
    at = cgroup(vm, domain)["limit"]
    before = len(said(vm, domain, "repaired"))
    vm.check(command)
    deadline = time.monotonic() + SECONDS
    while len(found := said(vm, domain, "repaired")) == before:
        assert time.monotonic() < deadline, vm.check("journalctl -u cputune-guard -n 40 --no-pager -o cat")
    until(vm, at, "30000")
    assert found[-1]["CPUTUNE_CAUSE"].startswith(writer)


def test_it_gives_in_to_one_that_comes_back_again_and_again(vm: Vm) -> None:
    vm.check("cputune set lxc:mydom --quota 31000 --live")
    at = cgroup(vm, "lxc:mydom")["limit"]
    name, text = ("cpu.max", "45000 100000") if vm.mode == "unified" else ("cpu.cfs_quota_us", "45000")
    again = f"for i in $(seq 60); do echo {text} >{at}/{name}; sleep 0.5; done"
    vm.check(again, timeout=300)
    assert limit(vm, at)[0] == "45000"
    assert said(vm, "lxc:mydom", "left-alone")[-1]["PRIORITY"] == "3"
    assert vm.run("cputune diff lxc:mydom").returncode == 1
    vm.check("cputune apply lxc:mydom")
    assert vm.run("cputune diff lxc:mydom").returncode == 0


def test_what_is_set_through_cputune_stays(vm: Vm) -> None:
    vm.check("cputune set docker:mydom --quota 66000 --live")
    time.sleep(2)
    assert limit(vm, cgroup(vm, "docker:mydom")["limit"])[0] == "66000"
    assert vm.run("cputune diff docker:mydom").returncode == 0


def test_a_container_that_is_made_again_under_its_name_has_its_configuration(vm: Vm) -> None:
    vm.check("cputune set 'docker:web-*' --quota 22000 --config")
    run = "docker run -d --name web-1 --network none domain /sbin/init"
    try:
        for _ in range(2):
            vm.check(f"docker rm -f web-1 2>/dev/null; {run}")
            until(vm, cgroup(vm, "docker:web-1")["limit"], "22000")
    finally:
        vm.check("docker rm -f web-1; cputune forget 'docker:web-*'")


def test_killed_and_started_again_in_the_middle_of_fifty_starts_it_misses_none(vm: Vm) -> None:
    vm.check("cputune set 'oci:crun/many-*' --quota 22000 --config")
    script = """
    set -e
    for i in $(seq 50); do
      mkdir -p /run/many-$i
      jq --arg path /many-$i '.linux.cgroupsPath = $path | .root.path = "/srv/oci/crun/mydom/rootfs"' \
        /srv/oci/crun/mydom/config.json >/run/many-$i/config.json
      crun run -d --bundle /run/many-$i many-$i >/dev/null 2>&1 </dev/null
      if [ $((i % 10)) = 5 ]; then systemctl kill -s KILL cputune-guard; fi
    done
    """
    try:
        vm.check("bash", stdin=script, timeout=900)
        name = "cpu.max" if vm.mode == "unified" else "cpu.cfs_quota_us"
        count = f"grep -l 22000 {vm.cpu_mount}/many-*/{name} | wc -l"
        deadline = time.monotonic() + SECONDS
        while vm.check(count).strip() != "50" and time.monotonic() < deadline:
            time.sleep(1)
        assert vm.check(count).strip() == "50"
    finally:
        vm.check("for i in $(seq 50); do crun delete -f many-$i 2>/dev/null; done; cputune forget 'oci:crun/many-*'")


def test_a_timer_in_its_place(vm: Vm) -> None:
    vm.check("cputune guard install --timer")
    try:
        assert vm.run("systemctl is-active cputune-guard").returncode != 0
        assert vm.check("systemctl is-active cputune-apply.timer") == "active\n"
        vm.check("cputune set lxc:mydom --quota 34000 --config; /root/domains.sh down lxc; /root/domains.sh up lxc")
        vm.check("systemctl start cputune-apply.service")
        at = cgroup(vm, "lxc:mydom")["limit"]
        assert limit(vm, at)[0] == "34000"
        vm.check("cputune set lxc:mydom --quota 44000 --live; systemctl start cputune-apply.service")
        assert limit(vm, at)[0] == "44000"  # set since the start
    finally:
        vm.check("cputune guard install --enforce")


if "podman-user" in ALL:

    def test_a_users_containers_are_guarded_by_roots(vm: Vm) -> None:
        vm.check("cputune set podman:1000/mydom --quota 35000 --config")
        vm.check(f"cd /; {AS_USER} podman restart -t 1 mydom")
        until(vm, cgroup(vm, "podman:1000/mydom")["limit"], "35000")
