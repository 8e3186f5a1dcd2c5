"""What was set is still there after everything that makes systemd and the runtimes write their own values again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vm.machine import Vm
from tests.vm.runtimes import ALL, AS_USER, DOMAINS, MODE, NEIGHBOURS
from tests.vm.values import Values, at_both_levels, cgroups, values

USER_RELOAD = "; ".join(
    f"{AS_USER} {command}"
    for command in (
        "systemctl --user daemon-reload",
        "systemd-run -q --user --wait --slice=app.slice true",
        "systemd-run -q --user --wait --slice=user.slice true",
    )
)
# Not libvirtd on v1: started with machined there, it does not find its domains' cgroups (see domains.sh).
DAEMONS = "docker containerd incus lxd systemd-machined" + (" libvirtd" if MODE == "unified" else "")
TRIGGERS = {
    "daemon-reload and a start in the same slice": f"systemctl daemon-reload; {NEIGHBOURS}",
    "daemon-reexec and a start in the same slice": f"systemctl daemon-reexec; {NEIGHBOURS}",
    "another property of the same unit": "systemctl set-property --runtime mydom.service TasksMax=4000; "
    "systemctl set-property --runtime systemd-nspawn@mydom.service TasksMax=4000; "
    "for unit in $(systemctl list-units --plain --no-legend 'docker-*.scope' 'libpod-*.scope' 'machine-*.scope' "
    "'lab-*.scope' | cut -d' ' -f1); do systemctl set-property --runtime \"$unit\" TasksMax=4000; done",
    "restart of the daemons": f"systemctl restart {DAEMONS}",
    "another container of docker and podman": "for engine in docker podman; do "
    "$engine run --rm --network none domain true; done",
}
if MODE == "unified":
    TRIGGERS["the same in the user's manager"] = USER_RELOAD


@pytest.fixture(scope="module")
def places(vm: Vm) -> dict[str, dict[str, str]]:
    return cgroups(vm, DOMAINS)


@pytest.fixture(scope="module")
def tuned(vm: Vm, places: dict[str, dict[str, str]]) -> Iterator[dict[str, Values | None]]:
    """Every runtime's domain with a limit and a weight, of which nobody but cputune knows."""
    vm.check("rm -rf /etc/cputune")
    names = " ".join(runtime.domain for runtime in ALL.values())
    vm.check(f"cputune set {names} --quota 37000 --period 50000 --weight 77 --live")
    yield values(vm, places)
    vm.check(f"cputune set {names} --quota unlimited --period 100000 --weight 100 --live")


def expected(vm: Vm) -> dict[str, Values]:
    return dict.fromkeys(ALL, Values("37000", "50000", 77 if vm.mode == "unified" else 788))


def test_it_is_in_the_kernel_in_every_runtimes_cgroup(vm: Vm, tuned: dict[str, Values | None]) -> None:
    assert tuned == expected(vm)


@pytest.mark.parametrize("key", [key for key in ("podman", "podman-user", "crun-systemd") if key in ALL])
def test_what_crun_runs_under_systemd_has_it_on_both_levels(vm: Vm, tuned: object, key: str) -> None:
    assert at_both_levels(vm, ALL[key].domain) == [tuple(expected(vm)[key])] * 2


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_it_is_still_there_after(
    vm: Vm, places: dict[str, dict[str, str]], tuned: dict[str, Values | None], trigger: str
) -> None:
    vm.check(TRIGGERS[trigger])
    assert values(vm, places) == tuned


def test_a_lifted_limit_does_not_come_back(
    vm: Vm, places: dict[str, dict[str, str]], tuned: dict[str, Values | None]
) -> None:
    vm.check(f"cputune set {' '.join(runtime.domain for runtime in ALL.values())} --quota unlimited --live")
    after_lifting = {key: found.quota for key, found in values(vm, places).items() if found}
    assert after_lifting == dict.fromkeys(ALL, "max")
    vm.check(TRIGGERS["daemon-reload and a start in the same slice"])
    if vm.mode == "unified":
        vm.check(USER_RELOAD)
    assert {key: found.quota for key, found in values(vm, places).items() if found} == after_lifting
