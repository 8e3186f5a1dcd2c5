"""systemd without D-Bus. The last file: libvirtd and logind do not come back whole to a new bus."""

from __future__ import annotations

from tests.vm.machine import Vm
from tests.vm.values import cgroup, limit


def test_without_dbus_the_file_is_written_and_the_user_told(vm: Vm) -> None:
    vm.check("cputune set mydom.service --shares 777 --live")
    at = cgroup(vm, "mydom.service")["limit"]
    vm.check("systemctl stop dbus.socket dbus.service")
    try:
        done = vm.run("cputune set mydom.service --quota 45000 --live")
    finally:
        vm.check("systemctl start dbus.socket")
    assert done.returncode == 0
    assert limit(vm, at) == ("45000", "100000")
    assert done.stderr.startswith("cputune: systemd:mydom.service: cannot tell systemd of mydom.service: ")
    assert done.stderr.endswith("; the kernel has the value until systemd next writes its own\n")
