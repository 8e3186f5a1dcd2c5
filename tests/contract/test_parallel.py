"""Any number of cputunes at once: no update is lost, nobody sees half of one, waits without need or gives up."""

from __future__ import annotations

import os
import random
import re
import signal
from pathlib import Path

import pytest

from cputune.app.schedinfo import schedinfo
from cputune.app.tuner import Tuner
from cputune.config.store import Store
from cputune.host.system import Host
from cputune.transaction import locks
from tests.support import crash
from tests.support.commandline import CommandLine
from tests.support.containers import add_lxc
from tests.support.fakekernel import FAKES, FakeKernel
from tests.support.lab import Lab

RUNS = 200
KNOBS = {
    "weight": range(1, 10000),
    "quota": range(100000, 900000),
    "period": range(1000, 1000000),
    "burst": range(90000),
    "idle": range(2),
}


def start(host: Host, *words: str) -> int:
    """A command line in a process of its own, whose output goes nowhere; its number."""
    pid = os.fork()
    if pid == 0:
        crash.in_child(host, words)
    return pid


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def chain(host: Host, where: str) -> dict[str, object]:
    """What the history says that each knob has now, each change of it having begun where the one before had ended."""
    last: dict[str, object] = {}
    past = Tuner(host).history()
    for change in (change for one in past for change in one.entry.changes if change.where == where):
        assert last.get(change.key, change.before) == change.before, change
        last[change.key] = change.after
    return last


@pytest.fixture(params=["fake-v1", "fake-v2"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> FakeKernel:
    host = FakeKernel(tmp_path, FAKES[request.param])
    add_lxc(host, "web")
    add_lxc(host, "db")
    return host


def test_two_hundred_changes_of_one_saved_configuration_all_land(host: FakeKernel) -> None:
    generator = random.Random(4)
    domain = Tuner(host).find("lxc:web")
    pids = []
    for _ in range(RUNS):
        knob = generator.choice([*KNOBS])
        value = generator.choice(KNOBS[knob])
        option = ("--idle" if value else "--no-idle",) if knob == "idle" else (f"--{knob}", str(value))
        pids.append(start(host, "set", "lxc:web", *option, "--config"))
        Store(host).load(domain)  # whole, at whatever moment
    statuses = [ended(pid) for pid in pids]
    assert set(statuses) <= {0}, statuses
    saved = Store(host).load(domain).change.named()
    assert saved == chain(host, "config")


def test_two_hundred_changes_of_one_cgroup_all_land(lab: Lab) -> None:
    """Not the idle ones, which take the weight away."""
    generator = random.Random(5)
    pids = []
    for _ in range(RUNS):
        knob = generator.choice(["weight", "quota", "burst"])
        pids.append(start(lab.host, "set", lab.name(), f"--{knob}", str(generator.choice(KNOBS[knob])), "--live"))
    statuses = [ended(pid) for pid in pids]
    assert set(statuses) <= {0}, statuses
    found = chain(lab.host, "live")
    assert len(found) == 3
    assert {key: getattr(lab.state(), key) for key in found} == found


def test_another_domain_does_not_wait(host: FakeKernel, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """One stops in the middle of a change of web: db can be changed, web cannot, and who holds it is named."""
    monkeypatch.setattr(locks, "LOCK_SECONDS", 0.3)
    pid = stopped(host, "set", "lxc:web", "--quota", "50000", "--burst", "1000", "--live")
    journal = sorted(Path(host.state_dir, "journal").iterdir())
    try:
        assert cputune(host, "set", "lxc:db", "--quota", "60000", "--live").status == 0
        refused = cputune(host, "set", "lxc:web", "--weight", "7", "--live")
        assert refused.status == 7
        assert refused.err.startswith(f"cputune: error: process {pid} (")
        assert re.search(rf"\) holds the lock on \S+\nhint: ps -fp {pid}\n$", refused.err)
        assert cputune(host, "recover").err == ""
        assert cputune(host, "status").status == 0
        assert sorted(Path(host.state_dir, "journal").iterdir()) == journal
        assert len(journal) == 1
    finally:
        os.kill(pid, signal.SIGCONT)
    assert ended(pid) == 0
    assert cputune(host, "schedinfo", "lxc:web").out.splitlines()[3] == "vcpu_quota     : 50000"
    assert cputune(host, "set", "lxc:web", "--weight", "7", "--live").status == 0


def stop(_path: str, _text: str) -> bool:
    os.kill(os.getpid(), signal.SIGSTOP)
    return False


def stopped(host: FakeKernel, *words: str) -> int:
    """A command that stopped itself at its second write into the kernel."""
    pid = os.fork()
    if pid == 0:
        host.at_write(2, stop)
        crash.in_child(host, words)
    assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
    return pid


def test_a_child_waits_for_its_parent_where_that_bounds_it(
    host: FakeKernel, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCK_SECONDS", 0.3)
    host.mkdir(f"{host.mount}/lxc.payload.web/inner")
    pid = stopped(host, "set", "cgroup:/lxc.payload.web", "--quota", "50000", "--weight", "30", "--live")
    try:
        status = cputune(host, "set", "cgroup:/lxc.payload.web/inner", "--weight", "7", "--live").status
        assert status == (7 if host.kernel.version == 1 else 4)  # on v2 the controller is not enabled there
    finally:
        os.kill(pid, signal.SIGCONT)
        assert ended(pid) == 0


def test_of_many_that_find_a_dead_ones_journal_all_come_to_their_end(host: FakeKernel) -> None:
    pid = os.fork()
    if pid == 0:
        host.at_write(2, lambda path, text: bool(crash.kill()))  # type: ignore[func-returns-value]
        crash.in_child(host, ("set", "lxc:web", "lxc:db", "--quota", "50000", "--weight", "9"))
    assert ended(pid) == -signal.SIGKILL
    assert list(Path(host.state_dir, "journal").iterdir())
    names = ("lxc:web", "lxc:db")
    pids = [start(host, "set", names[number % 2], "--quota", str(10000 + number), "--live") for number in range(20)]
    assert {ended(pid) for pid in pids} == {0}
    assert not list(Path(host.state_dir, "journal").iterdir())
    put_back = [one for one in Tuner(host).history() if one.undone]
    assert [one.entry.domains for one in put_back] == [names]
    assert {schedinfo(Tuner(host), name).tune.quota for name in names} <= set(range(10000, 10020))
