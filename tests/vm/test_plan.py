"""What `--dry-run` prints is what is done, with a real systemd and each runtime: see tests/contract/test_plan.py.

The record is made in the guest, around the installed cputune.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.support import recorder
from tests.support.recorder import Event, differences, parsed
from tests.vm.machine import Vm
from tests.vm.runtimes import ALL, DOMAINS, REMEMBERING
from tests.vm.values import cgroups, remember_nothing

SCRIPT = Path(recorder.__file__).read_text()
NATIVE = "--live --config --native"
UNIT = "mydom.service"
HELD = f"systemctl show {UNIT} -P CPUQuotaPerSecUSec -P CPUQuotaPeriodUSec -P CPUWeight"


def check(vm: Vm, command: str, directories: Iterable[str]) -> list[Event]:
    """Give a command, and see that it does what it has printed before; what it did."""
    dry = vm.check(f"cputune {command} --dry-run --json", timeout=600)
    printed = parsed(vm.check(f"cputune {command} --dry-run", timeout=600))
    places = shlex.quote(json.dumps(sorted(set(directories))))
    done = vm.run(f"/opt/cputune/bin/python - {places} {command} --json", stdin=SCRIPT, timeout=600)
    assert done.returncode == 0, done
    found = json.loads(done.stdout)
    events = [(do, where, value) for do, where, value in found["events"]]
    assert (found["status"], differences(events, printed)) == (0, []), done.stderr
    assert "after the planned writes" not in done.stderr
    assert json.loads(found["printed"]) == json.loads(dry)
    return events


def limited(vm: Vm, domains: dict[str, str]) -> Iterator[list[str]]:
    """The cgroups of domains, which have the same limits; nothing is saved."""
    names = " ".join(domains.values())
    vm.check("rm -rf /etc/cputune /var/lib/cputune")
    vm.check(f"cputune set {names} --quota 45000 --period 100000 --weight 120 --live", timeout=600)
    yield [directory for place in cgroups(vm, domains).values() for directory in place.values()]
    vm.check("rm -rf /etc/cputune /var/lib/cputune")
    vm.check(f"cputune set {names} --quota unlimited --weight 100 --burst 0 --live", timeout=600)


@pytest.fixture
def directories(vm: Vm) -> Iterator[list[str]]:
    """Those of all domains."""
    yield from limited(vm, DOMAINS)


@pytest.fixture
def own(vm: Vm) -> Iterator[list[str]]:
    """Those of one unit."""
    yield from limited(vm, {"unit": DOMAINS["unit"]})


@pytest.mark.parametrize("words", ["--quota 33333 --period 99999 --weight 40", "--burst 700 --quota 5000"])
def test_of_every_runtime_and_back(vm: Vm, directories: list[str], words: str) -> None:
    done = check(vm, f"set {' '.join(DOMAINS.values())} {words} --live", directories)
    assert len({where.rpartition("/")[0] for do, where, _ in done if do != "set-property"}) >= len(ALL)
    assert check(vm, "undo", directories)


def test_what_every_runtime_is_to_remember_and_back(vm: Vm, directories: list[str]) -> None:
    names = " ".join(runtime.domain for runtime in REMEMBERING.values())
    vm.check(f"cputune set {names} --quota 47000 --period 100000 {NATIVE}", timeout=600)
    done = check(vm, f"set {names} --quota 36000 --period 50000 {NATIVE}", directories)
    assert len([do for do, _, _ in done if do in ("run", "edit")]) >= len(REMEMBERING)
    assert check(vm, "undo", directories)


@pytest.fixture(scope="module", autouse=True)
def _nothing_remembered_behind(vm: Vm) -> Iterator[None]:
    yield
    remember_nothing(vm)


BY_HAND = ("--quota 33333", "--quota unlimited", "--weight 40", "--burst 700")
ALONE = ("--period 20000", "--shares 700", "--quota 20000 --burst 5000", "--quota 1000 --period 1000000 --burst 0")


@pytest.mark.parametrize(
    ("words", "raw"), [*((words, True) for words in BY_HAND), *((words, False) for words in (*BY_HAND, *ALONE))]
)
def test_a_unit_and_back(vm: Vm, own: list[str], words: str, raw: bool) -> None:
    """By hand it gets what systemd does not hold, and writes over with each change of a property."""
    if raw and vm.mode == "unified":
        vm.check(f"cd {own[0]} && echo 60000 80000 >cpu.max && echo 30000 >cpu.max.burst && echo 77 >cpu.weight")
    elif raw:
        limit = "echo 60000 >cpu.cfs_quota_us && echo 80000 >cpu.cfs_period_us && echo 30000 >cpu.cfs_burst_us"
        vm.check(f"cd {own[0]} && {limit} && echo 777 >cpu.shares")
    held = vm.check(HELD)
    check(vm, f"set {UNIT} {words} --live", own)
    check(vm, "undo", own)
    assert vm.check(HELD) == held
    if raw:
        vm.check(f"cputune set {UNIT} --burst 0 --live")


def test_a_unit_that_gets_the_cpu_controller_by_that(vm: Vm) -> None:
    """And loses it again: in a slice of its own, where nobody else needs it."""
    vm.check("systemd-run -q --unit=bare --slice=bare.slice sleep 1000")
    directory = f"{vm.cpu_mount}/bare.slice/bare.service"
    try:
        for words in ("--quota 33333 --burst 700", "--weight 40"):
            done = check(vm, f"set bare.service {words} --live", [directory])
            assert "set-property" in [do for do, _, _ in done]
            assert check(vm, "undo", [directory])
    finally:
        vm.check("systemctl stop bare.service; systemctl stop bare.slice")


def test_idle(vm: Vm, own: list[str]) -> None:
    assert check(vm, f"set {UNIT} --idle --quota 20000 --live", own)
    assert check(vm, "undo", own)
