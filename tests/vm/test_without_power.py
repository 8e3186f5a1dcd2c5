"""A power failure in the middle of a change. The last file: of the domains not all come back by themselves."""

from __future__ import annotations

import shlex

from tests.vm.conftest import Vm
from tests.vm.killed import dies


def test_a_power_failure_between_two_saved_configurations(vm: Vm) -> None:
    """The first one is new on the disk, the second one old: after the boot both are old."""
    vm.check("rm -rf /etc/cputune /var/lib/cputune; sync")
    names = "mydom.service lxc:mydom"
    files = ("systemd/mydom.service.yaml", "lxc/mydom.yaml")
    read = " ".join(shlex.quote(f"/etc/cputune/domains/{file}") for file in files)
    vm.check(f"cputune set {names} --quota 21000 --config; sync")
    before = vm.check(f"cat {read}")
    dies(vm, "cputune.store:Store.write", 1, f"set {names} --quota 22000 --config")
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
