"""`cputune run` as a transient scope of systemd's, and units of a user's own manager."""

from __future__ import annotations

import json
import re

from tests.vm.machine import Vm
from tests.vm.values import limit

AS_USER = "setpriv --reuid=1000 --regid=1000 --init-groups --reset-env env XDG_RUNTIME_DIR=/run/user/1000 sh -c "
OWN_CPU = (
    "c=$(sed -n 's/^[0-9]*:[a-z,]*\\bcpu\\b[a-z,]*://p; s/^0:://p' /proc/self/cgroup | head -1); "
    "cat {mount}$c/cpu.max 2>/dev/null || cat {mount}$c/cpu.cfs_quota_us {mount}$c/cpu.cfs_period_us | tr '\\n' ' '"
)


def test_the_first_command_sees_its_limit_and_the_scope_goes_with_it(vm: Vm) -> None:
    script = OWN_CPU.format(mount=vm.cpu_mount)
    done = vm.run(f'cputune run --name first --cpus 0.25 -- sh -c "{script.replace("$", chr(92) + "$")}"')
    assert done.returncode == 0
    assert done.stdout.split() == ["25000", "100000"]
    assert re.fullmatch(
        r"cputune: run:first: ran \d+\.\d{3} s, used \d+\.\d{3} s of CPU, \d+\.\d{3} CPUs on average "
        r"\(limit 0\.25 CPUs\); .*\n",
        done.stderr,
    )
    assert vm.run("sleep 1; systemctl status cputune-first.scope").returncode == 4
    assert vm.run("ls /run/cputune/run").stdout == ""


def test_a_busy_command_is_held_to_its_limit_and_can_be_changed_meanwhile(vm: Vm) -> None:
    vm.check("rm -f /root/enough")
    vm.check(
        "(cputune run --name busy --cpus 0.5 -- sh -c 'while [ ! -e /root/enough ]; do :; done' 2>/root/busy.err) "
        ">/dev/null 2>&1 &"
    )
    vm.check("for i in $(seq 50); do cputune schedinfo run:busy >/dev/null 2>&1 && break; sleep 0.2; done")
    vm.check("cputune set run:busy --cpus 0.1 --live")
    (row,) = json.loads(vm.check("cputune status busy --interval 2 --json"))["domains"]
    assert row["cgroup"] == "/system.slice/cputune-busy.scope"
    assert row["persistent"] is False
    assert row["used_cpus"] < 0.3
    assert row["throttled"] > 0.5
    vm.check("systemctl daemon-reload; systemd-run -q --wait true")
    assert limit(vm, vm.cpu_mount + row["cgroup"]) == ("10000", "100000")
    vm.check("touch /root/enough")
    said = vm.check("for i in $(seq 100); do grep throttled /root/busy.err && break; sleep 0.2; done")
    assert "(limit 0.1 CPUs); throttled in " in said


def test_a_refused_limit_starts_nothing_and_leaves_nothing(vm: Vm) -> None:
    done = vm.run("cputune run --name never --quota 5000 --burst 6000 -- touch /root/never")
    assert done.returncode == 2
    assert "--burst: 6000 is not in range: 0..5000 microseconds" in done.stderr
    assert vm.run("test -e /root/never").returncode == 1
    assert vm.run("sleep 1; systemctl status cputune-never.scope").returncode == 4


def test_processes_left_behind_keep_the_scope_and_are_named(vm: Vm) -> None:
    done = vm.run("cputune run --name left -- sh -c 'sleep 1000 >/dev/null 2>&1 & echo $!'")
    pid = done.stdout.strip()
    assert f"processes are still running in cputune-left.scope, which is kept with its limits: {pid}\n" in done.stderr
    assert vm.run("cputune run --name left -- true").returncode == 6
    vm.check(f"kill {pid}; sleep 1")
    assert vm.run("cputune run --name left -- true").returncode == 0


def test_root_limits_a_unit_of_a_users_manager(vm: Vm) -> None:
    done = vm.run("cputune set systemd:1000/mydom.service --cpus 0.5 --live")
    if vm.mode != "unified":
        assert done.returncode == 4
        assert "cgroup v1 delegates none to users' managers" in done.stderr
        assert "hint: limit all of the user's units: cputune set user-1000.slice --cpus 1 --live\n" in done.stderr
        return
    assert (done.returncode, done.stderr) == (0, "")
    assert limit(vm, vm.cgroup_dir("user")) == ("50000", "100000")
    vm.check(f"{AS_USER} 'systemctl --user daemon-reload; systemd-run --user -q --wait true'")
    assert limit(vm, vm.cgroup_dir("user")) == ("50000", "100000")


def test_a_user_limits_a_unit_of_his_own(vm: Vm) -> None:
    done = vm.run(f"{AS_USER} 'cputune set systemd:1000/mydom.service --cpus 0.25 --live'")
    if vm.mode != "unified":
        assert done.returncode == 4
        return
    assert done.returncode == 0
    assert limit(vm, vm.cgroup_dir("user")) == ("25000", "100000")


def test_a_user_runs_a_command_in_a_scope_of_his_own(vm: Vm) -> None:
    # From a unit of his own: systemd moves no process into a user's tree that was not started there.
    run = "cputune run --name mine --cpus 0.25 -- cat /proc/self/cgroup"
    done = vm.run(f"{AS_USER} 'systemd-run --user -q --pipe --wait {run}'")
    if vm.mode != "unified":
        assert done.returncode == 4
        return
    assert done.returncode == 0
    assert re.fullmatch(r"0::/user\.slice/user-1000\.slice/user@1000\.service/.*/cputune-mine\.scope\n", done.stdout)


def test_a_user_reads_everything_and_changes_nothing_of_roots(vm: Vm) -> None:
    vm.check("cputune set mydom.service --shares 777 --live")  # until then it has no cpu controller
    for query in ("status", "schedinfo mydom.service", "schedinfo lxc:mydom"):
        assert vm.run(f"{AS_USER} 'cputune {query}'").returncode == 0, query
    unit = vm.run(f"{AS_USER} 'cputune set mydom.service --cpus 0.3 --live'")
    assert unit.returncode == 5
    assert unit.stderr.startswith("cputune: error: systemd refused to change mydom.service: ")
    polkit = "or let polkit allow org.freedesktop.systemd1.manage-units"
    assert unit.stderr.endswith(f"\nhint: run it as root: sudo cputune ...; {polkit}\n")
    lxc = vm.run(f"{AS_USER} 'cputune set lxc:mydom --quota 31000 --live'")
    name = "cpu.max" if vm.mode == "unified" else "cpu.cfs_quota_us"
    assert lxc.returncode == 5
    assert f"/lxc.payload.mydom/{name} (it was " in lxc.stderr
    assert lxc.stderr.endswith(": Permission denied\nhint: run it as root: sudo cputune ...\n")
    saved = vm.run(f"{AS_USER} 'cputune set mydom.service --quota 31000 --config'")
    assert saved.returncode == 5
    assert "/etc/cputune" in saved.stderr
