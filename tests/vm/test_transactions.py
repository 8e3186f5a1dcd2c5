"""Killed in the middle, taken back, many at once: of real runtimes, with systemd and their own memory in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vm.killed import dies
from tests.vm.machine import Vm
from tests.vm.runtimes import ALL, DOMAINS, REMEMBERING
from tests.vm.values import Values, cgroups, values

NATIVE = "--live --config --native"


def told(vm: Vm) -> dict[str, str]:
    """What each runtime says that it remembers."""
    script = "\n".join(f"({runtime.remembers}) | xargs" for runtime in REMEMBERING.values())
    return dict(zip(REMEMBERING, vm.check(script).splitlines(), strict=True))


@pytest.fixture
def clean(vm: Vm) -> Iterator[dict[str, dict[str, str]]]:
    """Nothing is saved, all domains have the same limits; where their cgroups are."""
    vm.check("rm -rf /etc/cputune /var/lib/cputune")
    names = " ".join(DOMAINS.values())
    vm.check(f"cputune set {names} --quota 45000 --period 100000 --weight 120 --live", timeout=600)
    yield cgroups(vm, DOMAINS)
    vm.check("rm -rf /etc/cputune /var/lib/cputune")
    vm.check(f"cputune set {names} --quota unlimited --weight 100 --live", timeout=600)


Places = dict[str, dict[str, str]]


def test_different_limits_for_every_runtime_as_one_and_back_again(vm: Vm, clean: Places) -> None:
    before = values(vm, clean)
    wanted = {key: 20000 + 1000 * number for number, key in enumerate(ALL)}
    text = "---\n".join(
        f"version: 1\ndomain: {DOMAINS[key]}\nquota: {quota}\nperiod: 50000\n" for key, quota in wanted.items()
    )
    done = vm.run("cputune apply --file - --live", stdin=text, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    assert {key: found[:2] for key, found in values(vm, clean).items() if found} == {
        key: (str(quota), "50000") for key, quota in wanted.items()
    }
    assert vm.run("cputune undo", timeout=600).returncode == 0
    assert values(vm, clean) == before
    starts = "; ".join(f"systemd-run -q --wait --slice={name} true" for name in ("system", "machine"))
    vm.check(f"systemctl daemon-reload; {starts}")
    assert values(vm, clean) == before


@pytest.mark.parametrize("where", ["cputune.host.systemd:Systemd.set", "cputune.host.system:Host.write"])
def test_killed_behind_what_systemd_was_told_or_a_write(vm: Vm, clean: Places, where: str) -> None:
    before = values(vm, clean)
    names = " ".join(DOMAINS.values())
    held = "systemctl show mydom.service -P CPUQuotaPerSecUSec"
    was = vm.check(held)
    for number in (1, 3):
        dies(vm, where, number, f"set {names} --quota 33000 --weight 60 --live --config")
        assert vm.check("ls /var/lib/cputune/journal").count("\n") == 1
        if number == 3:  # the first write may be one that `values` does not look at
            assert values(vm, clean) != before or vm.check(held) != was
        done = vm.run("cputune status mydom.service", timeout=600)
        assert done.returncode == 0
        assert "put back what process" in done.stderr
        assert values(vm, clean) == before
        assert vm.check(held) == was
        assert vm.run("test -e /etc/cputune/domains/systemd").returncode == 1
        assert vm.check("ls /run/cputune/journal /var/lib/cputune/journal | grep -c '^0' || true") == "0\n"


@pytest.fixture
def remembered(vm: Vm, clean: Places) -> dict[str, str]:
    """Something that every runtime remembers already, so that it can be told apart from nothing."""
    names = " ".join(runtime.domain for runtime in REMEMBERING.values())
    vm.check(f"cputune set {names} --quota 47000 --period 100000 {NATIVE}", timeout=600)
    return told(vm)


def test_what_runtimes_remember_is_taken_back_too(vm: Vm, clean: Places, remembered: dict[str, str]) -> None:
    before = values(vm, clean)
    names = " ".join(runtime.domain for runtime in REMEMBERING.values())
    vm.check(f"cputune set {names} --quota 36000 --period 50000 {NATIVE}", timeout=600)
    assert not {key for key, text in told(vm).items() if text == remembered[key]}
    done = vm.run("cputune undo", timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    assert told(vm) == remembered
    assert values(vm, clean) == before


@pytest.mark.parametrize("number", [1, 3])
def test_killed_behind_a_runtimes_own_command(vm: Vm, clean: Places, remembered: dict[str, str], number: int) -> None:
    before = values(vm, clean)
    names = " ".join(runtime.domain for runtime in REMEMBERING.values())
    where = "cputune.transaction.native:carry_out"
    dies(vm, where, number, f"set {names} --quota 36000 --period 50000 {NATIVE}")
    assert told(vm) != remembered
    done = vm.run("cputune recover", timeout=600)
    assert done.returncode == 0, done.stderr
    assert told(vm) == remembered
    assert values(vm, clean) == before
    assert "quota: 47000" in vm.read("/etc/cputune/domains/systemd/mydom.service.yaml")


def test_what_somebody_else_told_the_runtime_since_is_not_overwritten(
    vm: Vm, clean: Places, remembered: dict[str, str]
) -> None:
    vm.check(f"cputune set docker:mydom --quota 36000 {NATIVE}", timeout=600)
    vm.check("docker update --cpu-quota 25000 mydom")
    done = vm.run("cputune undo docker:mydom")
    assert done.returncode == 6
    assert "changed since by somebody else: " in done.stderr
    assert vm.check(f"{REMEMBERING['docker'].remembers}").split()[0] == "25000"
    assert vm.run("cputune undo docker:mydom --force").returncode == 0
    assert vm.check(f"{REMEMBERING['docker'].remembers}").split()[0] == "47000"


def test_many_at_once_on_one_container(vm: Vm, clean: Places) -> None:
    """Two knobs, some of each, all at once: systemd, scope and container agree in the end, and so does the history."""
    jobs = [f"cputune set podman:mydom --quota {20000 + number * 1000} --live & " for number in range(6)]
    jobs += [f"cputune set podman:mydom --weight {50 + number} --live & " for number in range(6)]
    vm.check("".join(jobs) + "wait", timeout=600)
    steps = vm.check("cputune history podman:mydom --last 12 | grep podman:mydom: | grep live:").splitlines()
    last: dict[str, str] = {}
    for step in steps:
        key, _, change = step.split(": ")[2].partition(" ")
        old, _, new = change.partition(" -> ")
        assert last.get(key, old) == old, steps
        last[key] = new
    found = values(vm, clean)["podman"]
    assert found is not None
    assert found == Values(last["quota"], "100000", found.weight)
    if vm.mode == "unified":
        assert str(found.weight) == last["weight"]
