"""`cputune set --live` on real domains: the kernel has it, the runtime agrees, and systemd does not undo it."""

from __future__ import annotations

import json

import pytest

from tests.vm.machine import Vm
from tests.vm.runtimes import ALL, NEIGHBOURS
from tests.vm.runtimes import DOMAINS as DOMAINS_OF_ALL
from tests.vm.values import cgroup, cgroups, limit, rows, values

DOMAINS = ("systemd:mydom.service", "nspawn:mydom", "lxc:mydom", "libvirt:mydom")


def reload_and_start_neighbours(vm: Vm) -> None:
    vm.check(f"systemctl daemon-reload; {NEIGHBOURS}")


@pytest.fixture(autouse=True)
def _unlimited_again(vm: Vm) -> None:
    names = " ".join(DOMAINS)
    vm.check(f"cputune set {names} --no-idle --quota unlimited --period 100000 --weight 100 --live")


def test_the_same_change_again_writes_nothing(vm: Vm) -> None:
    names = [runtime.domain for runtime in ALL.values()]
    vm.check(f"cputune set {' '.join(names)} --cpus 0.5 --shares 512 --live")
    done = vm.run(f"cputune set {' '.join(names)} --cpus 0.5 --shares 512 --live")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "".join(f"cputune: {name}: nothing to do: this is in force already\n" for name in names)
    vm.check(f"cputune set {' '.join(names)} --quota unlimited --weight 100 --live")


def test_shares_are_what_the_runtime_means_by_them(vm: Vm) -> None:
    names = " ".join(DOMAINS_OF_ALL.values())
    vm.check(f"cputune set {names} --shares 512 --live")
    found = {key: rows_of.weight for key, rows_of in values(vm, cgroups(vm, DOMAINS_OF_ALL)).items() if rows_of}
    assert found == {key: runtime.weight if vm.mode == "unified" else 512 for key, runtime in ALL.items()}
    known = rows(vm)
    assert {key: known[name]["cpu_shares"] for key, name in DOMAINS_OF_ALL.items()} == dict.fromkeys(ALL, 512)
    vm.check(f"cputune set {names} --weight 100 --live")


def test_what_somebody_wrote_behind_systemds_back_is_told_to_systemd(vm: Vm) -> None:
    """The kernel has the value already, but systemd does not know of it and would undo it."""
    vm.check("cputune set mydom.service --shares 1024 --live")
    at = cgroup(vm, "mydom.service")["limit"]
    name, text = ("cpu.max", "44000 100000") if vm.mode == "unified" else ("cpu.cfs_quota_us", "44000")
    vm.write(f"{at}/{name}", text)
    vm.check("cputune set mydom.service --quota 44000 --live")
    assert "CPUQuotaPerSecUSec=440ms\n" in vm.check("systemctl show mydom.service -p CPUQuotaPerSecUSec")
    reload_and_start_neighbours(vm)
    assert limit(vm, at) == ("44000", "100000")


def test_a_change_of_the_weight_leaves_a_raw_quota_of_the_same_unit_alone(vm: Vm) -> None:
    """systemd rewrites the whole unit when it gets one property: what was not named must be put back."""
    vm.check("cputune set mydom.service --shares 1024 --live")
    at = cgroup(vm, "mydom.service")["limit"]
    name, text = ("cpu.max", "44000 100000") if vm.mode == "unified" else ("cpu.cfs_quota_us", "44000")
    vm.write(f"{at}/{name}", text)
    vm.check("cputune set mydom.service --weight 50 --live")
    assert limit(vm, at) == ("44000", "100000")


def test_a_quota_that_systemd_rounds_is_exact_now_and_announced(vm: Vm) -> None:
    done = vm.run("cputune set mydom.service --quota 12345 --live")
    assert done.returncode == 0
    assert done.stderr == (
        "cputune: systemd:mydom.service: systemd keeps a quota as a rounded percentage: its next reload makes this one "
        "12340; 12340 and 12350 would stay as they are\n"
    )
    at = cgroup(vm, "mydom.service")["limit"]
    assert limit(vm, at) == ("12345", "100000")
    reload_and_start_neighbours(vm)
    assert limit(vm, at) == ("12340", "100000")
    drift = json.loads(vm.check("cputune status mydom.service --json"))["domains"][0]["drift"]
    assert drift == ["quota: applied 12345, live 12340 (systemd rounded it, as it keeps it for mydom.service)"]


def test_virsh_and_cputune_agree_about_a_libvirt_domain(vm: Vm) -> None:
    vm.check("cputune set libvirt:mydom --shares 300 --quota 37000 --live")
    ours, virsh = vm.check("cputune schedinfo libvirt:mydom"), vm.check("virsh -c lxc:/// schedinfo mydom")
    assert ours == virsh
    assert "cpu_shares     : 300\n" in ours
    vm.check("virsh -c lxc:/// schedinfo mydom cpu_shares=55 vcpu_quota=41000 --live >/dev/null")
    assert vm.check("cputune schedinfo libvirt:mydom") == vm.check("virsh -c lxc:/// schedinfo mydom")


def test_a_libvirt_domain_is_found_by_uuid_and_by_id(vm: Vm) -> None:
    vm.check("cputune set libvirt:mydom --quota 38000 --live")
    for command in ("domuuid", "domid"):
        name = vm.check(f"virsh -q -c lxc:/// {command} mydom").strip()
        shown = vm.check(f"cputune schedinfo libvirt:{name} --json")
        assert json.loads(shown)["domain"] == "libvirt:mydom"
        assert json.loads(shown)["vcpu_quota"] == 38000


