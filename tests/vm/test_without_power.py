"""A power failure in the middle of a change. The last file: of the domains not all come back by themselves."""

from __future__ import annotations

import shlex
import time

from tests.vm.killed import dies
from tests.vm.machine import Vm
from tests.vm.values import cgroup, limit


def test_a_power_failure_between_two_saved_configurations(vm: Vm) -> None:
    """The first one is new on the disk, the second one old: after the boot both are old."""
    vm.check("rm -rf /etc/cputune /var/lib/cputune; sync")
    names = "mydom.service lxc:mydom"
    files = ("systemd/mydom.service.yaml", "lxc/mydom.yaml")
    read = " ".join(shlex.quote(f"/etc/cputune/domains/{file}") for file in files)
    vm.check(f"cputune set {names} --quota 21000 --config; sync")
    before = vm.check(f"cat {read}")
    dies(vm, "cputune.config.store:Store.write", 1, f"set {names} --quota 22000 --config")
    assert vm.check(f"cat {read}").count("22000") == 1
    assert vm.lab("cut").returncode == 0
    started = vm.lab("start", "--keep", vm.mode, timeout=900)
    assert started.returncode == 0, started.stderr
    assert vm.check(f"cat {read}").count("22000") == 1
    done = vm.run("cputune recover")
    assert done.returncode == 0
    assert "put back what process" in done.stderr
    assert vm.check(f"cat {read}") == before
    assert vm.check("ls /var/lib/cputune/journal") == ""


def test_what_is_saved_is_in_force_again_after_a_boot(vm: Vm) -> None:
    """With the guard, which was started before the runtimes: whether the domain comes back by itself or is started."""
    names = ("mydom.service", "docker:mydom", "lxc:mydom")
    vm.check("/root/domains.sh up unit docker lxc; docker update --restart always mydom", timeout=900)
    vm.check(f"cputune guard install --enforce; cputune set {' '.join(names)} --quota 23000 --config")
    vm.check("systemctl enable mydom.service 2>/dev/null; sync")
    assert vm.lab("cut").returncode == 0
    started = vm.lab("start", "--keep", vm.mode, timeout=900)
    assert started.returncode == 0, started.stderr
    assert vm.check("systemctl is-active cputune-guard") == "active\n"
    vm.check("/root/domains.sh up unit docker lxc", timeout=900)
    deadline = time.monotonic() + 60
    for name in names:
        while limit(vm, cgroup(vm, name)["limit"])[0] != "23000":
            assert time.monotonic() < deadline, name
    assert vm.run("cputune diff").returncode == 0