def test_the_machine_that_libvirt_registered_is_libvirts(vm: Vm) -> None:
    machine = vm.check("machinectl list --no-legend | awk '/libvirt-lxc/ { print $1 }'").strip()
    if vm.mode == "unified":
        assert json.loads(vm.check(f"cputune schedinfo {machine} --json"))["domain"] == "libvirt:mydom"
    else:  # libvirt cannot register with machined on v1
        assert machine == ""


def test_lxc_sees_the_value(vm: Vm) -> None:
    vm.check("cputune set lxc:mydom --quota 39000 --live")
    name = "cpu.max" if vm.mode == "unified" else "cpu.cfs_quota_us"
    assert vm.check(f"lxc-cgroup -n mydom {name}").split()[0] == "39000"


def test_several_domains_are_one_transaction(vm: Vm) -> None:
    """LXC's comes first and is written; then the unit's is refused, since its burst would be above its quota."""
    vm.check("cputune set mydom.service --quota 50000 --burst 50000 --live")
    before = limit(vm, cgroup(vm, "lxc:mydom")["limit"])
    done = vm.run("cputune set lxc:mydom mydom.service --quota 20000 --live")
    assert done.returncode == 7
    assert "is below the burst of 50000 that is in force" in done.stderr
    assert limit(vm, cgroup(vm, "lxc:mydom")["limit"]) == before
    vm.check("cputune set mydom.service --burst 0 --live")


def test_a_property_that_systemd_refuses_puts_everything_back(vm: Vm) -> None:
    """The bus is there, and PID 1 refuses: LXC's write, which came first, is taken back."""
    fake = "/root/refusing"
    vm.check(f"mkdir -p {fake}")
    vm.write(
        f"{fake}/busctl",
        '#!/bin/sh\ncase "$*" in *SetUnitProperties*) echo "Call failed: no such luck" >&2; exit 1;; esac\n'
        'exec /usr/bin/busctl "$@"\n',
    )
    vm.check(f"chmod +x {fake}/busctl")
    before = [limit(vm, cgroup(vm, name)["limit"]) for name in ("lxc:mydom", "mydom.service")]
    done = vm.run(f"PATH={fake}:$PATH cputune set lxc:mydom mydom.service --quota 21000 --live")
    assert [limit(vm, cgroup(vm, name)["limit"]) for name in ("lxc:mydom", "mydom.service")] == before
    assert done.returncode == 7
    assert done.stderr == (
        "cputune: error: systemd refused to change mydom.service: no such luck\n"
        "hint: journalctl -u mydom.service -n 20\n"
    )


def test_idle_and_back_again_restores_the_weight(vm: Vm) -> None:
    vm.check("cputune set mydom.service --weight 77 --live")
    before = vm.check("cputune schedinfo mydom.service --all")
    vm.check("cputune set mydom.service --idle --live")
    assert "cpu_idle       : 1\n" in vm.check("cputune schedinfo mydom.service --all")
    if vm.mode == "unified":
        assert vm.check("systemctl show mydom.service -P CPUWeight") == "idle\n"
    vm.check("cputune set mydom.service --no-idle --live")
    assert vm.check("cputune schedinfo mydom.service --all") == before


def test_a_limit_is_felt_and_the_ancestor_that_binds_is_named(vm: Vm) -> None:
    vm.check("cputune set machine.slice --cpus 0.4 --live")
    try:
        pid = vm.check(
            "systemd-run -q --slice=machine.slice --unit=burner.service sh -c 'while :; do :; done'; sleep 1"
        )
        assert pid == ""
        (row,) = json.loads(vm.check("cputune status burner.service --interval 3 --json"))["domains"]
        assert (row["limit_cpus"], row["effective_cpus"], row["bound_by"]) == (None, 0.4, "/machine.slice")
        assert row["throttled_by"] == "/machine.slice"
        assert row["throttled"] > 0.5
        assert 0.2 < row["used_cpus"] < 0.6
    finally:
        vm.run("systemctl stop burner.service")
        vm.check("cputune set machine.slice --quota unlimited --live")


def test_the_first_limit_enables_the_controller_and_the_last_one_gone_is_no_error(vm: Vm) -> None:
    """Nothing else in the slice wants it: systemd enables it for the first limit, and takes it away with the last."""
    vm.check("systemd-run -q --slice=lonely.slice --unit=lonely.service sleep 1000")
    try:
        done = vm.run("cputune set lonely.service --cpus 0.5 --live")
        assert (done.returncode, done.stderr) == (0, "")
        assert limit(vm, cgroup(vm, "lonely.service")["limit"]) == ("50000", "100000")
        done = vm.run("cputune set lonely.service --quota unlimited --live")
        assert (done.returncode, done.stderr) == (0, "")
        (row,) = json.loads(vm.check("cputune status lonely.service --json"))["domains"]
        assert (row["running"], row["limit_cpus"]) == (True, None)
        reload_and_start_neighbours(vm)
        (row,) = json.loads(vm.check("cputune status lonely.service --json"))["domains"]
        assert (row["running"], row["limit_cpus"]) == (True, None)
    finally:
        vm.check("systemctl stop lonely.service")
